"""The echo canceller: the laws, then what it is for: less backing, the same singer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, fftconvolve, lfilter, sosfiltfilt

from engine.hearing.echo import EchoCanceller
from engine.timeline import HOP, SAMPLE_RATE

CANCEL = EchoCanceller()


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, n)).astype(np.float32) * 0.1


def run(x: np.ndarray) -> np.ndarray:
    return CANCEL(x, CANCEL.initial_state())[0]


# ---- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hops", [1, 2, 7])
def test_any_chunking_equals_the_whole(hops: int) -> None:
    x, state, parts = noise(60 * HOP), CANCEL.initial_state(), []
    for start in range(0, x.shape[1], hops * HOP):
        part, state = CANCEL(x[:, start : start + hops * HOP], state)
        parts.append(part)
    assert np.array_equal(np.concatenate(parts, axis=1), run(x))


def test_the_future_never_changes_the_past_and_streams_never_touch() -> None:
    one, other = noise(40 * HOP), noise(40 * HOP)
    other[:, 20 * HOP :] = 0.5
    assert np.array_equal(run(one)[:, : 20 * HOP], run(other)[:, : 20 * HOP])
    first, second = CANCEL.initial_state(), CANCEL.initial_state()
    for start in range(0, 10 * HOP, HOP):
        mine, first = CANCEL(one[:, start : start + HOP], first)
        _, second = CANCEL(noise(HOP, start), second)
        assert np.array_equal(mine, run(one)[:, start : start + HOP])


def test_state_keeps_its_shapes_and_nothing_grows() -> None:
    state = CANCEL.initial_state()
    shapes = [part.shape for part in state]
    for level in (0.0, 1.0, 0.0, 1e-4):
        for seed in range(4):
            clean, state = CANCEL(level * noise(50 * HOP, seed), state)
            assert np.isfinite(clean).all()
            assert np.abs(clean).max() < 4
    assert [part.shape for part in state] == shapes


def test_without_a_backing_nothing_changes() -> None:
    x = noise(30 * HOP)
    x[1] = 0
    assert np.array_equal(run(x), x[:1])


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \[2, a multiple of 480\]"):
        CANCEL(noise(100), CANCEL.initial_state())


# ---- what it is for -----------------------------------------------------------------------------


def singer(n: int) -> np.ndarray:
    """A voice: vibrato, formants, notes with pauses between them."""
    t = np.arange(n) / SAMPLE_RATE
    note = 220 * 2 ** (np.array([0, 4, 7, 5, 9, 2])[(t / 0.8).astype(int) % 6] / 12)
    phase = np.cumsum(note * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * t))) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 25))
    for hertz, width in ((700, 90), (1200, 110), (2600, 160)):
        r = np.exp(-np.pi * width / SAMPLE_RATE)
        angle = 2 * np.pi * hertz / SAMPLE_RATE
        buzz = lfilter([1 - r], [1, -2 * r * np.cos(angle), r * r], buzz) + 0.1 * buzz
    return 0.2 * buzz / np.abs(buzz).max() * (t % 0.8 < 0.65)


def band(n: int) -> np.ndarray:
    """A backing: chords, a bass, a drum of noise twice a second."""
    t, random = np.arange(n) / SAMPLE_RATE, np.random.default_rng(3)
    roots = 110 * 2 ** (np.array([0, 5, 7, 3])[(t / 1.6).astype(int) % 4] / 12)
    sound = np.zeros(n)
    for ratio in (0.5, 1, 1.26, 1.5, 2, 3, 4.5):
        sound += np.sin(2 * np.pi * np.cumsum(roots * ratio) / SAMPLE_RATE) / (1 + ratio)
    drum = random.normal(size=n) * np.exp(-(t % 0.5) * 25)
    return 0.25 * (sound / np.abs(sound).max() + 0.5 * drum)


def room(seed: int) -> np.ndarray:
    """From the loudspeaker to the microphone: 20 ms of way, 0.35 s of reverberation."""
    random, t = np.random.default_rng(seed), np.arange(round(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = 0.05 * random.normal(size=t.size) * 10 ** (-3 * t / 0.35)
    tail[0] = 1
    return np.concatenate([np.zeros(round(0.020 * SAMPLE_RATE)), tail])


def decibels(x: np.ndarray) -> float:
    """Of what features hear: below 7 kHz."""
    spectrum = np.fft.rfft(x)
    return 10 * np.log10(
        (np.abs(spectrum[: round(7000 * x.size / SAMPLE_RATE)]) ** 2).sum() / x.size
    )


def below_7_khz(x: np.ndarray) -> np.ndarray:
    """What features hear."""
    return sosfiltfilt(butter(8, 7000, fs=SAMPLE_RATE, output="sos"), x)


def loudness(x: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(x)))


@pytest.mark.parametrize("bleed_db", [6.0, 0.0, -6.0, -12.0])
@pytest.mark.parametrize("seed", [1, 3])
def test_the_backing_is_10_db_lower_while_someone_sings_and_the_singer_as_loud(
    seed: int, bleed_db: float
) -> None:
    """Only where the voice sounds, from the tenth second on: so long the room is learned.

    What is left is all that is not the voice as it was sung, so damage to the voice counts, too.
    """
    n = 20 * SAMPLE_RATE
    voice, backing = singer(n), band(n)
    echo = fftconvolve(backing, room(seed))[:n]
    echo *= 10 ** ((decibels(voice) + bleed_db - decibels(echo)) / 20)
    clean = run(np.stack([voice + echo, backing]).astype(np.float32))[0].astype(np.float64)
    sung = (np.arange(n) >= n // 2) & (voice != 0)
    bleed, left = (below_7_khz(sound)[sung] for sound in (echo, clean - voice))
    lower = loudness(bleed) - loudness(left)
    share = float(clean[sung] @ voice[sung] / (voice[sung] @ voice[sung]))
    changed = 20 * np.log10(share)
    print(f"room {seed}, bleed {bleed_db:+.0f} dB: {lower:.1f} dB lower, voice {changed:+.2f} dB")
    assert lower >= 10
    assert abs(changed) < 1
