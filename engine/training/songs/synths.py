"""Synthesisers that carry a piece: basses beyond General MIDI, pads, arpeggios, risers.

Every player gives sound [2, samples] near LEVEL, in key and time.
"""

from __future__ import annotations

import numpy as np

from engine.training.songs import production as desk
from engine.training.songs.backing import Section
from engine.training.songs.guitars import amplify, hertz, pluck
from engine.training.songs.harmony import Harmony
from engine.training.songs.leads import saw, sweep
from engine.training.songs.voices import F64

Rng = np.random.Generator
BASS_LINES = {
    "roots": (0, 2), "eighths": (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5), "off": (0.5, 1.5, 2.5, 3.5),
    "gallop": (0, 0.5, 0.75, 1, 1.5, 1.75, 2, 2.5, 2.75, 3, 3.5, 3.75),
    "dotted": (0, 0.75, 1.5, 2.5, 3), "sparse": (0, 1.5, 2.75), "long": (0,),
}  # fmt: skip
BASS_SOUNDS = ("808", "saw", "reese", "square", "fm", "string")


def _bass_note(rng: Rng, sound: str, midi: float, length: float, rate: int, grit: float) -> F64:
    """A note of `length` seconds, [n]; grit: 0…1."""
    count = int(length * rate)
    times = np.arange(count) / rate
    step = np.full(count, hertz(midi) / rate)
    fade = np.minimum(1, np.arange(count)[::-1] / (0.01 * rate)) * np.minimum(1, times / 0.003)
    if sound == "808":
        turns = hertz(midi) * times + 0.3 * (1 - np.exp(-times / 0.03))
        wave = np.tanh(np.sin(2 * np.pi * turns) * (1 + 4 * grit)) * np.exp(-times / 0.7)
    elif sound == "fm":
        phase = 2 * np.pi * np.cumsum(step)
        wave = np.sin(phase + (0.5 + 4 * grit) * np.exp(-times / 0.12) * np.sin(2 * phase))
    elif sound == "string":
        return pluck(rng, midi, count, rate, 0.3 + 0.5 * (1 - grit), 0.15) * fade * 3
    elif sound == "square":
        ramp = saw(step)
        wave = ramp - np.roll(ramp, int(0.5 * rate / hertz(midi)))
    else:
        spread = 0.006 if sound == "reese" else 0.0
        wave = saw(step) + (saw(step * (1 + spread)) if spread else 0.0)
    if sound not in ("808", "fm"):
        cutoff = (120 + 2500 * grit * (0.25 + np.exp(-times / 0.15))) / rate
        wave = sweep(wave, cutoff, 0.5 + rng.uniform(0, 0.9), 0.0)
    return wave * fade


def synth_bass(
    rng: Rng,
    harmony: Harmony,
    sections: list[Section],
    kicks: list[float],
    samples: int,
    rate: int,
) -> F64:
    """A bass line on chord roots; an 808 follows the kicks (s) where there are any."""
    sound, grit = str(rng.choice(BASS_SOUNDS)), rng.uniform(0, 1)
    places = BASS_LINES[str(rng.choice(list(BASS_LINES)))]
    leap, enters = float(rng.choice([0, 0, 7, 12])), rng.uniform(-0.3, 0.4)
    track = np.zeros(samples)
    for section in sections:
        if section.force < enters:
            continue
        for bar in range(section.first, section.end):
            root = harmony.chord(bar)[0] - 36
            root += 12 * (root < 28)
            starts = [harmony.at(bar * harmony.metre + b) for b in places if b < harmony.metre]
            first, end = harmony.at(bar * harmony.metre), harmony.at((bar + 1) * harmony.metre)
            under = [kick for kick in kicks if first <= kick < end]
            if sound == "808" and under:
                starts = under
            for k, (at, after) in enumerate(zip(starts, [*starts[1:], end], strict=True)):
                midi = root + (leap if k % 4 == 3 else 0)
                note = _bass_note(rng, sound, midi, max(after - at, 0.05) * 0.95, rate, grit)
                desk.put(track, note, int(at * rate), rng.uniform(0.85, 1))
    if rng.random() < 0.4:
        track = amplify(rng, track, rate, rng.uniform(0, 0.5))
    return desk.level(desk.pan(track, 0.0))


def synth_pad(rng: Rng, harmony: Harmony, sections: list[Section], samples: int, rate: int) -> F64:
    """Held chords of detuned saws through a slow filter: strings of a machine."""
    wave = np.zeros((2, samples))
    dark, enters = rng.uniform(300, 2500), rng.uniform(-0.3, 0.6)
    forces = {bar: s.force for s in sections for bar in range(s.first, s.end)}
    lines: list[list[F64]] = [[], []]
    for voice in range(3):
        curve = np.full(samples, 100.0)
        for bar in range(harmony.bars):
            a = int(harmony.at(bar * harmony.metre) * rate)
            curve[a:] = hertz(harmony.chord(bar)[voice])
        for ear in range(2):
            cents = rng.normal(0, 9)
            lines[ear].append(saw(curve * 2 ** (cents / 1200) / rate))
    gain = np.zeros(samples)
    for bar, force in forces.items():
        a, b = (int(harmony.at(k * harmony.metre) * rate) for k in (bar, bar + 1))
        gain[a:b] = force if force >= enters else 0.0
    soft = np.exp(-1 / (rate * rng.uniform(0.02, 0.6)))
    gain = desk.smooth(gain, soft)
    slow = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(0.03, 0.3) * np.arange(samples) / rate)
    for ear in range(2):
        wave[ear] = sweep(sum(lines[ear], np.zeros(samples)) * gain, dark * slow / rate, 1.2, 0.0)
    return desk.level(desk.room(rng, wave, rate, rng.uniform(0.5, 2.0), rng.uniform(0.1, 0.5)))


def arpeggio(rng: Rng, harmony: Harmony, samples: int, rate: int) -> F64:
    """Short filtered notes over the chord in sixteenths or eighths, with echoes."""
    track, every = np.zeros(samples), float(rng.choice([0.25, 0.25, 0.5]))
    count, octave = int(harmony.metre / every), int(rng.choice([-12, 0, 0, 12]))
    order, sound = rng.integers(0, 6, count), str(rng.choice(["saw", "square", "fm", "string"]))
    rests, grit = rng.random(count) < rng.uniform(0, 0.5), rng.uniform(0.2, 1)
    for bar in range(harmony.bars):
        chord = harmony.chord(bar)
        for k in np.flatnonzero(~rests):
            midi = chord[order[k] % 3] + 12 * (order[k] // 3) + octave
            at = harmony.at(bar * harmony.metre + k * every)
            note = _bass_note(rng, sound, midi, every * harmony.beat, rate, grit)
            desk.put(track, note, int(at * rate))
    echo = int(0.75 * harmony.beat * rate)
    track[echo:] += rng.uniform(0, 0.5) * track[:-echo].copy()
    wave = desk.chorus(rng, desk.pan(track, rng.uniform(-0.6, 0.6)), rate, 0.5, 0.002, 0.5)
    return desk.level(desk.room(rng, wave, rate, rng.uniform(0.2, 1.5), rng.uniform(0, 0.3)))


def risers(rng: Rng, harmony: Harmony, sections: list[Section], samples: int, rate: int) -> F64:
    """Noise or a siren that climbs through the bar before each loud section."""
    track = np.zeros(samples)
    siren = rng.random() < 0.3
    for section in sections[1:]:
        if section.force < 0.6:
            continue
        start = harmony.at((section.first - 1) * harmony.metre)
        count = int((harmony.at(section.first * harmony.metre) - start) * rate)
        climb = np.linspace(0, 1, count)
        if siren:
            wave = np.sin(2 * np.pi * np.cumsum(200 * 6**climb) / rate)
        else:
            noise = rng.normal(0, 1, count)
            wave = sweep(noise, 300 * 8**climb / rate, 0.5, 1.0)
        desk.put(track, wave * climb**2, int(start * rate))
    return desk.level(desk.pan(track, 0.0))
