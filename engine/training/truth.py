"""What is known exactly about a made song: phones, notes, phrases and beats, in seconds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.motion.visemes import Phone


@dataclass(frozen=True, slots=True)
class Note:
    """One sung note: start, end in seconds; MIDI pitch (may be fractional)."""

    start: float
    end: float
    midi: float


@dataclass(frozen=True, slots=True)
class Phrase:
    """A line between two rests: start, end in seconds; spoken or sung; force: 0 soft … 1 belted."""

    start: float
    end: float
    spoken: bool = False
    force: float = 0.5


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything exact about one song. Silence is where no phone is."""

    seed: int
    duration: float  # seconds
    tempo: float  # beats per minute
    language: str  # espeak voice or "en-us"
    voice: str  # engine and voice, e.g. "espeak:en-us+f3", "flite:slt"
    speech: bool  # spoken throughout, nothing is sung
    phones: tuple[Phone, ...]
    notes: tuple[Note, ...]
    phrases: tuple[Phrase, ...]
    beats: tuple[float, ...]  # seconds
    downbeats: tuple[float, ...]  # seconds
    tonic: int = 0  # pitch class of the key, 0 is C
    minor: bool = False


def save_truth(truth: Truth, path: Path) -> None:
    """Write a song's truth as JSON."""
    path.write_text(json.dumps(asdict(truth)), encoding="utf-8")


def load_truth(path: Path) -> Truth:
    """Read what `save_truth` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Truth(
        **{
            **raw,
            "phones": tuple(Phone(**phone) for phone in raw["phones"]),
            "notes": tuple(Note(**note) for note in raw["notes"]),
            "phrases": tuple(Phrase(**phrase) for phrase in raw["phrases"]),
            "beats": tuple(raw["beats"]),
            "downbeats": tuple(raw["downbeats"]),
        }
    )
