"""Laws of the performer, on a fabricated song whose sound is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.metrics import beats
from engine.motion.blendshapes import EYE_BLINK_LEFT, EYE_BLINK_RIGHT, INDEX
from engine.motion.mouthing import STYLES
from engine.motion.visemes import (
    BREATH,
    CLASSES,
    TABLE,
    VOWELS,
    Phone,
    is_vowel,
    nucleus,
    read_ipa,
    sounding,
)
from engine.signals import F32
from engine.timeline import FEATURE_RATE, FRAME_RATE
from engine.training.performer import Performance, perform, pulse_phase
from engine.training.swaying import LIMIT
from engine.training.truth import Note, Phrase, Truth

POP = [style.name for style in STYLES].index("pop")
LYRICS = (
    ("m", "a"), ("n", "u"), ("s", "i"), ("b", "oː"), ("l", "aɪ"), ("t", "ɛ"), ("p", "ʊ"),
    ("f", "iː"), ("d", "ɑ"), ("w", "e"), ("k", "ɔ"), ("v", "æ"), ("ʃ", "uː"), ("ɹ", "ʌ"),
)  # fmt: skip
SCORE = (60, 62, 64, 67, 65, 64, 72, 60, 64, 69, 67, 72, 74, 67)
TEMPO = 108.0


def fabricate(phrases: int = 6, seed: int = 0) -> tuple[Truth, F32]:
    """A song of open syllables at 108 bpm: 4 beats of introduction, phrases, rests and breaths."""
    rng = np.random.default_rng(seed)
    beat = 60 / TEMPO
    phones: list[Phone] = []
    notes: list[Note] = []
    lines: list[Phrase] = []
    time, k = 8 * beat, 0
    for _ in range(phrases):
        begin = time
        phones.append(Phone(BREATH, begin - 0.45, begin - 0.12))
        lengths = [0.5, 0.5, 1.0, 0.5, 0.5, 1.0, 3.0]
        for length in lengths:
            consonant, vowel = LYRICS[k % len(LYRICS)]
            onset = float(rng.uniform(0.05, 0.09))
            end = time + length * beat - (0.0 if length == 3.0 else 0.08)
            phones.append(Phone(consonant, time - onset, time))
            phones.append(Phone(vowel, time, end))
            notes.append(Note(time, end, SCORE[k % len(SCORE)]))
            time, k = time + length * beat, k + 1
        lines.append(Phrase(begin - 0.09, time))
        time += 3 * beat
    # A vowel lasts until the next consonant.
    for i in range(len(phones) - 1):
        here, after = phones[i], phones[i + 1]
        if here.label != BREATH and 0 < after.start - here.end < 0.1:
            phones[i] = replace(here, end=after.start)
    duration = time + 8 * beat
    beats = tuple(np.arange(0, duration, beat).tolist())
    truth = Truth(
        0, duration, TEMPO, "en-us", "made", False, tuple(phones), tuple(notes), tuple(lines),
        beats, beats[::4],
    )  # fmt: skip
    return truth, utter(truth, rng)


def utter(truth: Truth, rng: np.random.Generator) -> F32:
    """Harmonics for what is voiced, noise for what is not; open and high sounds are louder."""
    n = int(truth.duration * FEATURE_RATE)
    time = np.arange(n) / FEATURE_RATE
    pitch, gain = np.full(n, 60.0), np.full(n, 1e-6)
    for note in truth.notes:
        pitch[(time >= note.start - 0.09) & (time < note.end)] = note.midi
    for phone in truth.phones:
        inside = (time >= phone.start) & (time < phone.end)
        openness = TABLE[nucleus(phone.label)].jaw if phone.label != BREATH else 0.0
        level = -16 + 14 * openness if is_vowel(phone.label) else -26
        gain[inside] = 10 ** ((level - 10) / 20) * 10 ** ((pitch[inside] - 67) / 60)
    gain = np.convolve(gain, np.hanning(400) / 200, mode="same")
    phase = np.cumsum(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) / FEATURE_RATE)
    tone = sum(np.sin(h * phase) / h for h in range(1, 7))
    return (gain * (tone + 0.1 * rng.normal(size=n))).astype(np.float32)


@pytest.fixture(scope="module")
def song() -> tuple[Truth, F32]:
    """One song for all tests of this file."""
    return fabricate()


def take(song: tuple[Truth, F32], seed: int = 1, style: int = POP) -> Performance:
    """One performance."""
    return perform(*song, style, np.random.default_rng(seed))


def shape(performance: Performance, name: str) -> F32:
    """[T] of a shape, or of the louder side of a pair."""
    shapes = performance.blendshapes
    if name in INDEX:
        return shapes[:, INDEX[name]]
    return np.maximum(shapes[:, INDEX[name + "Left"]], shapes[:, INDEX[name + "Right"]])


def frames_inside(start: float, end: float) -> np.ndarray:
    """Frames whose middle lies in a span of seconds."""
    return np.arange(int(np.ceil(start * FRAME_RATE - 0.5)), int(np.ceil(end * FRAME_RATE - 0.5)))


def speed(performance: Performance) -> np.ndarray:
    """[T - 1] head rotation speed in rad/s."""
    return (
        np.linalg.norm(np.diff(performance.head[:, :3].astype(float), axis=0), axis=1) * FRAME_RATE
    )


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r."""
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("style", range(len(STYLES)))
def test_shapes_and_ranges(song: tuple[Truth, F32], style: int) -> None:
    performance = take(song, style=style)
    frames = -(-len(song[1]) * 30 // 16000)
    assert performance.blendshapes.shape == (frames, 52)
    assert performance.head.shape == (frames, 6)
    assert performance.gaze.shape == (frames, 2)
    for track in (performance.blendshapes, performance.long_closing, performance.voice):
        assert len(track) == frames
        assert track.dtype == np.float32
        assert track.min() >= 0
        assert track.max() <= 1
    assert set(np.unique(performance.voice)) == {0.0, 1.0}
    assert not performance.blendshapes[:, [EYE_BLINK_LEFT, EYE_BLINK_RIGHT]].any()
    assert (np.abs(performance.head) <= LIMIT).all()


@pytest.mark.parametrize("samples", [1, 533, 534, 16000, 16001])
def test_any_length(song: tuple[Truth, F32], samples: int) -> None:
    performance = perform(song[0], song[1][:samples], POP, np.random.default_rng(0))
    assert len(performance.head) == -(-samples * 30 // 16000)
    assert np.isfinite(performance.blendshapes).all()
    assert np.isfinite(performance.head).all()


def test_silence_without_truth() -> None:
    truth = Truth(0, 2.0, 100.0, "en-us", "made", False, (), (), (), (), ())
    performance = perform(truth, np.zeros(32000, np.float32), POP, np.random.default_rng(0))
    assert performance.blendshapes[:, INDEX["jawOpen"]].max() < 0.03
    assert not performance.voice.any()
    assert not performance.long_closing.any()


def test_refuses_what_it_cannot_act(song: tuple[Truth, F32]) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="style"):
        perform(*song, len(STYLES), rng)
    with pytest.raises(ValueError, match="voice"):
        perform(song[0], np.zeros((2, 100), np.float32), 0, rng)


def test_lips_shut_on_m_b_p(song: tuple[Truth, F32]) -> None:
    for style in range(len(STYLES)):
        performance = take(song, style=style)
        jaw, press = shape(performance, "jawOpen"), shape(performance, "mouthPress")
        shut = (jaw < 0.08) & (press > 0.4)
        for phone in song[0].phones:
            if phone.label in ("m", "b", "p"):
                assert shut[frames_inside(phone.start, phone.end)].all()
                around = frames_inside(phone.start - 0.04, phone.end + 0.04)
                assert shut[around].sum() >= 2


def test_short_stop_still_shuts_for_two_frames() -> None:
    for late in np.linspace(0, 1 / 30, 7):
        start = 1.0 + late
        phones = (
            Phone("a", 0.5, start), Phone("b", start, start + 0.02), Phone("a", start + 0.02, 1.6),
        )  # fmt: skip
        truth = Truth(0, 2.0, 100.0, "en-us", "made", False, phones, (), (), (), ())
        voice = utter(truth, np.random.default_rng(0))
        performance = perform(truth, voice, POP, np.random.default_rng(0))
        shut = (shape(performance, "jawOpen") < 0.08) & (shape(performance, "mouthPress") > 0.4)
        assert shut.sum() >= 2
        assert shape(performance, "jawOpen")[20:26].max() > 0.4


def test_bite_on_f_v(song: tuple[Truth, F32]) -> None:
    performance = take(song)
    for phone in song[0].phones:
        if phone.label in ("f", "v"):
            inside = frames_inside(phone.start, phone.end)
            assert (shape(performance, "mouthRollLower")[inside] > 0.4).all()
            assert (shape(performance, "mouthPress")[inside] < 0.2).all()


def test_rounding_and_spreading_tell_vowels_apart(song: tuple[Truth, F32]) -> None:
    performance = take(song)

    def middle(labels: str, name: str) -> float:
        values = []
        for phone in song[0].phones:
            if is_vowel(phone.label) and nucleus(phone.label) in labels:
                values.append(shape(performance, name)[int((phone.start + 0.12) * FRAME_RATE)])
        return float(np.mean(values))

    assert middle("uo", "mouthPucker") > middle("ie", "mouthPucker") + 0.3
    assert middle("ie", "mouthStretch") > middle("uo", "mouthStretch") + 0.2
    assert middle("ie", "mouthSmile") > middle("uo", "mouthSmile") + 0.1
    assert middle("aɑæ", "jawOpen") > middle("iu", "jawOpen") + 0.25


def test_rest_is_shut_and_breath_is_open(song: tuple[Truth, F32]) -> None:
    performance = take(song)
    jaw = shape(performance, "jawOpen")
    end = 0.0
    for phone in (*song[0].phones, Phone("", song[0].duration, song[0].duration)):
        rest = frames_inside(end + 0.1, phone.start - 0.08)
        assert (jaw[rest] < 0.03).all()
        if phone.label == BREATH:
            middle = int((phone.start + phone.end) / 2 * FRAME_RATE)
            assert 0.12 <= jaw[middle] <= 0.25
            assert not performance.voice[middle]
        end = phone.end


def test_jaw_follows_loudness_and_phone(song: tuple[Truth, F32]) -> None:
    performance = take(song)
    jaw, voiced = shape(performance, "jawOpen"), performance.voice > 0
    power = np.convolve(song[1].astype(float) ** 2, np.hanning(800), mode="same")
    middle = ((np.arange(len(jaw)) + 0.5) / FRAME_RATE * FEATURE_RATE).astype(int)
    level = 10 * np.log10(power[middle.clip(0, len(power) - 1)] + 1e-12)
    assert correlation(jaw[voiced], level[voiced]) > 0.6
    soft = perform(
        song[0],
        np.where(np.arange(len(song[1])) < len(song[1]) // 2, song[1] * 0.25, song[1]),
        POP,
        np.random.default_rng(1),
    )
    early = voiced & (np.arange(len(jaw)) < len(jaw) // 2 - 5)
    ratio = shape(soft, "jawOpen")[early].sum() / jaw[early].sum()
    assert 0.4 < ratio < 0.8


def test_mouth_opens_with_the_vowel(song: tuple[Truth, F32]) -> None:
    """The jaw reaches a quarter of its way within a frame of the vowel's onset."""
    jaw = shape(take(song), "jawOpen").astype(float)
    off = []
    for before, phone in zip(song[0].phones, song[0].phones[1:], strict=False):
        if nucleus(phone.label) not in "aɑæɛɔ" or is_vowel(before.label):
            continue
        first = int((phone.start - 0.1) * FRAME_RATE)
        path = jaw[first : first + 9]
        low = int(path[:5].argmin())
        rise = path[low:] > path[low] + 0.25 * (path[low:].max() - path[low])
        off.append((first + low + int(rise.argmax())) - phone.start * FRAME_RATE)
    assert len(off) > 5
    assert abs(np.mean(off)) <= 1
    assert (np.abs(off) <= 2).all()


def test_mouth_does_not_hear_the_future(song: tuple[Truth, F32]) -> None:
    """What is sung later than 100 ms after a frame leaves its mouth alone."""
    truth, voice = song
    cut = truth.phones[21].start
    other = tuple(p if p.start < cut else replace(p, label="u") for p in truth.phones)
    left = take((truth, voice))
    right = take((replace(truth, phones=other), voice))
    until = int((cut - 0.07) * FRAME_RATE)
    names = ("jawOpen", "mouthPucker", "mouthFunnel", "mouthPressLeft", "mouthStretchLeft")
    for name in names:
        np.testing.assert_allclose(shape(left, name)[:until], shape(right, name)[:until], atol=1e-6)


def test_two_takes_share_speed_but_not_direction(song: tuple[Truth, F32]) -> None:
    takes = [take(song, seed) for seed in range(8)]
    pairs = [(a, b) for i, a in enumerate(takes) for b in takes[:i]]
    assert np.mean([correlation(speed(a), speed(b)) for a, b in pairs]) >= 0.8
    yaws = [abs(correlation(a.head[:, 0], b.head[:, 0])) for a, b in pairs]
    assert np.mean(yaws) < 0.6


def test_head_arrives_on_the_beat(song: tuple[Truth, F32]) -> None:
    """It is slowest when the beat falls, in the mean over takes, much slower than between."""
    truth = song[0]
    seen = np.array(truth.beats)[8:-10]
    time = (np.arange(len(speed(take(song)))) + 1) / FRAME_RATE
    lags = np.linspace(-0.25, 0.25, 31) * 60 / TEMPO * 2
    pulled = np.mean(
        [[np.interp(seen + lag, time, speed(take(song, seed))).mean() for lag in lags]
         for seed in range(5)], axis=0,
    )  # fmt: skip
    assert abs(lags[pulled.argmin()]) < 0.08
    assert pulled.max() > 1.5 * pulled.min()


def test_head_keeps_time_with_its_own_song(song: tuple[Truth, F32]) -> None:
    """Beat Align, against the same motions on songs of other tempos."""
    truth, voice = song
    takes = []
    for tempo in (0.8, 0.93, 1.0, 1.1, 1.23):
        slower = replace(
            truth,
            beats=tuple(beat / tempo for beat in truth.beats),
            downbeats=tuple(beat / tempo for beat in truth.downbeats),
        )
        head = perform(slower, voice, POP, np.random.default_rng(0)).head
        heard = beats.audio_beats(slower.beats)
        takes.append(beats.Take(beats.motion_beats(head), heard, len(head)))
    found = beats.against_shuffled(takes)
    assert found.score > 1.15 * found.shuffled
    assert found.p < 0.05


def test_the_pulse_begins_anew_on_each_beat(song: tuple[Truth, F32]) -> None:
    """And goes evenly from one to the next; what has no beat has no pulse."""
    truth, _ = song
    frames = int(truth.duration * FRAME_RATE)
    phase = pulse_phase(truth, frames)
    times = (np.arange(frames) + 0.5) / FRAME_RATE
    struck = np.array(truth.beats)
    times = times[times > struck[0]]
    since = times - struck[np.searchsorted(struck, times, side="right") - 1]
    np.testing.assert_allclose(phase[-len(since) :], since * TEMPO / 60, atol=1e-6)
    for without in (replace(truth, beats=()), replace(truth, speech=True)):
        assert np.isnan(pulse_phase(without, frames)).all()


def test_head_is_smooth_and_rests(song: tuple[Truth, F32]) -> None:
    for style in range(len(STYLES)):
        head = take(song, style=style).head.astype(float)
        assert np.abs(np.diff(head[:, :3], n=2, axis=0)).max() < 0.02  # rad per frame²
        assert speed(take(song, style=style)).max() < 3.0  # rad/s
    quiet = replace(song[0], beats=tuple(b for b in song[0].beats if b < 10), duration=30.0)
    quiet = replace(quiet, phones=tuple(p for p in quiet.phones if p.end < 10))
    quiet = replace(quiet, notes=tuple(n for n in quiet.notes if n.end < 10))
    voice = np.where(np.arange(30 * 16000) < 160000, np.resize(song[1], 30 * 16000), 0)
    head = perform(quiet, voice.astype(np.float32), POP, np.random.default_rng(0)).head
    assert (np.abs(head[-120:]) < 0.12 * LIMIT).all()


def test_singing_moves_more_than_playing(song: tuple[Truth, F32]) -> None:
    performance = take(song)
    moving, sung = speed(performance), performance.voice[1:] > 0
    intro = moving[5 : 6 * FRAME_RATE // 2]
    assert 0.01 < intro.mean() < 0.7 * moving[sung].mean()


def test_closings_are_long(song: tuple[Truth, F32]) -> None:
    found = 0
    for style in range(len(STYLES)):
        closing = take(song, style=style).long_closing
        edges = np.flatnonzero(np.diff(np.concatenate([[0], closing > 0.5, [0]])))
        lengths = (edges[1::2] - edges[::2]) / FRAME_RATE
        found += len(lengths)
        assert (lengths > 0.5).all()
        assert np.abs(np.diff(closing)).max() < 0.45
    assert found >= len(STYLES)


def test_speech_is_smaller(song: tuple[Truth, F32]) -> None:
    spoken = replace(song[0], speech=True)
    said, sung = take((spoken, song[1])), take(song)
    assert shape(said, "jawOpen").mean() < 0.85 * shape(sung, "jawOpen").mean()
    assert speed(said).mean() < 0.8 * speed(sung).mean()
    assert not said.long_closing.any()


def test_gaze_and_eyes_agree(song: tuple[Truth, F32]) -> None:
    performance = take(song)
    left = performance.gaze[:, 0] > 0.02
    assert left.any()
    assert (performance.blendshapes[left, INDEX["eyeLookOutLeft"]] > 0).all()
    assert (performance.blendshapes[left, INDEX["eyeLookInRight"]] > 0).all()
    assert not performance.blendshapes[left, INDEX["eyeLookInLeft"]].any()


def test_a_take_is_its_generator(song: tuple[Truth, F32]) -> None:
    one, same, other = take(song, 3), take(song, 3), take(song, 4)
    for name in ("blendshapes", "head", "gaze", "long_closing", "voice"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.head, other.head)


def test_styles_differ(song: tuple[Truth, F32]) -> None:
    takes = [take(song, style=style) for style in range(len(STYLES))]
    jaws = [shape(t, "jawOpen").mean() for t in takes]
    heads = [speed(t).mean() for t in takes]
    assert len({style.name for style in STYLES}) == len(STYLES) >= 6
    assert max(jaws) > 1.2 * min(jaws)
    assert max(heads) > 1.6 * min(heads)
    for i, a in enumerate(takes):
        for b in takes[:i]:
            assert np.abs(a.blendshapes - b.blendshapes).mean() > 1e-3


def test_ipa_is_read() -> None:
    assert read_ipa("tʃ") == ("tʃ",)
    assert read_ipa("aɪ") == ("a", "ɪ")
    assert read_ipa("iː") == ("i",)
    assert read_ipa("ɔ̃") == ("ɔ",)
    assert read_ipa("t͡s") == ("ts",)
    assert read_ipa("ç") == ("ç",)
    assert read_ipa("i̪") == ("ɨ",)
    assert read_ipa("tsʰ") == ("ts",)
    assert read_ipa("˥5") == ()
    assert nucleus("jɑu") == "ɑ"
    assert is_vowel("ɹ̩ə")
    assert not is_vowel("ŋ")
    assert set(TABLE) >= VOWELS


def test_what_sounds_at_each_frame() -> None:
    phones = (Phone("m", 0.10, 0.20), Phone("aɪ", 0.20, 0.40), Phone(BREATH, 0.5, 0.9))
    heard = [CLASSES[index] for index in sounding(phones, 30)]
    assert heard == [""] * 3 + ["m"] * 3 + ["a"] * 3 + ["ɪ"] * 3 + [""] * 18
    assert len(sounding((Phone("a", 0.0, 9.0),), 30)) == 30
    assert (sounding((Phone("a", 0.0, 9.0),), 30) > 0).all()
