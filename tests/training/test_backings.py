"""Made accompaniments: the same each time, in time, in tune, never sung; effects move nothing."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

MODULES = ("mido", "soundfile", "soxr")
SOUNDFONTS = {
    "/usr/share/sounds/sf2/FluidR3_GM.sf2": "fluid-soundfont-gm",
    "/usr/share/sounds/sf3/MuseScore_General.sf3": "musescore-general-soundfont",
}
MISSING = [
    *(f"pip install {name}" for name in MODULES if importlib.util.find_spec(name) is None),
    *([] if shutil.which("fluidsynth") else ["apt-get install fluidsynth"]),
    *(f"apt-get install {name}" for path, name in SOUNDFONTS.items() if not Path(path).exists()),
]
if MISSING:
    pytest.skip(f"backings cannot be made here: {'; '.join(MISSING)}", allow_module_level=True)

from engine.training.songs import backing, drums, leads, synths  # noqa: E402
from engine.training.songs import production as desk  # noqa: E402
from engine.training.songs.arrangement import GENRES, accompany  # noqa: E402
from engine.training.songs.backing import Section, write_band, write_lead  # noqa: E402
from engine.training.songs.guitars import hertz, picked, pluck, rhythm_guitar, strummed  # noqa: E402
from engine.training.songs.hard_backings import KINDS, make_backing  # noqa: E402
from engine.training.songs.harmony import MAJOR, Harmony  # noqa: E402
from engine.training.truth import Note  # noqa: E402

RATE = 16000
HARMONY = Harmony(500_000, 60, MAJOR, (0, 4, 5, 3), metre=4, swing=0.0)
SECTIONS = [Section(0, 2, 0.4), Section(2, 4, 1.0)]
SAMPLES = 9 * RATE


def some_sound(seed: int, seconds: float = 4.0, rate: int = RATE) -> np.ndarray:
    """Bursts of noise below 3.4 kHz, [2, n]."""
    rng = np.random.default_rng(seed)
    noise = desk.band(rng.normal(0, 0.1, (2, int(seconds * rate))), 200, 3400, rate)
    return noise * (np.arange(noise.shape[1]) // (rate // 5) % 2)


def lag(late: np.ndarray, wave: np.ndarray) -> int:
    """Samples by which one sound is later than another."""
    size = 2 * len(wave)
    likeness = np.fft.irfft(np.fft.rfft(late, size) * np.fft.rfft(wave, size).conj())
    at = int(np.argmax(likeness))
    return at if at < size // 2 else at - size


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_backings_are_sound_and_repeat(kind, held_out):
    wave = make_backing(5, kind, held_out=held_out)
    make_backing(6, "leads")  # what came between must not matter
    np.testing.assert_array_equal(wave, make_backing(5, kind, held_out=held_out))
    assert wave.shape[0] == 2
    assert 10 * RATE <= wave.shape[1] <= 24 * RATE
    assert np.isfinite(wave).all()
    assert np.sqrt((wave**2).mean()) > 0.01
    assert np.abs(wave).max() <= 0.9001


def test_nothing_in_an_accompaniment_sings():
    families = [backing.KEYS, backing.BASSES, backing.PADS, backing.LEADS]
    for genre in GENRES.values():
        families += [genre.players.keys, genre.players.basses, genre.players.pads]
    assert not {number for family in families for number in family} & set(backing.SUNG)


def test_held_out_instruments_never_play_in_training():
    def programs(held_out):
        heard = set()
        for seed in range(60):
            rng = np.random.default_rng(seed)
            players = list(GENRES.values())[seed % len(GENRES)].players
            part = write_band(rng, HARMONY, SECTIONS, players, held_out)
            write_lead(part, 3, [(0.0, 8.0)], held_out)
            events = (m for _, _, m in part.events if m.type == "program_change")
            heard |= {message.program for message in events}
        return heard

    train, held_out = programs(False), programs(True)
    assert not train & held_out
    assert len(train) > 40
    assert not set(leads.TRAIN_PLAYERS) & set(leads.HELD_OUT_PLAYERS)
    for genre in GENRES.values():
        assert set(genre.leads) <= set(leads.PLAYERS)
        assert set(genre.drums) <= set(drums.GROOVES)


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("bits", [24000, 32000, 64000])
@pytest.mark.parametrize("name", [desk.MP3, desk.OPUS])
def test_lossy_files_move_nothing(name, bits, rate):
    wave = some_sound(1, rate=rate)
    heard = desk.codec(wave, rate, name, bits)
    assert heard.shape == wave.shape
    assert [lag(a, b) for a, b in zip(heard, wave, strict=True)] == [0, 0]
    assert not np.array_equal(heard, wave)


def test_a_codec_refuses_rates_it_cannot_code():
    with pytest.raises(ValueError, match=r"8000, 12000.* not 44100 Hz"):
        desk.codec(np.zeros((1, 100)), 44100, desk.OPUS, 32000)


def test_releases_keep_time_and_stems_apart():
    voice, backing_ = some_sound(1), some_sound(2)
    nothing = np.zeros_like(voice)
    for seed in range(24):
        heard, rest = desk.release(np.random.default_rng(seed), voice, backing_, RATE)
        assert abs(lag(heard[0], voice[0])) <= 4
        assert abs(lag(rest[0], backing_[0])) <= 4
        alone, silent = desk.release(np.random.default_rng(seed), voice, nothing, RATE)
        assert not np.abs(silent).max() > 1e-6
        assert np.isfinite(alone).all()
        silent, _ = desk.release(np.random.default_rng(seed), nothing, backing_, RATE)
        assert not np.abs(silent).max() > 1e-6


def test_effects_do_not_hear_the_future():
    before, after = some_sound(3), some_sound(3)
    half = after.shape[1] // 2
    after[:, half:] = 0
    effects = (
        lambda x: desk.room(np.random.default_rng(0), x, RATE, 0.8, 0.5),
        lambda x: desk.equalise(np.random.default_rng(0), x, RATE, 6),
        lambda x: desk.chorus(np.random.default_rng(0), x, RATE, 5, 0.001, 0.5),
        lambda x: x * desk.limiting(x, RATE, 0.1),
    )
    for effect in effects:
        np.testing.assert_allclose(
            effect(before)[:, :half], effect(after)[:, :half], rtol=0, atol=1e-12
        )


# --- examples -------------------------------------------------------------------------------------


def test_limiters_and_compressors_only_lower():
    wave = some_sound(4) * np.linspace(0.1, 4, 4 * RATE)
    limited = wave * desk.limiting(wave, RATE, 0.2)
    assert np.abs(limited).max() <= 0.2 + 1e-9
    gain = desk.compression(wave, RATE, 4, 0.005, 0.1)
    assert gain.max() <= 1
    assert gain[-RATE:].mean() < gain[:RATE].mean()


def test_a_kick_ducks_the_rest():
    wave = desk.duck(np.ones((2, RATE)), RATE, [0.5], 0.8, 0.2)
    assert wave[:, : RATE // 2].min() == 1
    assert wave[0, RATE // 2 : RATE // 2 + 400].min() < 0.3
    assert wave[0, -1] == 1


@pytest.mark.parametrize("midi", [40, 52, 64, 76])
def test_plucked_strings_are_in_tune(midi):
    string = pluck(np.random.default_rng(midi), midi, RATE, RATE, 0.3, 2.0)
    spectrum = np.abs(np.fft.rfft(string * np.hanning(RATE), 8 * RATE))
    near = slice(int(8 * hertz(midi - 1)), int(8 * hertz(midi + 1)))
    found = (near.start + np.argmax(spectrum[near])) / 8
    assert abs(1200 * np.log2(found / hertz(midi))) < 12


def test_saws_do_not_alias():
    """A saw on a bin has nothing between its harmonics louder than -40 dB of the first."""
    frequency = 1250.0
    spectrum = np.abs(np.fft.rfft(leads.saw(np.full(RATE, frequency / RATE))))
    first = spectrum[1250]
    spectrum[::1250] = 0
    assert 20 * np.log10(spectrum.max() / first) < -24
    assert 20 * np.log10(spectrum[:1250].max() / first) < -40


@pytest.mark.parametrize("player", sorted(leads.PLAYERS))
def test_leads_play_their_tune(player):
    tune = [Note(1.0, 2.0, 69.0), Note(3.0, 4.0, 69.0)]
    wave = leads.play_lead(np.random.default_rng(3), tune, 5 * RATE, RATE, player).mean(0)
    power = (wave[: 5 * RATE].reshape(-1, RATE // 20) ** 2).mean(1)
    assert np.isfinite(wave).all()
    assert power[:19].max() < 1e-3 * power.max()
    assert power[22:38].mean() > 0.01 * power.max()


@pytest.mark.parametrize("seed", range(6))
def test_kicks_of_made_up_kits_are_on_the_beats(seed):
    rng = np.random.default_rng(seed)
    strokes = drums.write_strokes(rng, HARMONY, [Section(0, 4, 1.0)], "house", 0.0)
    wave, kicks = drums.play_kit(rng, HARMONY, strokes, SAMPLES, RATE)
    assert wave.shape == (2, SAMPLES)
    for beat in range(12):
        assert min(abs(kick - beat * HARMONY.beat) for kick in kicks) < 1 / RATE


def test_every_groove_names_pieces_that_every_kit_has():
    pieces = {piece for grooves in drums.GROOVES.values() for g in grooves for piece in g}
    for kind in drums.KITS:
        kit = drums.Kit(np.random.default_rng(0), RATE, kind)
        assert pieces <= set(kit.pieces)
        for body, bright in kit.pieces.values():
            assert np.isfinite(body).all()
            assert np.isfinite(bright).all()
    assert pieces <= set(drums.GENERAL_MIDI)
    for grooves in drums.GROOVES.values():
        assert {len(pattern) for g in grooves for pattern in g.values()} <= {12, 16}


@pytest.mark.parametrize("play", [strummed, picked, rhythm_guitar, synths.arpeggio])
def test_players_fill_the_time(play):
    wave = play(np.random.default_rng(2), HARMONY, SAMPLES, RATE)
    assert wave.shape == (2, SAMPLES)
    assert np.isfinite(wave).all()
    seconds = (wave[:, : 8 * RATE].reshape(2, 8, RATE) ** 2).mean((0, 2))
    assert seconds.min() > 1e-5


def test_an_accompaniment_may_shadow_the_voice():
    notes = [Note(0.5 * k, 0.5 * k + 0.4, 60.0 + k) for k in range(12)]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        wave = accompany(rng, HARMONY, SECTIONS, (), notes, False, SAMPLES, RATE)
        assert wave.shape == (2, SAMPLES)
        assert np.isfinite(wave).all()
        assert wave.any()


def test_bands_breathe_as_recordings_do():
    """Crest factor and the span of 10 ms levels; two real songs have 12–17 dB and 9–11 dB."""
    crests, spans = [], []
    for seed in range(700, 706):
        wave = make_backing(seed, "bands").mean(0)
        blocks = (wave[: len(wave) // 160 * 160].reshape(-1, 160) ** 2).mean(1)
        crests.append(20 * np.log10(np.abs(wave).max() / wave.std()))
        spans.append(10 * np.log10(np.percentile(blocks, 95) / (np.percentile(blocks, 20) + 1e-9)))
    assert 10 < np.median(crests) < 20
    assert np.median(spans) > 3
