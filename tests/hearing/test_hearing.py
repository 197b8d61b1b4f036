"""Hearing against outside references and its own vectorised twins."""

from __future__ import annotations

import numpy as np
import pytest
import python_speech_features
import torch

from engine.hearing import mfcc, stft
from engine.hearing.bands import BANDS, BANK, BandViews
from engine.hearing.features import silence
from engine.hearing.framing import Framer
from engine.hearing.hearing import Heard, Hearing
from engine.hearing.resample import DELAY, Decimator
from engine.hearing.separator import Separator
from engine.hearing.stft import InverseSTFT, spectrum
from engine.hearing.windows import FeatureWindows
from engine.timeline import FEATURE_HOP, hops_heard
from engine.training.acting import heard
from engine.weights import shipped
from kernels.graphs.opening import load_module
from kernels.spectral import cepstra


def _tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def test_mfcc_agrees_with_python_speech_features() -> None:
    x = np.random.default_rng(0).normal(0, 0.2, 16_000).astype(np.float32)
    padded = np.concatenate([np.zeros(mfcc.WINDOW - FEATURE_HOP), x])
    theirs = python_speech_features.mfcc(
        padded, 16_000, numcep=13, nfilt=26, nfft=512, appendEnergy=False, winfunc=np.hamming
    )
    framer = Framer(mfcc.WINDOW + 1)
    frames, _ = framer(x[None], framer.initial_state())
    mel = mfcc.mel_of_frames(frames[:, 0])
    ours = cepstra(mel, 1e-10, mfcc.BASIS)
    np.testing.assert_allclose(ours, theirs[: len(ours)], atol=2e-3)


def test_decimation_keeps_voices_and_stops_aliases() -> None:
    part = Decimator()
    for hertz, low, high in ((100, 0.98, 1.02), (6500, 0.95, 1.03), (9200, 0, 2e-3)):
        y, _ = part(_tone(hertz, 48_000), part.initial_state())
        level = np.sqrt(2 * (y[2000:] ** 2).mean())
        assert low <= level <= high, hertz


def test_decimation_is_late_by_exactly_delay() -> None:
    x = np.zeros(4800, np.float32)
    x[2400] = 1
    part = Decimator()
    y, _ = part(x, part.initial_state())
    assert int(np.argmax(np.abs(y))) == 2400 // 3 + DELAY


def test_stft_gives_the_sound_back_one_hop_late() -> None:
    x = np.random.default_rng(0).normal(0, 0.2, 16_000).astype(np.float32)
    framer, inverse = Framer(stft.LENGTH), InverseSTFT()
    frames, _ = framer(x[None], framer.initial_state())
    y, _ = inverse(spectrum(frames[:, 0]), inverse.initial_state())
    np.testing.assert_allclose(y[FEATURE_HOP:], x[: len(y) - FEATURE_HOP], atol=2e-6)


def test_bands_sum_to_one_in_every_bin() -> None:
    np.testing.assert_allclose(BANK.sum(axis=0), 1, atol=1e-5)


def test_silence_teaches_nothing() -> None:
    """Sound after silence, at the start or in the middle, looks as it would without the silence."""
    part = BandViews()
    sound = np.random.default_rng(1).uniform(1e-4, 1, (40, 1, BANDS)).astype(np.float32)
    silence = np.full((25, 1, BANDS), 1e-9, np.float32)
    plain, _ = part(sound, part.initial_state())
    interrupted = np.concatenate([silence, sound[:17], silence, sound[17:]])
    views, _ = part(interrupted, part.initial_state())
    np.testing.assert_array_equal(np.concatenate([views[25:42], views[67:]]), plain)


@pytest.mark.parametrize("lookahead", [0, 2, 6])
def test_windows_end_at_the_last_whole_hop(lookahead: int) -> None:
    """Each hop carries its own number: the newest one in a window says when the window ends."""
    hops = 200
    numbers = np.broadcast_to(np.arange(hops)[:, None, None], (hops, 2, 26)).astype(np.float32)
    part = FeatureWindows(lookahead)
    made, _ = part(Heard(numbers, np.zeros(hops, np.float32)), part.initial_state())
    for frame, window in enumerate(made.features):
        end = hops_heard(frame, lookahead)
        assert end * 480 <= (frame + lookahead) * 1600 < (end + 1) * 480
        assert window[0, -1, 0] == (end - 1 if end else silence()[0])
    assert len(made.features) == sum(hops_heard(n, lookahead) <= hops for n in range(100))


def test_training_hears_what_live_hears() -> None:
    """The vectorised twin used for lessons equals the line, hop by hop."""
    rng = np.random.default_rng(0)
    voice = (_tone(220, 48_000, 3) * 0.2).astype(np.float32)
    backing = rng.normal(0, 0.05, len(voice)).astype(np.float32)
    part = Hearing(Separator(shipped("separator.onnx"), "onnxruntime"))
    live, _ = part((voice + backing)[None], part.initial_state())
    slow = [side_at_16k(side) for side in (voice, backing)]
    net = load_module(shipped("separator.onnx")).module
    torch.set_num_threads(1)
    lesson = heard(slow[0][None], slow[1][None], net).features[0]
    hops = min(len(lesson), len(live.features))
    np.testing.assert_allclose(live.features[8:hops], lesson[8:hops], atol=0.05)


def side_at_16k(side: np.ndarray) -> np.ndarray:
    """Decimated without the decimator's delay, as a song file at 16 kHz would be."""
    part = Decimator()
    y, _ = part(np.pad(side, (0, 3 * DELAY)), part.initial_state())
    return y[DELAY:]


def test_known_stems_need_no_separator() -> None:
    class Refuse:
        def initial_state(self, batch: int = 1) -> tuple[()]:
            return ()

        def __call__(self, *_: object) -> None:
            raise AssertionError("the separator was asked")

    part = Hearing(Refuse())  # type: ignore[arg-type]
    stems = np.stack([_tone(220, 48_000), np.zeros(48_000, np.float32)])
    result, _ = part(stems, part.initial_state())
    assert result.activity[50:].min() > 0.9
    quiet, _ = part(stems[::-1].copy(), part.initial_state())
    assert quiet.activity[50:].max() < 0.1
