"""Whole accompaniments: a genre chooses the players, sections their forces, a desk mixes them.

Leads, guitars and organs play inside songs, in key and often on the voice's own notes; otherwise
being out of key would come to mean accompaniment. Nothing here sings: see `backing.SUNG`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.signal import sosfilt

from engine.training.songs import guitars, synths
from engine.training.songs import production as desk
from engine.training.songs.backing import (
    HELD_OUT_SOUNDFONT,
    SOUNDFONT,
    Part,
    Players,
    Section,
    render,
    write_band,
    write_lead,
)
from engine.training.songs.drums import Stroke, play_kit, write_for_gm, write_strokes
from engine.training.songs.fm_band import play_fm_band
from engine.training.songs.harmony import Harmony
from engine.training.songs.leads import (
    HELD_OUT_PLAYERS,
    TRAIN_PLAYERS,
    play_lead,
    write_tune,
)
from engine.training.songs.voices import F64
from engine.training.truth import Note, Phrase

Rng = np.random.Generator
Stretches = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Genre:
    """What a kind of music is made of; numbers are chances unless said otherwise.

    tempo: beats a minute it is at home in. drums: grooves. leads: of `leads.PLAYERS`.
    machine: a made-up kit rather than General MIDI's. pump: side-chain from the kick. keys: a
    General MIDI keyboard, guitar or the like, and pads.
    """

    tempo: tuple[int, int]
    drums: tuple[str, ...]
    leads: tuple[str, ...]
    players: Players = field(default_factory=Players)
    keys: float = 0.85
    machine: float = 0.55
    drumless: float = 0.08
    strummed: float = 0.15
    picked: float = 0.15
    riffs: float = 0.0
    synth_bass: float = 0.25
    pad: float = 0.15
    arpeggio: float = 0.05
    pump: float = 0.0
    riser: float = 0.0


_PIANO, _ORGAN, _STRINGS = (0, 1, 2, 4, 5), (16, 17, 18, 19, 20), (48, 49, 50, 51)
_GUITARS, _BRASS, _FOLK = (24, 25, 26, 27), (61, 62, 56, 57), (21, 22, 23, 15, 46, 105, 106, 110)
_SYNTHS = (80, 81, 82, 84, 87, 88, 89, 90, 93, 95)
GENRES: dict[str, Genre] = {
    "pop": Genre((85, 130), ("pop", "rock", "house"), ("synth", "guitar", "flute", "bow")),
    "rock": Genre(
        (95, 160), ("rock",), ("guitar", "organ", "sax"), keys=0.5, riffs=0.85, picked=0.25,
        synth_bass=0.1,
    ),
    "metal": Genre(
        (100, 170), ("metal", "punk"), ("guitar",), keys=0.2, riffs=1.0, strummed=0.0,
        synth_bass=0.15,
    ),
    "punk": Genre(
        (130, 175), ("punk", "rock"), ("guitar", "organ"), keys=0.2, riffs=1.0, synth_bass=0.1
    ),
    "ballad": Genre(
        (60, 95), ("ballad",), ("bow", "sax", "flute", "guitar"), Players(_PIANO, pads=_STRINGS),
        drumless=0.25, picked=0.35, pad=0.3,
    ),
    "folk": Genre(
        (75, 130), ("ballad", "country"), ("flute", "reed", "bow", "whistle"),
        Players(_FOLK + _GUITARS, (32, 33), _STRINGS, (1, 2, 3)), keys=0.5, drumless=0.5,
        strummed=0.7, picked=0.5, synth_bass=0.0,
    ),
    "songwriter": Genre(
        (65, 130), ("ballad", "country"), ("reed", "flute", "bow"), Players((24, 25, 0), (32, 33)),
        keys=0.15, drumless=0.8, strummed=0.5, picked=0.8, synth_bass=0.2, pad=0.05,
    ),
    "country": Genre(
        (85, 140), ("country", "rock"), ("bow", "reed", "guitar"), Players((*_GUITARS, 105, 0)),
        strummed=0.6, picked=0.4, synth_bass=0.0,
    ),
    "blues": Genre(
        (65, 125), ("rock", "jazz"), ("reed", "guitar", "sax", "organ"), Players(_ORGAN + _PIANO),
        riffs=0.35, synth_bass=0.0,
    ),
    "jazz": Genre(
        (80, 170), ("jazz", "bossa"), ("sax", "brass", "flute", "bow"),
        Players((0, 1, 4, 11, 26), (32, 32, 35), _BRASS, (1, 2, 3), (2, 2, 0)), machine=0.35,
        synth_bass=0.0,
    ),
    "bossa": Genre(
        (95, 140), ("bossa", "latin"), ("flute", "sax", "whistle"),
        Players((24, 0, 11), (32, 33), _STRINGS, (2, 4), (3, 0)), strummed=0.4, synth_bass=0.0,
    ),
    "latin": Genre(
        (90, 130), ("latin", "bossa"), ("brass", "flute", "reed"),
        Players((0, 24, 21, 12), pads=_BRASS, comps=(1, 2, 5)), strummed=0.35,
    ),
    "reggae": Genre(
        (65, 95), ("reggae",), ("organ", "reed", "sax"), Players(_ORGAN + _GUITARS, comps=(2, 4)),
        strummed=0.5,
    ),
    "funk": Genre(
        (90, 125), ("funk", "break"), ("synth", "sax", "brass", "guitar"),
        Players((4, 5, 7, 16, 27, 28), (36, 37, 33), _BRASS, (1, 4, 5), (1, 3)), strummed=0.5,
    ),
    "disco": Genre(
        (105, 130), ("house", "funk"), ("bow", "brass", "synth"),
        Players(_PIANO, pads=_STRINGS, lines=(1, 2)), strummed=0.4, pump=0.3, synth_bass=0.4,
    ),
    "house": Genre(
        (115, 150), ("house",), ("synth",), Players(_SYNTHS + _PIANO, (38, 39), _SYNTHS),
        machine=0.95, strummed=0.0, picked=0.05, synth_bass=0.8, pad=0.6, arpeggio=0.5, pump=0.8,
        riser=0.6,
    ),
    "trap": Genre(
        (65, 160), ("trap", "boombap"), ("synth", "flute", "whistle"),
        Players((0, 11, 12, 46, 108, 88), (38, 39), (88, 89, 48)), machine=0.95, strummed=0.0,
        picked=0.15, synth_bass=0.9, pad=0.4, arpeggio=0.25, riser=0.2,
    ),
    "hiphop": Genre(
        (75, 105), ("boombap", "funk"), ("synth", "flute", "sax", "brass"),
        Players((0, 4, 5, 7, 11), (32, 33, 38), _STRINGS), machine=0.8, synth_bass=0.6, pad=0.3,
    ),
    "synthwave": Genre(
        (80, 140), ("house", "rock", "pop"), ("synth", "guitar", "sax"),
        Players(_SYNTHS, (38, 39), _SYNTHS), machine=0.95, strummed=0.0, synth_bass=0.9, pad=0.7,
        arpeggio=0.6, pump=0.4, riser=0.3,
    ),
    "break": Genre(
        (80, 175), ("break", "boombap"), ("synth", "organ"), machine=0.85, strummed=0.05,
        synth_bass=0.8, pad=0.5, arpeggio=0.3, riser=0.4,
    ),
    "chamber": Genre(
        (60, 120), ("ballad",), ("bow", "flute", "brass", "reed"),
        Players((0, 6, 46, 48, 45), (32, 43, 42), (48, 49, 60, 71), (0, 1, 3), (0, 0, 3)),
        drumless=0.85, strummed=0.0, synth_bass=0.0,
    ),
    "chanson": Genre(
        (70, 150), ("jazz", "ballad"), ("reed", "bow", "sax"),
        Players((21, 23, 0, 24), (32, 33), _STRINGS, (1, 2, 3), (0, 2)), drumless=0.4,
        strummed=0.3, synth_bass=0.0,
    ),
}  # fmt: skip


def choose_genre(rng: Rng, harmony: Harmony) -> Genre:
    """One of GENRES, three times as likely where the tempo suits it."""
    tempo = 60 / harmony.beat
    weights = np.array([3.0 if g.tempo[0] <= tempo <= g.tempo[1] else 1.0 for g in GENRES.values()])
    return list(GENRES.values())[rng.choice(len(GENRES), p=weights / weights.sum())]


@dataclass(slots=True)
class Session:
    """What all players of one piece share."""

    rng: Rng
    harmony: Harmony
    sections: list[Section]
    genre: Genre
    samples: int
    rate: int
    tracks: list[F64] = field(default_factory=list)
    kicks: list[float] = field(default_factory=list)

    def play(self, sound: F64, low: float, high: float, pumped: bool = True) -> None:
        """Add a track [2, samples] at `low`…`high` dB."""
        if pumped and self.kicks and self.rng.random() < self.genre.pump:
            depth, back = self.rng.uniform(0.3, 0.9), self.rng.uniform(0.15, 0.4)
            sound = desk.duck(sound, self.rate, self.kicks, depth, back)
        self.tracks.append(sound * 10 ** (self.rng.uniform(low, high) / 20))

    def chance(self, odds: float) -> bool:
        return bool(self.rng.random() < odds)


def stretches(rng: Rng, harmony: Harmony, phrases: Sequence[Phrase]) -> Stretches:
    """Where a lead plays, in beats: through the whole piece, in the voice's rests, or at random."""
    total = float(harmony.bars * harmony.metre)
    kind = rng.integers(3)
    if kind == 0:
        return [(0.0, total)]
    if kind == 1:
        edges = [0.0, *(harmony.beats_at(t) for p in phrases for t in (p.start, p.end)), total]
        rests = [(np.ceil(a), b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 2]
        return rests or [(0.0, total)]
    return [(float(b), float(b + 8)) for b in range(0, int(total), 8) if rng.random() < 0.6]


def _drum(session: Session, part: Part) -> None:
    """Write the drums into the part for General MIDI, or play them on a made-up kit."""
    rng, genre = session.rng, session.genre
    if session.chance(genre.drumless):
        return
    style = str(rng.choice(genre.drums))
    enters = rng.uniform(-0.3, 0.65)
    strokes = write_strokes(rng, session.harmony, session.sections, style, enters)
    if session.chance(genre.machine):
        _play_made_up(session, strokes)
    else:
        write_for_gm(rng, part, strokes)
        session.kicks = [session.harmony.at(s.beats) for s in strokes if s.piece == "kick"]


def _play_made_up(session: Session, strokes: list[Stroke]) -> None:
    sound, session.kicks = play_kit(
        session.rng, session.harmony, strokes, session.samples, session.rate
    )
    session.play(sound, -3, 6, pumped=False)


def _play_chords(session: Session) -> None:
    """Guitars, pads and arpeggios as the genre likes them."""
    rng, harmony, genre = session.rng, session.harmony, session.genre
    here = (rng, harmony, session.samples, session.rate)
    sectioned = (rng, harmony, session.sections, session.samples, session.rate)
    players: tuple[tuple[float, Callable[..., F64], tuple, float, float], ...] = (
        (genre.riffs, guitars.rhythm_guitar, here, -6, 3),
        (genre.strummed, guitars.strummed, here, -8, 1),
        (genre.picked, guitars.picked, here, -9, 0),
        (genre.pad, synths.synth_pad, sectioned, -10, 0),
        (genre.arpeggio, synths.arpeggio, here, -10, -1),
        (genre.riser, synths.risers, sectioned, -14, -5),
    )
    for odds, player, arguments, low, high in players:
        if session.chance(odds):
            session.play(player(*arguments), low, high)


def _shadow(rng: Rng, notes: Sequence[Note], harmony: Harmony) -> list[Note]:
    """The voice's own tune: with it, an octave off, or a bar later."""
    octave = float(rng.choice([-12, 0, 0, 12]))
    late = harmony.beat * harmony.metre if rng.random() < 0.3 else rng.uniform(-0.01, 0.04)
    return [Note(n.start + late, n.end + late, n.midi + octave) for n in notes]


def _play_leads(
    session: Session, part: Part, phrases: Sequence[Phrase], notes: Sequence[Note]
) -> None:
    """One to three leads: General MIDI's in the part, others beside it."""
    rng, harmony = session.rng, session.harmony
    for channel, odds in enumerate((0.65, 0.3, 0.08), 3):
        if not session.chance(odds):
            continue
        if session.chance(0.45):
            write_lead(part, channel, stretches(rng, harmony, phrases), held_out=False)
            continue
        shadow = notes and session.chance(0.25)
        tune = (
            _shadow(rng, notes, harmony)
            if shadow
            else write_tune(rng, harmony, stretches(rng, harmony, phrases))
        )
        own = [name for name in session.genre.leads if name in TRAIN_PLAYERS]
        names = own if own and session.chance(0.6) else TRAIN_PLAYERS
        player = str(rng.choice(names))
        session.play(play_lead(rng, tune, session.samples, session.rate, player), -8, 3)


def _breathing(session: Session) -> F64:
    """Gain [samples] of the whole: soft sections softer, now and then a stop before a section."""
    rng, rate, harmony = session.rng, session.rate, session.harmony
    gain = np.ones(session.samples)
    span, stops = rng.uniform(2, 14), rng.random() < 0.35
    for section in session.sections:
        a, b = (int(harmony.at(k * harmony.metre) * rate) for k in (section.first, section.end))
        gain[a:] = 10 ** (span * (section.force - 0.8) / 20)
        if stops and rng.random() < 0.5:
            hush = harmony.at(section.end * harmony.metre - float(rng.choice([0.5, 1, 2])))
            gain[int(hush * rate) : b] *= rng.choice([0.0, 0.1])
    return desk.smooth(gain, float(np.exp(-1 / (0.015 * rate))))


def _mix(session: Session) -> F64:
    """The tracks on one bus: [2, samples] near LEVEL. An empty piece gets a guitar."""
    rng, rate = session.rng, session.rate
    wave = np.sum(session.tracks, axis=0)
    if np.abs(wave).max() < 1e-3:
        wave = guitars.strummed(rng, session.harmony, session.samples, rate)
    wave = wave * _breathing(session)
    warm = [
        desk.bell(rng.uniform(60, 130), rng.uniform(-1, 6), 1.0, rate),
        desk.bell(rng.uniform(500, 1500), rng.uniform(-6, 1), 1.5, rate),
    ]
    wave = sosfilt(np.concatenate(warm), wave)
    if session.chance(0.4):
        wave = desk.room(rng, wave, rate, rng.uniform(0.2, 2.0), rng.uniform(0.02, 0.15))
    if session.chance(0.6):
        wave = desk.equalise(rng, wave, rate, 3)
    if session.chance(0.4):
        release, attack = rng.uniform(0.06, 0.4), rng.uniform(0.003, 0.03)
        wave = wave * desk.compression(wave, rate, rng.uniform(1.5, 4), attack, release)
    if session.chance(0.25):
        wave = desk.saturate(wave, rng.uniform(0.4, 2), rng.uniform(0, 0.2))
    if session.chance(0.1):
        wave = wave + rng.normal(0, 10 ** rng.uniform(-3.7, -2.5), wave.shape)  # tape or vinyl
    return desk.level(wave)


def _unseen(
    rng: Rng, harmony: Harmony, sections: list[Section], where: Stretches, samples: int, rate: int
) -> F64:
    """A band of a family training never hears: FM voices, or another soundfont's programs.

    Mostly with a loud lead, for what sings is what separators fail on.
    """
    if rng.random() < 0.4:
        wave = desk.level(play_fm_band(rng, harmony, sections, where, samples, rate))
    else:
        genre = choose_genre(rng, harmony)
        part = write_band(rng, harmony, sections, genre.players, held_out=True)
        strokes = write_strokes(rng, harmony, sections, str(rng.choice(genre.drums)), 0.3)
        write_for_gm(rng, part, strokes)
        write_lead(part, 3, where, held_out=True)
        wave = desk.level(render(part, samples, rate, HELD_OUT_SOUNDFONT))
        if rng.random() < 0.3:
            wave = desk.saturate(wave, rng.uniform(1, 6), rng.uniform(0, 0.3))
    for odds in (0.7, 0.3):
        if rng.random() < odds:
            tune, player = write_tune(rng, harmony, where), str(rng.choice(HELD_OUT_PLAYERS))
            lead = play_lead(rng, tune, samples, rate, player)
            wave = wave + 10 ** (rng.uniform(-8, 4) / 20) * lead
    return desk.level(wave)


def accompany(
    rng: Rng,
    harmony: Harmony,
    sections: list[Section],
    phrases: Sequence[Phrase],
    notes: Sequence[Note],
    held_out: bool,
    samples: int,
    rate: int,
) -> F64:
    """The backing [2, samples] near LEVEL of a voice that sings `phrases` of `notes`, if any.

    held_out: instruments, sounds and soundfont that training never hears.
    """
    if held_out:
        where = stretches(rng, harmony, phrases)
        return _unseen(rng, harmony, sections, where, samples, rate)
    genre = choose_genre(rng, harmony)
    session = Session(rng, harmony, sections, genre, samples, rate)
    low = rng.random() >= genre.synth_bass
    keys = rng.random() < genre.keys
    part = write_band(rng, harmony, sections, genre.players, held_out=False, low=low, keys=keys)
    _drum(session, part)
    if not low:
        session.play(synths.synth_bass(rng, harmony, sections, session.kicks, samples, rate), -5, 2)
    _play_chords(session)
    _play_leads(session, part, phrases, notes)
    _play_part(session, part)
    return _mix(session)


def _play_part(session: Session, part: Part) -> None:
    """The General MIDI band, now and then far behind the others or through an amplifier."""
    rng, rate = session.rng, session.rate
    band = desk.level(render(part, session.samples, rate, SOUNDFONT))
    kind = rng.random()
    if kind < 0.1:
        band = desk.saturate(band, rng.uniform(1.5, 8), rng.uniform(0, 0.4))
    elif kind < 0.2:
        band = desk.chorus(rng, band, rate, rng.uniform(0.5, 6.5), rng.uniform(0.0003, 0.0015), 0.6)
    quiet = len(session.tracks) > 1 and session.chance(0.15)
    session.play(band, *((-20, -12) if quiet else (-2, 2)))
