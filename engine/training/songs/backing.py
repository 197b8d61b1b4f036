"""A General MIDI band written bar by bar and played by fluidsynth. Beats and chords are exact."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

from engine.training.songs.harmony import Harmony
from engine.training.songs.voices import F64, MissingEngineError, command

Rng = np.random.Generator

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
HELD_OUT_SOUNDFONT = Path("/usr/share/sounds/sf3/MuseScore_General.sf3")
PACKAGES = {SOUNDFONT: "fluid-soundfont-gm", HELD_OUT_SOUNDFONT: "musescore-general-soundfont"}
TICKS = 960  # a beat
DRUMS = 9  # MIDI's drum channel
KICK, SNARE, STICK, CLAP, CLOSED_HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 37, 39, 42, 46, 49, 51
LOW_TOM, MIDDLE_TOM, HIGH_TOM = 43, 45, 48

KEYS = (0, 1, 2, 4, 5, 6, 7, 11, 16, 17, 18, 19, 21, 24, 25, 26, 27, 46, 80, 104, 106, 108)
BASSES = (32, 33, 34, 35, 36, 38, 39)
PADS = (48, 49, 50, 51, 88, 89, 90, 92, 94, 95, 61, 62)
# Never played: recorded people. As accompaniment they would teach that a real person's held vowel
# is none, when all voices that count are synthetic; real songs' vocal stems hold their choirs too.
SUNG = (52, 53, 54, 85, 91)
LEADS = (
    16, 17, 18, 20, 21, 22, 28, 29, 30, 31, 40, 41, 42, 44, 55, 56, 57, 58, 59, 60, 61, 63, 64, 65,
    66, 67, 68, 69, 71, 72, 73, 74, 75, 78, 79, 80, 81, 82, 83, 84, 86, 87, 104, 105, 109, 110, 111,
)  # fmt: skip
HELD_OUT = frozenset(
    {2, 6, 11, 18, 22, 25, 34, 37, 41, 44, 50, 59, 61, 65, 69, 75, 79, 82, 86, 89, 94, 105}
)


def choose_program(rng: Rng, family: Sequence[int], held_out: bool) -> int:
    """A General MIDI program of a family, of the held-out ones or of the others."""
    return int(rng.choice([number for number in family if (number in HELD_OUT) == held_out]))


@dataclass(slots=True)
class Part:
    """Events being written: (tick, order, message). Programs by channel are set at its start."""

    harmony: Harmony
    rng: Rng
    events: list[tuple[int, int, mido.Message]] = field(default_factory=list)

    def program(self, channel: int, number: int, pan: int = 64, volume: int = 100) -> None:
        """Choose an instrument; pan, volume: 0…127."""
        self.events.append(
            (0, 0, mido.Message("program_change", channel=channel, program=int(number)))
        )
        for control, value in ((10, pan), (7, volume)):
            message = mido.Message(
                "control_change", channel=channel, control=control, value=int(value)
            )
            self.events.append((0, 0, message))

    def tick(self, beats: float) -> int:
        """A place in beats, swung as the harmony says."""
        return max(0, round(self.harmony.at(beats) / self.harmony.beat * TICKS))

    def note(
        self,
        channel: int,
        beats: float,
        length: float,
        pitch: int,
        velocity: float,
        exact: bool = False,
    ) -> None:
        """A note at `beats` for `length` beats; milliseconds off unless `exact`."""
        off = 0 if exact else round(self.rng.normal(0, 0.006) / self.harmony.beat * TICKS)
        start = max(0, self.tick(beats) + off)
        end = max(start + 1, round(start + length * TICKS))
        loud = int(np.clip(velocity + self.rng.normal(0, 5), 15, 127))
        pitch = int(np.clip(pitch, 12, 115))
        on = mido.Message("note_on", channel=channel, note=pitch, velocity=loud)
        self.events.append((start, 2, on))
        self.events.append((end, 1, mido.Message("note_off", channel=channel, note=pitch)))

    def bend(self, channel: int, tick: int, semitones: float) -> None:
        """Turn the pitch wheel; its range is ±2 semitones."""
        value = int(np.clip(semitones / 2 * 8191, -8191, 8191))
        self.events.append(
            (max(0, tick), 1, mido.Message("pitchwheel", channel=channel, pitch=value))
        )

    def file(self) -> mido.MidiFile:
        """All events as a MIDI file of one track."""
        midi = mido.MidiFile(ticks_per_beat=TICKS)
        track = mido.MidiTrack()
        midi.tracks.append(track)
        track.append(mido.MetaMessage("set_tempo", tempo=self.harmony.microseconds))
        now = 0
        for tick, _, message in sorted(self.events, key=lambda event: event[:2]):
            track.append(message.copy(time=tick - now))
            now = tick
        return midi


@dataclass(frozen=True, slots=True)
class Section:
    """Bars [first, end) played with `force` 0…1: how full and how loud."""

    first: int
    end: int
    force: float


def render(part: Part, samples: int, rate: int, soundfont: Path = SOUNDFONT) -> F64:
    """Play a part, dry: [2, samples] at `rate` Hz. Raises MissingEngineError."""
    program = command("fluidsynth", "fluidsynth")
    if not soundfont.exists():
        raise MissingEngineError(f"{soundfont} is missing: apt-get install {PACKAGES[soundfont]}")
    played = rate if rate >= 32000 else 32000  # below, the soundfont's cymbals alias
    with tempfile.TemporaryDirectory() as folder:
        midi, out = Path(folder) / "part.mid", Path(folder) / "part.wav"
        part.file().save(midi)
        options = f"-ni -q -g 0.5 -R 0 -C 0 -r {played} -o synth.dynamic-sample-loading=1 -F {out}"
        subprocess.run(
            [program, *options.split(), str(soundfont), str(midi)], check=True, capture_output=True
        )
        wave, _ = soundfile.read(out)
    if played != rate:
        wave = soxr.resample(wave, played, rate)
    return np.pad(wave, ((0, max(0, samples - len(wave))), (0, 0)))[:samples].T


def comp(
    part: Part, bar: int, style: int, chord: list[int], force: float, touch: float = 1.0
) -> None:
    """Chords in one of seven manners; touch: the share of its length that a note sounds."""
    metre, at = part.harmony.metre, bar * part.harmony.metre
    loud = 45.0 + 40 * force
    if style == 0:
        for beat in range(metre):
            for pitch in chord:
                part.note(0, at + beat, 0.9 * touch, pitch, loud - 10 * (beat % 2))
    elif style == 1:
        for i in range(2 * metre):
            part.note(
                0, at + i / 2, 0.45 * touch, chord[i % len(chord)] + 12 * (i % 6 == 5), loud + 4
            )
    elif style == 2:
        for place, length in ((0, 1.4), (1.5, 1.4), (3, 0.9))[: metre - 1]:
            for pitch in chord:
                part.note(0, at + place, length * touch, pitch, loud + 4)
    elif style == 3:
        for pitch in chord:
            part.note(0, at, (metre - 0.1) * touch, pitch, loud)
    elif style == 4:
        for i in range(2 * metre):
            for j, pitch in enumerate(chord):
                part.note(0, at + i / 2 + 0.012 * j, 0.3 * touch, pitch, loud - 14 * (i % 2))
    elif style == 6:
        for beat in range(metre):
            for pitch in chord:
                part.note(0, at + beat + 0.5, 0.4 * touch, pitch, loud + 6)
    else:
        for i in range(4 * metre):
            part.note(
                0,
                at + i / 4,
                0.3 * touch,
                chord[(i * 2) % len(chord)] + 12 * (i // 2 % 2),
                loud - 6,
            )


def bass(part: Part, bar: int, style: int, force: float) -> None:
    """Bass: roots, fifths, eighths or a walk."""
    harmony = part.harmony
    root = harmony.chord(bar)[0] - 24
    root -= 12 * (root > 45)
    at, loud = bar * harmony.metre, 70 + 25 * force
    if style == 0:
        for beat in range(0, harmony.metre, 2):
            part.note(1, at + beat, 1.8, root, loud)
    elif style == 1:
        for i in range(2 * harmony.metre):
            part.note(1, at + i / 2, 0.45, root + (12 if i % 4 == 3 else 0), loud)
    elif style == 2:
        fifths = (0, 7, 12, 7)
        for beat in range(harmony.metre):
            part.note(1, at + beat, 0.9, root + fifths[beat % 4], loud)
    else:
        for place, length in ((0, 1.4), (1.5, 0.45), (2.5, 0.9)):
            part.note(1, at + place, length, root, loud)


def drum_bar(part: Part, bar: int, style: int, force: float, rng: Rng) -> None:
    """Drums; the kick lands exactly on the beats it is played on."""
    metre, at = part.harmony.metre, bar * part.harmony.metre
    loud = 70 + 40 * force
    for beat in range(metre):
        back = beat % 2 == 1 if metre == 4 else beat > 0
        if not back or style == 3:
            part.note(DRUMS, at + beat, 0.2, KICK, loud + 10, exact=True)
        if back:
            part.note(DRUMS, at + beat, 0.2, (SNARE, STICK, CLAP, SNARE)[style], loud)
        ticks = (0, 0.25, 0.5, 0.75) if style == 2 else (0, 0.5)
        for off in ticks:
            part.note(
                DRUMS,
                at + beat + off,
                0.1,
                RIDE if force > 0.8 else CLOSED_HAT,
                loud - 30 - 14 * (off > 0),
            )
    if rng.random() < 0.4:
        part.note(DRUMS, at + metre - 1.5, 0.2, KICK, loud, exact=True)
    if rng.random() < 0.2:
        part.note(DRUMS, at + metre - 0.5, 0.3, OPEN_HAT, loud - 20)
    if bar % 4 == 3 and rng.random() < 0.7:
        for i, tom in enumerate((HIGH_TOM, MIDDLE_TOM, LOW_TOM)):
            part.note(DRUMS, at + metre - 0.75 + i / 4, 0.2, tom, loud - 5)
    if bar % 8 == 0:
        part.note(DRUMS, at, 0.5, CRASH, loud - 8, exact=True)


@dataclass(frozen=True, slots=True)
class Players:
    """Families of General MIDI programs and the manners (of `comp` and `bass`) a genre has."""

    keys: tuple[int, ...] = KEYS
    basses: tuple[int, ...] = BASSES
    pads: tuple[int, ...] = PADS
    comps: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    lines: tuple[int, ...] = (0, 1, 2, 3)


def write_band(
    rng: Rng,
    harmony: Harmony,
    sections: list[Section],
    players: Players,
    held_out: bool,
    low: bool = True,
    keys: bool = True,
) -> Part:
    """Comping and pad (if `keys`) and bass (if `low`); softer sections have fewer players."""
    part = Part(harmony, rng)
    part.program(
        0,
        choose_program(rng, KEYS if held_out else players.keys, held_out),
        int(rng.integers(30, 98)),
    )
    low_player = choose_program(rng, BASSES if held_out else players.basses, held_out)
    part.program(1, low_player, volume=int(rng.integers(95, 128)))
    part.program(
        2,
        choose_program(rng, PADS if held_out else players.pads, held_out),
        int(rng.integers(30, 98)),
        85,
    )
    chords, line = int(rng.choice(players.comps)), int(rng.choice(players.lines))
    keys_from, bass_from = rng.uniform(-0.5, 0.5), rng.uniform(-0.4, 0.4)
    pad_from = rng.uniform(-0.2, 1.1) if rng.random() < 0.5 else 2.0
    seventh, touch = bool(rng.random() < 0.3), rng.uniform(0.25, 1.1)
    rests = rng.uniform(-0.1, 0.3) if keys else 1.0
    pad_from = pad_from if keys else 2.0
    for section in sections:
        for bar in range(section.first, section.end):
            chord = harmony.chord(bar, seventh)
            if section.force >= keys_from and rng.random() >= rests:
                comp(part, bar, chords, chord, section.force, touch)
            if low and section.force >= bass_from:
                bass(part, bar, line, section.force)
            if section.force >= pad_from:
                at, length = bar * harmony.metre, harmony.metre - 0.05
                for pitch in chord[:3]:
                    part.note(2, at, length, pitch, 40 + 25 * section.force)
    return part


def write_lead(
    part: Part, channel: int, stretches: list[tuple[float, float]], held_out: bool
) -> None:
    """A melody in key on a lead instrument, with bends into notes and wheel vibrato on long ones.

    stretches: [start, end) in beats where it plays.
    """
    rng, harmony = part.rng, part.harmony
    part.program(channel, choose_program(rng, LEADS, held_out), int(rng.integers(20, 108)))
    bend, vibrato = rng.uniform(0, 0.7), rng.uniform(0, 0.9)
    thirds = rng.random() < 0.15
    octave = int(rng.choice([-7, 0, 0, 7]))
    for first, end in stretches:
        beats, degree = first, int(rng.integers(0, 7))
        while beats < end - 0.2:
            length = float(rng.choice([0.25, 0.5, 0.5, 1, 1, 1.5, 2, 4]))
            length = min(length, end - beats)
            degree = int(np.clip(degree + rng.integers(-3, 4), -3, 10))
            if rng.random() < 0.88:
                sounding = length * rng.uniform(0.7, 1.0)
                for step in (0, 2) if thirds else (0,):
                    pitch = harmony.pitch(degree + octave + step)
                    part.note(channel, beats, sounding, pitch, rng.uniform(65, 115), exact=True)
                _turn_wheel(part, channel, beats, sounding, bend, vibrato)
            beats += length


def _turn_wheel(
    part: Part, channel: int, beats: float, length: float, bend: float, vibrato: float
) -> None:
    """Bend into a note from below and shake a long one."""
    rng = part.rng
    start, ticks = part.tick(beats), length * TICKS
    from_below = rng.uniform(0.5, 2.0) if rng.random() < bend else 0.0
    rise = min(ticks * 0.4, rng.uniform(0.06, 0.25) / part.harmony.beat * TICKS)
    for j in range(9):
        part.bend(channel, int(start + rise * j / 8), -from_below * (1 - j / 8))
    seconds = length * part.harmony.beat
    if seconds > 0.4 and rng.random() < vibrato:
        frequency, depth = rng.uniform(4.5, 7), rng.uniform(0.1, 0.7)
        for past in np.arange(0.2, seconds, 0.02):
            wheel = depth * min(1, (past - 0.2) / 0.3) * np.sin(2 * np.pi * frequency * past)
            part.bend(channel, int(start + past / part.harmony.beat * TICKS), wheel)
