"""What a mouth does for each IPA sound, and how neighbouring sounds share it.

Targets are blended by dominance (Cohen & Massaro, "Modeling coarticulation in synthetic visual
speech", 1993, Eqs. 1-4): every sound pulls a gesture towards its own target with a weight that is
full while it sounds and fades before and after. Two changes: the fading has an end, so that no
mouth foresees more than a listener with 67 ms of look-ahead can; and lips that must touch (p b m,
f v) are laid over the blend, so that no neighbour can keep them open.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.timeline import FRAME_RATE

F64 = NDArray[np.float64]

BREATH = "<breath>"
FREE = 0.08  # weight of a sound that leaves a gesture to its neighbours
REST_GAP = 0.15  # seconds without a sound after which the mouth goes to rest
GLIDE = 0.11  # seconds, longest time that the weak half of a diphthong takes
NEIGHBOURS = 5  # sounds on either side that may reach an instant
SHUT = 2 / FRAME_RATE  # seconds, shortest time that lips stay together

JAW_BEFORE, JAW_AFTER = 0.050, 0.075  # seconds that a target reaches before and after its sound
LIPS_BEFORE, LIPS_AFTER = 0.060, 0.110
TOUCH_BEFORE, TOUCH_AFTER = 0.060, 0.045


@dataclass(frozen=True, slots=True)
class Phone:
    """label: IPA (`a`, `iː`, `tʃ`, …) or BREATH; start, end in seconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Viseme:
    """Targets in [0, 1]; the holds weigh the sound's claim on the jaw and on the lips.

    jaw: opening of a sound of middling loudness. pucker, funnel, spread: lip shape. teeth: lips
    drawn off closed teeth. tongue: tip seen. touch: lips pressed together; bite: lower lip
    under the upper teeth. breath: opening that loudness does not scale.
    """

    jaw: float
    pucker: float = 0.0
    funnel: float = 0.0
    spread: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    hold_jaw: float = 1.0
    hold_lips: float = 1.0
    touch: float = 0.0
    bite: float = 0.0
    breath: float = 0.0


def _vowel(jaw: float, pucker: float = 0, funnel: float = 0, spread: float = 0) -> Viseme:
    """Jaw heights as spoken; sung, even close vowels are opened somewhat."""
    return Viseme(0.07 + 0.93 * jaw, pucker, funnel, spread)


def _tip(jaw: float, teeth: float = 0, spread: float = 0, tongue: float = 0) -> Viseme:
    """A sound of the tongue's tip: the jaw is its own, the lips are nearly free."""
    return Viseme(jaw, 0, 0, spread, teeth, tongue, 1.5, 0.25)


def _hush(teeth: float, funnel: float) -> Viseme:
    return Viseme(0.07, 0.30, funnel, 0, teeth, 0, 1.8, 1.3)


_LIPS = Viseme(0.10, hold_jaw=0.25, hold_lips=0.15, touch=1.0)
_BITE = Viseme(0.10, hold_jaw=0.40, hold_lips=0.30, bite=1.0)
_BACK = Viseme(0.20, hold_jaw=0.35, hold_lips=FREE)
_THROAT = Viseme(0.25, hold_jaw=0.10, hold_lips=FREE)
_HISS = _tip(0.05, teeth=0.60, spread=0.25)
_STOP = _tip(0.11, teeth=0.18)
NEUTRAL = Viseme(0.22, hold_jaw=0.4, hold_lips=0.2)
REST = Viseme(0.0, hold_lips=1.0)
INHALE = Viseme(0.0, breath=0.18)

TABLE: dict[str, Viseme] = {
    "i": _vowel(0.17, spread=0.75), "ɪ": _vowel(0.24, spread=0.50), "e": _vowel(0.35, spread=0.58),
    "ɛ": _vowel(0.46, spread=0.42), "æ": _vowel(0.62, spread=0.42), "a": _vowel(0.74, spread=0.10),
    "ɐ": _vowel(0.56, spread=0.08), "ʌ": _vowel(0.50, spread=0.06), "ɑ": _vowel(0.78, funnel=0.05),
    "ɒ": _vowel(0.62, 0.20, 0.30), "ɔ": _vowel(0.52, 0.38, 0.42), "o": _vowel(0.38, 0.62, 0.40),
    "ɤ": _vowel(0.36, spread=0.10), "ʊ": _vowel(0.23, 0.55, 0.30), "u": _vowel(0.15, 0.85, 0.32),
    "ɯ": _vowel(0.16, 0.12, 0.10, 0.15), "ʉ": _vowel(0.15, 0.75, 0.30),
    "y": _vowel(0.14, 0.80, 0.40),
    "ʏ": _vowel(0.22, 0.60, 0.35), "ø": _vowel(0.31, 0.62, 0.42), "œ": _vowel(0.44, 0.42, 0.42),
    "ɵ": _vowel(0.30, 0.50, 0.35), "ə": _vowel(0.30, 0.02, 0.02, 0.06),
    "ɨ": _vowel(0.19, spread=0.40),
    "ᵻ": _vowel(0.22, spread=0.40), "ɜ": _vowel(0.34, 0.18, 0.26), "ɚ": _vowel(0.30, 0.22, 0.28),
    "ɝ": _vowel(0.32, 0.22, 0.28), "ɘ": _vowel(0.30, spread=0.15), "ɞ": _vowel(0.40, 0.30, 0.30),
    "p": _LIPS, "b": _LIPS, "m": _LIPS, "ɓ": _LIPS,
    "f": _BITE, "v": _BITE, "ʋ": _BITE, "ɱ": _BITE, "pf": _BITE,
    "ɸ": Viseme(0.06, 0.25, 0.20, hold_jaw=1.5), "β": Viseme(0.06, 0.20, 0.15, hold_jaw=1.5),
    "w": Viseme(0.10, 0.88, 0.35, hold_jaw=1.4, hold_lips=1.6),
    "ʍ": Viseme(0.10, 0.88, 0.35, hold_jaw=1.4, hold_lips=1.6),
    "ɥ": Viseme(0.10, 0.80, 0.35, hold_jaw=1.4, hold_lips=1.4),
    "j": Viseme(0.14, 0, 0, 0.55, hold_jaw=1.2, hold_lips=0.5),
    "ʎ": Viseme(0.15, 0, 0, 0.40, hold_jaw=1.2, hold_lips=0.35),
    "ʃ": _hush(0.40, 0.58), "ʒ": _hush(0.36, 0.55),
    "tʃ": _hush(0.40, 0.58), "dʒ": _hush(0.36, 0.55),
    "ʂ": _hush(0.40, 0.45), "ʐ": _hush(0.36, 0.42), "ʈʂ": _hush(0.40, 0.45),
    "ɹ": Viseme(0.15, 0.38, 0.36, 0, 0.10, 0, 1.2, 0.8),
    "ɕ": _tip(0.06, 0.50, 0.25), "ʑ": _tip(0.06, 0.45, 0.25), "tɕ": _tip(0.06, 0.50, 0.25),
    "dʑ": _tip(0.06, 0.45, 0.25), "ç": _tip(0.12, 0.35, 0.35), "ʝ": _tip(0.12, 0.30, 0.35),
    "s": _HISS, "z": _HISS, "ts": _HISS, "dz": _HISS,
    "t": _STOP, "d": _STOP, "n": _tip(0.13, 0.12), "ɲ": _tip(0.13, 0.12, 0.2), "l": _tip(0.21),
    "ɫ": _tip(0.21), "ɾ": _tip(0.20), "r": _tip(0.18, 0.12), "ɽ": _tip(0.18), "ɬ": _tip(0.12, 0.2),
    "ʈ": _STOP, "ɖ": _STOP, "ɳ": _STOP, "ɭ": _tip(0.20),
    "ɻ": Viseme(0.16, 0.30, 0.30, 0, 0.10, 0, 1.2, 0.7),
    "θ": _tip(0.13, 0.10, 0, 0.35), "ð": _tip(0.13, 0.10, 0, 0.28),
    "k": _BACK, "g": _BACK, "ɡ": _BACK, "ŋ": _BACK, "q": _BACK, "x": _BACK, "ɣ": _BACK, "c": _BACK,
    "ɟ": _BACK, "ɴ": _BACK, "χ": _BACK, "ʁ": _BACK, "ʀ": _BACK,
    "h": _THROAT, "ɦ": _THROAT, "ʔ": _THROAT, "ħ": _THROAT, "ʕ": _THROAT,
}  # fmt: skip
VOWELS = frozenset("iɪeɛæaɐʌɑɒɔoɤʊuɯʉyʏøœɵəɨᵻɜɚɝɘɞ")
CLASSES = ("", *TABLE)  # what an instant sounds like: silence or breath, or one of the sounds
_CLASS = {sound: index for index, sound in enumerate(CLASSES)}
_LONGEST = max(map(len, TABLE))


@lru_cache(maxsize=4096)
def read_ipa(label: str) -> tuple[str, ...]:
    """Split a label into sounds of `TABLE`: `aɪ` → a, ɪ; `tʃ` → tʃ. Length, stress, tone and
    other marks are passed over; a label with no known sound gives an empty tuple."""
    # espeak writes the Mandarin vowel of `si` so: teeth together, lips not spread
    whole = unicodedata.normalize("NFC", label).replace("i̪", "ɨ")
    text = "".join(
        c if c in TABLE else unicodedata.normalize("NFD", c)[0] for c in whole if c != "͡"
    )
    sounds, i = [], 0
    while i < len(text):
        for size in range(_LONGEST, 0, -1):
            if text[i : i + size] in TABLE:
                sounds.append(text[i : i + size])
                break
        i += size
    return tuple(sounds)


def sounding(phones: Iterable[Phone], frames: int) -> NDArray[np.int16]:
    """[frames] index into CLASSES of what sounds at the middle of each frame. The sounds of one
    label share its time evenly."""
    out = np.zeros(frames, np.int16)
    for phone in phones:
        sounds = () if phone.label == BREATH else read_ipa(phone.label)
        edges = np.linspace(phone.start, phone.end, len(sounds) + 1) * FRAME_RATE - 0.5
        for sound, start, end in zip(sounds, edges, edges[1:], strict=False):
            out[max(0, int(np.ceil(start))) : max(0, int(np.ceil(end)))] = _CLASS[sound]
    return out


def is_vowel(label: str) -> bool:
    """Whether a label holds a vowel: it is, or carries, a syllable."""
    return any(sound in VOWELS for sound in read_ipa(label))


def nucleus(label: str) -> str:
    """The sound of a label that is held: its first vowel, or a clearly more open later one."""
    sounds = read_ipa(label)
    held = 0
    for k, sound in enumerate(sounds):
        later_opens = TABLE[sound].jaw > TABLE[sounds[held]].jaw + 0.1
        if sound in VOWELS and (sounds[held] not in VOWELS or later_opens):
            held = k
    return sounds[held] if sounds else ""


def _split(phone: Phone) -> list[tuple[Viseme, float, float]]:
    """One phone as (viseme, start, end): diphthongs hold their nucleus and glide late."""
    if phone.label == BREATH:
        return [(INHALE, phone.start, phone.end)]
    sounds = read_ipa(phone.label)
    if len(sounds) < 2:
        return [(TABLE[sounds[0]] if sounds else NEUTRAL, phone.start, phone.end)]
    length = phone.end - phone.start
    weak = min(GLIDE, length * 0.6 / len(sounds))
    held = sounds.index(nucleus(phone.label))
    sizes = [weak] * len(sounds)
    sizes[held] = length - weak * (len(sounds) - 1)
    edges = phone.start + np.concatenate([[0.0], np.cumsum(sizes)])
    return [
        (TABLE[s], float(a), float(b)) for s, a, b in zip(sounds, edges, edges[1:], strict=False)
    ]


def _with_rests(phones: tuple[Phone, ...], duration: float) -> list[tuple[Viseme, float, float]]:
    """All sounds in order, with a REST wherever nothing sounds for longer than `REST_GAP`."""
    row: list[tuple[Viseme, float, float]] = []
    end = -1.0
    for phone in sorted(phones, key=lambda p: p.start):
        if phone.start - end > REST_GAP:
            row.append((REST, end, phone.start))
        row += _split(phone)
        end = max(end, phone.end)
    return [*row, (REST, end, max(duration, end) + 1.0)]


def _reach(early: F64, late: F64, before: float, after: float) -> F64:
    """1 inside a sound, a raised cosine to 0 over `before` ahead of it and `after` behind it.

    early, late: seconds until the sound starts and since it ended (≤ 0 inside)."""
    away = np.maximum(np.clip(early / before, 0, 1), np.clip(late / after, 0, 1))
    return 0.5 + 0.5 * np.cos(np.pi * away)


@dataclass(frozen=True, slots=True)
class Articulation:
    """Gestures over time, each [T] in [0, 1]: see `Viseme`. voiced: how much the mouth is a
    sound's and not a rest's or a breath's."""

    jaw: F64
    pucker: F64
    funnel: F64
    spread: F64
    teeth: F64
    tongue: F64
    breath: F64
    touch: F64
    bite: F64
    voiced: F64


def articulate(phones: tuple[Phone, ...], duration: float, times: F64) -> Articulation:
    """Blend the sounds' targets at `times` [T] seconds: Σ D·target / Σ D, per gesture."""
    row = _with_rests(phones, duration)
    start = np.array([a for _, a, _ in row])
    end = np.array([b for _, _, b in row])
    near = np.searchsorted(start, times)[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS)
    inside = (near >= 0) & (near < len(row))
    near = near.clip(0, len(row) - 1)  # [T, K]
    early, late = start[near] - times[:, None], times[:, None] - end[near]

    def of(name: str) -> F64:
        return np.array([getattr(viseme, name) for viseme, _, _ in row])[near]

    jaw = of("hold_jaw") * _reach(early, late, JAW_BEFORE, JAW_AFTER) * inside + 1e-9
    lips = of("hold_lips") * _reach(early, late, LIPS_BEFORE, LIPS_AFTER) * inside + 1e-9
    widen = np.maximum(0.0, SHUT - (end - start)) / 2 + 1e-6
    meet = _reach(early - widen[near], late - widen[near], TOUCH_BEFORE, TOUCH_AFTER) * inside
    silent = np.array([viseme is REST or viseme is INHALE for viseme, _, _ in row])[near]

    def blend(name: str, weight: F64) -> F64:
        return (weight * of(name)).sum(1) / weight.sum(1)

    return Articulation(
        jaw=blend("jaw", jaw),
        pucker=blend("pucker", lips),
        funnel=blend("funnel", lips),
        spread=blend("spread", lips),
        teeth=blend("teeth", lips),
        tongue=blend("tongue", jaw),
        breath=blend("breath", jaw),
        touch=(meet * of("touch")).max(1),
        bite=(meet * of("bite")).max(1),
        voiced=1 - (jaw * silent).sum(1) / jaw.sum(1),
    )
