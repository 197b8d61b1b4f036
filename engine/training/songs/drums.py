"""Drummers: grooves of many genres, on made-up kits in made-up rooms or written for GM kits.

A kit's piece is a body and a brightness, [n] each: a harder stroke has more of the second.
Metal of machines: six squares at the TR-808's ratios, as its service notes give them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from engine.training.songs import production as desk
from engine.training.songs.backing import DRUMS, Part, Section
from engine.training.songs.harmony import Harmony
from engine.training.songs.voices import F64

Rng = np.random.Generator
Groove = dict[str, str]

# A bar in sixteenths: X accent, x stroke, o soft, . ghost, - rest. Waltzes have twelve.
GROOVES: dict[str, tuple[Groove, ...]] = {
    "rock": (
        {"kick": "X-----x-x-x-----", "snare": "----X-------X---", "hat": "x-o-x-o-x-o-x-o-"},
        {"kick": "X-x-----x-x---x-", "snare": "----X-------X---", "ride": "x-o-x-o-x-o-x-o-"},
        {"kick": "X---x---X---x---", "snare": "----X-------X---", "crash": "x---o---x---o---"},
    ),
    "metal": (
        {"kick": "XoxoXoxoXoxoXoxo", "snare": "----X-------X---", "crash": "x---x---x---x---"},
        {"kick": "X--xx--xX--xx--x", "snare": "--------X-------", "open": "x---x---x---x---"},
    ),
    "punk": (
        {"kick": "X---x-x-X---x-x-", "snare": "--X---X---X---X-", "hat": "x-x-x-x-x-x-x-x-"},
    ),
    "ballad": (
        {"kick": "X-------x-x-----", "rim": "----x-------x---", "hat": "x-o-x-o-x-o-x-o-"},
        {"kick": "X-----o-x-------", "snare": "--------X-------", "ride": "x---x---x---x---"},
    ),
    "pop": (
        {"kick": "X-----x-x-------", "snare": "----X-------X---", "hat": "x-o-x-o-x-o-x-o-"},
        {"kick": "X--x--x-x-------", "clap": "----X-------X---", "shaker": "xoxoxoxoxoxoxoxo"},
    ),
    "house": (
        {"kick": "X---X---X---X---", "clap": "----X-------X---", "open": "--x---x---x---x-"},
        {"kick": "X---X---X---X---", "snare": "----x-------x---", "hat": "oxxxoxxxoxxxoxxx"},
    ),
    "trap": (
        {"kick": "X-----x---x-----", "clap": "--------X-------", "hat": "xoxoxoxoxoxxxoxo"},
        {"kick": "X--x-----x--x---", "snare": "--------X-------", "hat": "x-x-x-xxx-x-xxxx"},
    ),
    "boombap": (
        {"kick": "X--x------x--x--", "snare": "----X--.-.--X---", "hat": "x-o-x-o-x-o-x-ox"},
        {"kick": "X-x-----x--x----", "snare": "----X-------X-.-", "hat": "x-x-x-x-x-x-x-x-"},
    ),
    "funk": (
        {"kick": "X-x---x---x--x--", "snare": "----X--.-.-.X--.", "hat": "xoxoxoxoxoxoxoxo"},
        {"kick": "X--x--x-.-x-----", "snare": "----X-.--.--X-.-", "tambourine": "--x---x---x---x-"},
    ),
    "reggae": (
        {"kick": "--------X-------", "rim": "--------X-------", "hat": "o-x-o-x-o-x-o-xo"},
        {"kick": "X---X---X---X---", "rim": "--------X-----.-", "hat": "x-o-x-oox-o-x-o-"},
    ),
    "bossa": (
        {"kick": "x--ox--ox--ox--o", "rim": "x--x--x---x--x--", "shaker": "xoxoxoxoxoxoxoxo"},
        {"kick": "x--ox--ox--ox--o", "conga": "--o-x-oo--o-x-oo", "hat": "o-x-o-x-o-x-o-x-"},
    ),
    "jazz": (
        {"kick": "o---o---o---o---", "ride": "X---x--oX---x--o", "pedal": "----x-------x---"},
        {"brush": "xoooxoooxoooxooo", "ride": "x---x--ox---x--o", "pedal": "----x-------x---"},
    ),
    "country": (
        {"kick": "X-------x-------", "brush": "ooxoooxoooxoooxo", "rim": "----o-------o---"},
        {"kick": "X---x---x---x---", "snare": "--x-.-x-.-x-.-x-", "hat": "x---x---x---x---"},
    ),
    "latin": (
        {"kick": "x--ox--ox--ox--o", "cowbell": "x-x-xx-xx-x-x-xx", "conga": "o-x-o-xxo-x-o-xx"},
        {"kick": "X---X---X---X---", "snare": "---x--x----x--x-", "shaker": "oxoxoxoxoxoxoxox"},
    ),
    "break": (
        {"kick": "X-x-------x-----", "snare": "----X--.-.--X--.", "ride": "x-x-x-x-x-x-x-x-"},
    ),
    "waltz": (
        {"kick": "X-----------", "brush": "----x---x---", "hat": "o---x---x---"},
        {"kick": "X-------o---", "snare": "----o---x---", "ride": "x---x-o-x---"},
        {"kick": "X-----x-----", "rim": "------x-----", "shaker": "xoxoxoxoxoxo"},
    ),
}  # fmt: skip
VELOCITY = {"X": 1.0, "x": 0.78, "o": 0.5, ".": 0.28}
GENERAL_MIDI = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "pedal": 44, "open": 46, "crash": 49,
    "ride": 51, "tom1": 48, "tom2": 45, "tom3": 41, "shaker": 82, "tambourine": 54, "cowbell": 56,
    "conga": 63, "brush": 38, "snap": 39,
}  # fmt: skip
GM_KITS = (0, 0, 8, 16, 24, 25, 32, 40)
KITS = ("studio", "studio", "garage", "dead", "808", "909", "tape")
MACHINES = ("808", "909")
RATIOS_808 = np.array([205.3, 369.6, 304.4, 522.7, 359.4, 800.0])  # Hz


@dataclass(frozen=True, slots=True)
class Stroke:
    """A piece struck at a place in beats; velocity 0…1."""

    beats: float
    piece: str
    velocity: float


def write_strokes(
    rng: Rng, harmony: Harmony, sections: list[Section], style: str, enters: float
) -> list[Stroke]:
    """A drummer's part; sections softer than `enters` have none, soft ones less of it."""
    groove = GROOVES["waltz" if harmony.metre == 3 else style]
    chosen = dict(groove[rng.integers(len(groove))])
    steps, strokes = 4 * harmony.metre, []
    busy = rng.uniform(0, 0.06)
    for section in sections:
        if section.force < enters:
            continue
        soft = section.force < 0.45
        for bar in range(section.first, section.end):
            downbeat = bar * harmony.metre
            last = bar == section.end - 1 or bar % 4 == 3
            filled = steps - int(rng.choice([2, 4, 8])) if last and rng.random() < 0.6 else steps
            if bar == section.first and not soft and rng.random() < 0.7:
                strokes.append(Stroke(downbeat, "crash", 0.9))
            for piece, pattern in chosen.items():
                if soft and piece in ("crash", "open", "clap"):
                    continue
                for step in range(steps):
                    mark = pattern[step % len(pattern)]
                    if mark == "-" and piece in ("kick", "snare") and rng.random() < busy:
                        mark = "."
                    if mark != "-" and step < filled + 2 * (piece == "kick"):
                        hard = VELOCITY[mark] * (0.7 + 0.3 * section.force) * rng.uniform(0.85, 1.1)
                        strokes.append(Stroke(downbeat + step / 4, piece, min(1, hard)))
            strokes += _fill(rng, downbeat, filled, steps)
    return strokes


def _fill(rng: Rng, downbeat: float, first: int, steps: int) -> list[Stroke]:
    """A run over snare and toms in a bar's last steps, growing louder."""
    strokes = []
    every = int(rng.choice([1, 1, 2]))
    for step in range(first, steps, every):
        through = (step - first) / max(steps - first, 1)
        piece = ("snare", "tom1", "tom2", "tom3")[min(3, int(through * 4 + rng.uniform(-0.6, 0.6)))]
        strokes.append(Stroke(downbeat + step / 4, piece, 0.6 + 0.35 * through))
    return strokes


def write_for_gm(rng: Rng, part: Part, strokes: list[Stroke]) -> None:
    """The strokes as notes of a General MIDI kit; kicks on beats stay exact."""
    part.program(DRUMS, int(rng.choice(GM_KITS)))
    for stroke in strokes:
        exact = stroke.piece == "kick"
        loud = 25 + 95 * stroke.velocity
        part.note(DRUMS, stroke.beats, 0.2, GENERAL_MIDI[stroke.piece], loud, exact=exact)


class Kit:
    """Pieces drawn at random for one of KITS: name → (body, brightness), [n] at `rate` Hz."""

    def __init__(self, rng: Rng, rate: int, kind: str) -> None:
        self._rng, self._rate, self._machine = rng, rate, kind in MACHINES
        self._time = np.arange(int(1.2 * rate)) / rate
        self._ring = {"dead": 0.5, "garage": 1.5}.get(kind, 1.0)
        self.pieces = {"kick": self._kick(kind), "snare": self._snare(), "clap": self._clap()}
        self.pieces |= {"rim": self._rim(), "shaker": self._shaker(), "brush": self._brush()}
        metal = self._machine_metal() if self._machine else self._cymbal(900)
        short, long = rng.uniform(0.015, 0.05), rng.uniform(0.12, 0.45)
        self.pieces["hat"] = self._metal(metal, short, 4500)
        self.pieces["pedal"] = self._metal(metal, 0.6 * short, 3500)
        self.pieces["open"] = self._metal(metal, long, 4000)
        self.pieces["tambourine"] = self._metal(self._cymbal(3000), rng.uniform(0.04, 0.1), 4500)
        wash = self._cymbal(300)
        self.pieces["crash"] = self._metal(wash, rng.uniform(0.25, 0.6), 1200)
        self.pieces["ride"] = self._ride(wash)
        for name, pitch in (("tom1", 165), ("tom2", 120), ("tom3", 85), ("conga", 290)):
            self.pieces[name] = self._skin(pitch * rng.uniform(0.85, 1.15))
        self.pieces["cowbell"] = self._cowbell()

    def _fade(self, seconds: float) -> F64:
        return np.exp(-self._time / (seconds * self._ring))

    def _hiss(self, low: float, high: float) -> F64:
        return desk.band(self._rng.normal(0, 1, len(self._time)), low, high, self._rate)

    def _sweep(self, low: float, drop: float, fall: float) -> F64:
        curve = low + drop * np.exp(-self._time / fall)
        return np.sin(2 * np.pi * np.cumsum(curve) / self._rate)

    def _kick(self, kind: str) -> tuple[F64, F64]:
        rng = self._rng
        long = kind == "808"
        fade = self._fade(rng.uniform(0.25, 0.5) if long else rng.uniform(0.05, 0.16))
        drop = rng.uniform(40, 140) if long else rng.uniform(60, 260)
        body = self._sweep(rng.uniform(40, 66), drop, rng.uniform(0.008, 0.04)) * fade
        shell = self._sweep(rng.uniform(90, 170), 0, 1) * self._fade(0.05) * rng.uniform(0, 0.4)
        body = np.tanh((body + shell) * rng.uniform(1, 3))
        click = self._hiss(rng.uniform(900, 2500), 7000) * np.exp(-self._time / 0.005)
        return body, rng.uniform(0.2, 1.5) * click

    def _snare(self) -> tuple[F64, F64]:
        rng, low = self._rng, self._rng.uniform(150, 260)
        modes = [1, 1.59, 2.14, 2.3, 2.65]  # of a circular membrane
        shell = np.zeros(len(self._time))
        for ratio in modes:
            tone = self._sweep(low * ratio, 0.1 * low, 0.02)
            shell += tone * self._fade(rng.uniform(0.03, 0.12)) * rng.uniform(0.2, 1) / ratio
        wires = self._hiss(rng.uniform(700, 2500), rng.uniform(5000, 7900))
        wires *= self._fade(rng.uniform(0.05, 0.18))
        crack = self._hiss(1500, 7000) * np.exp(-self._time / 0.012)
        return 0.7 * shell + rng.uniform(0.3, 1.2) * wires, 0.8 * wires + 1.5 * crack

    def _clap(self) -> tuple[F64, F64]:
        rng, time = self._rng, self._time
        gap = rng.uniform(0.007, 0.014)
        hands = sum((time >= k * gap) * np.exp(-(time - k * gap) / 0.006) for k in range(3))
        tail = (time >= 3 * gap) * np.exp(-(time - 3 * gap) / rng.uniform(0.04, 0.14))
        wave = (np.minimum(hands, 2) + tail) * self._hiss(rng.uniform(700, 1300), 3500)
        return 1.6 * wave, 0.3 * hands * self._hiss(2000, 7500)

    def _rim(self) -> tuple[F64, F64]:
        knock = self._sweep(self._rng.uniform(380, 800), 300, 0.004) * np.exp(-self._time / 0.012)
        return knock, self._hiss(2000, 6500) * np.exp(-self._time / 0.006)

    def _shaker(self) -> tuple[F64, F64]:
        length = self._rng.uniform(0.05, 0.11)
        swell = np.sin(np.pi * np.minimum(1, self._time / length)) ** 2
        wave = self._hiss(3200, 7900) * swell
        return 0.5 * wave, wave

    def _brush(self) -> tuple[F64, F64]:
        swish = np.minimum(1, self._time / 0.02) * self._fade(self._rng.uniform(0.06, 0.16))
        wave = self._hiss(800, 6500) * swish
        return 0.4 * wave, 0.6 * wave

    def _machine_metal(self) -> F64:
        tune = RATIOS_808 * self._rng.uniform(1.0, 2.2)
        return np.sign(np.sin(2 * np.pi * tune[:, None] * self._time)).sum(0)

    def _cymbal(self, lowest: float) -> F64:
        """Forty inharmonic partials that the higher die the sooner, and noise."""
        rng = self._rng
        tune = lowest * (7600 / lowest) ** rng.uniform(0, 1, 40)
        phase = 2 * np.pi * (tune[:, None] * self._time + rng.uniform(0, 1, (40, 1)))
        ring = np.sin(phase) * np.exp(-self._time * tune[:, None] / rng.uniform(1500, 5000))
        return 0.7 * ring.sum(0) + rng.uniform(1, 4) * self._hiss(lowest, 7900)

    def _metal(self, wave: F64, fade: float, lowest: float) -> tuple[F64, F64]:
        low = lowest * self._rng.uniform(0.7, 1.2)
        shut = desk.band(wave, low, 7900, self._rate) * np.exp(-self._time / fade)
        shut *= 0.35 / (np.abs(shut).max() + 1e-9)
        return 0.6 * shut, 0.8 * lfilter([1, -0.9], [1], shut)

    def _ride(self, wash: F64) -> tuple[F64, F64]:
        body, bright = self._metal(wash, self._rng.uniform(0.3, 0.7), 2500)
        ping = sum(
            self._sweep(f, 0, 1) * self._fade(0.15) for f in self._rng.uniform(2200, 5800, 4)
        )
        return 0.4 * body + 0.03 * ping, bright

    def _skin(self, pitch: float) -> tuple[F64, F64]:
        fade = self._fade(self._rng.uniform(0.08, 0.25))
        tone = self._sweep(pitch, 0.4 * pitch, 0.03) + 0.4 * self._sweep(1.59 * pitch, 0, 1)
        return tone * fade, self._hiss(600, 4000) * np.exp(-self._time / 0.012)

    def _cowbell(self) -> tuple[F64, F64]:
        tune = self._rng.uniform(0.9, 1.15)
        phase = 2 * np.pi * tune * np.array([[540], [800]]) * self._time
        wave = np.sign(np.sin(phase)).sum(0)
        wave = desk.band(wave, 500, 4500, self._rate) * self._fade(0.08)
        return 0.3 * wave, 0.2 * wave


PLACES = {"hat": 0.35, "pedal": 0.35, "open": 0.35, "ride": -0.4, "crash": -0.3, "tom1": 0.4}
PLACES |= {"tom3": -0.5, "conga": 0.5, "shaker": -0.5, "tambourine": 0.6, "cowbell": 0.3}


def play_kit(
    rng: Rng, harmony: Harmony, strokes: list[Stroke], samples: int, rate: int
) -> tuple[F64, list[float]]:
    """Strokes on a made-up kit, [2, samples] near LEVEL, and when its kicks fall (s).

    Kicks on beats are exact; people are milliseconds off elsewhere, machines are not.
    """
    kind = str(rng.choice(KITS))
    kit = Kit(rng, rate, kind)
    loose = 0.0 if kind in MACHINES else rng.uniform(0.001, 0.007)
    late = {piece: abs(rng.normal(0, loose)) for piece in sorted(kit.pieces)}
    gains = {piece: 10 ** (rng.normal(0, 2.5) / 20) for piece in sorted(kit.pieces)}
    gains = {k: gain * (0.45 if k in ("hat", "shaker") else 1) for k, gain in gains.items()}
    mono: dict[float, F64] = {}
    kicks = []
    for stroke in strokes:
        body, bright = kit.pieces[stroke.piece]
        exact = stroke.piece == "kick" and stroke.beats % 1 == 0
        off = 0.0 if exact else late[stroke.piece] + rng.normal(0, loose)
        at = int(max(0.0, harmony.at(stroke.beats) + off) * rate)
        place = PLACES.get(stroke.piece, 0.0)
        track = mono.setdefault(place, np.zeros(samples))
        gain, hard = gains[stroke.piece] * stroke.velocity, stroke.velocity * rng.uniform(0.7, 1.2)
        desk.put(track, body, at, gain)
        desk.put(track, bright, at, gain * hard)
        if stroke.piece == "kick":
            kicks.append(at / rate)
    wave = np.zeros((2, samples))
    width = rng.uniform(0, 1)
    for place, track in mono.items():
        wave += desk.pan(track, place * width)
    return _drum_bus(rng, desk.level(wave), rate, kind), kicks


def _drum_bus(rng: Rng, wave: F64, rate: int, kind: str) -> F64:
    """Room microphones, parallel compression, tape."""
    if kind != "dead":
        wet = rng.uniform(0.1, 0.8) if kind == "garage" else rng.uniform(0.02, 0.3)
        wave = desk.room(rng, wave, rate, rng.uniform(0.15, 1.0), wet)
    if rng.random() < 0.5:
        crushed = wave * desk.compression(wave, rate, rng.uniform(3, 10), 0.003, 0.12, -12)
        wave = wave + rng.uniform(0.2, 1.5) * crushed
    if rng.random() < 0.5 or kind == "tape":
        wave = desk.saturate(wave, rng.uniform(0.5, 4), rng.uniform(0, 0.3))
    if rng.random() < 0.5:
        wave = desk.equalise(rng, wave, rate, 4)
    return desk.level(wave)
