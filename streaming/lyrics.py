"""Timed lyrics (LRC) → sounds with their times, for `engine.motion.lyrics`.

    [ti:Two lines] [offset:+20] [la:en-us]
    [00:12.00] <00:12.00> Row, <00:12.50> row <00:13.00>
    [00:15.20] <00:15.20>Mer<00:15.60>ri<00:15.90>ly <00:16.40>

Words need times of their own (the enhanced format); a line's time alone is no help to lips, for
its words may be anywhere. Pieces with no space between them are one word's syllables. How words
sound, espeak-ng says. LRC has no standard; this is what players agree on.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from engine.motion.visemes import Phone, is_vowel
from streaming.ports import UserError

LANGUAGE = "en-us"  # of espeak-ng, where no [la:…] says another
LONGEST_S = 2.5  # that the last syllable of a line is held at most: nobody says when it ends
CONSONANT_S = 0.08  # a vowel gets what consonants leave
MOST_BYTES = 1 << 20
VOICE = re.compile(r"[a-zA-Z0-9][\w+-]{0,39}")  # what espeak-ng calls a language or a voice
PATIENCE_S = 20.0  # for espeak-ng
TAG = re.compile(r"\[([a-zA-Z#]+):([^\]]*)\]")
STAMP = r"(\d{1,2}):([0-5]?\d(?:[.:]\d{1,3})?)"
LINE_TIME = re.compile(rf"\s*\[{STAMP}\]")
WORD_TIME = re.compile(rf"<{STAMP}>")

log = logging.getLogger("cantar")


@dataclass(frozen=True)
class Word:
    """text: as it is written. starts: s, of its syllables. end: s, of the last one."""

    text: str
    starts: tuple[float, ...]
    end: float


@dataclass(frozen=True)
class Lyrics:
    """words: those with times of their own, in order. lines: how many the file has in all."""

    words: tuple[Word, ...]
    lines: int
    language: str = LANGUAGE


class BadLyrics(ValueError):
    """A lyrics file that cannot be meant so; says where and why."""


Pronounce = Callable[[Sequence[str], str], list[str]]


def known_phones(path: Path, pronounce: Pronounce | None = None) -> list[Phone]:
    """The sounds of a lyrics file with their times; none where lips have to follow the sound alone,
    after a warning that says why. Raises UserError for a file that cannot be read."""
    text = _text(path)
    try:
        lyrics = read_lrc(text)
        if not lyrics.words:
            raise BadLyrics("it times lines, not words")
        said = (pronounce or espeak)([word.text for word in lyrics.words], lyrics.language)
    except (BadLyrics, LookupError) as error:
        log.warning("%s: %s; lips follow the sound alone", path.name, error)
        return []
    return [
        phone
        for word, ipa in zip(lyrics.words, said, strict=True)
        for phone in timed(word, ipa.split("_"))
    ]


# ---- the file -----------------------------------------------------------------------------------


def read_lrc(text: str) -> Lyrics:
    """Read a lyrics file's text. Raises BadLyrics, with the line, for what cannot be meant."""
    tags: dict[str, str] = {}
    rows: list[tuple[float, int, str]] = []  # time, number of the line, what follows
    last = 0.0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        times, rest = _line_times(line)
        if len(times) == 1 and times[0] < last:
            raise BadLyrics(f"line {number}: its time is before the line above it")
        last = times[0] if len(times) == 1 else last  # a refrain's times are for later, too
        rows += [(time, number, rest) for time in times]
        if not times and (tag := TAG.match(line.strip())):
            tags[tag[1].lower()] = tag[2].strip()
        elif not times and line.strip():
            raise BadLyrics(f"line {number}: expected [mm:ss.xx] and words, got {line[:40]!r}")
    if not rows:
        raise BadLyrics("no line with a time, such as [00:12.50] Hello")
    rows.sort()
    early = _offset(tags)
    nexts = [*(start for start, _, _ in rows[1:]), float("inf")]
    words = [
        Word(word.text, tuple(start - early for start in word.starts), word.end - early)
        for (start, number, rest), following in zip(rows, nexts, strict=True)
        for word in _words(number, start, rest, following)
    ]
    return Lyrics(tuple(words), len(rows), tags.get("la") or LANGUAGE)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: more than 1 MB is no song's lyrics")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected lyrics (LRC) as text in UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _line_times(line: str) -> tuple[list[float], str]:
    """The times in front of a line (a refrain has several), and the rest of it."""
    times = []
    while stamp := LINE_TIME.match(line):
        times.append(_seconds(stamp))
        line = line[stamp.end() :]
    return times, line


def _seconds(stamp: re.Match[str]) -> float:
    return 60 * int(stamp[1]) + float(stamp[2].replace(":", "."))


def _offset(tags: dict[str, str]) -> float:
    """Seconds by which lyrics are to be shown sooner."""
    try:
        return float(tags.get("offset") or 0) / 1000
    except ValueError:
        raise BadLyrics(f"[offset:{tags['offset']}]: expected milliseconds") from None


def _words(number: int, start: float, rest: str, following: float) -> list[Word]:
    """The timed words of a line that begins at `start`; the next line begins at `following`."""
    pieces = _pieces(start, rest)
    if len(pieces) == 1 and not WORD_TIME.search(rest):
        return []
    times = [start, *(time for time, _ in pieces)]
    if any(later < sooner for sooner, later in pairwise(times)):
        raise BadLyrics(f"line {number}: the times of its words go backwards")
    words: list[Word] = []
    together = False  # with the piece before: no space between them
    for (time, text), (until, _) in pairwise([*pieces, (following, "")]):
        until = max(time, min(until, time + LONGEST_S))
        texts = text.split()
        if together and texts and not text[0].isspace():
            begun = words.pop()
            words.append(Word(begun.text + texts.pop(0), (*begun.starts, time), until))
        share = (until - time) / max(1, len(texts))
        words += [
            Word(one, (time + n * share,), time + (n + 1) * share) for n, one in enumerate(texts)
        ]
        together = bool(text) and not text[-1].isspace()
    return words


def _pieces(start: float, rest: str) -> list[tuple[float, str]]:
    """A line's `<time>piece`s; what stands before the first time begins with the line. A last time
    with nothing behind it says when the one before ends."""
    found, time, at = [], start, 0
    for stamp in WORD_TIME.finditer(rest):
        found.append((time, rest[at : stamp.start()]))
        time, at = _seconds(stamp), stamp.end()
    found.append((time, rest[at:]))
    return found if found[0][1].strip() else found[1:]


# ---- how it sounds ------------------------------------------------------------------------------


def timed(word: Word, phones: Sequence[str]) -> list[Phone]:
    """A word's IPA labels with times: vowels fill their syllables, consonants are short."""
    labels = [label for label in phones if label.strip("ˈˌ ")]
    if not labels:
        return []
    groups = syllables(labels)
    starts = word.starts if len(groups) == len(word.starts) else _even(word, len(groups))
    made: list[Phone] = []
    for sounds, start, end in zip(groups, starts, [*starts[1:], word.end], strict=True):
        made += _spread(sounds, start, end)
    return made


def syllables(labels: Sequence[str]) -> list[list[str]]:
    """Each vowel with the consonants before it, the last one also with those behind."""
    found: list[list[str]] = [[]]
    for label in labels:
        if found[-1] and any(map(is_vowel, found[-1])):
            found.append([])
        found[-1].append(label)
    if len(found) > 1 and not any(map(is_vowel, found[-1])):
        behind = found.pop()
        found[-1] += behind
    return found


def _even(word: Word, count: int) -> tuple[float, ...]:
    start = word.starts[0]
    return tuple(start + n * (word.end - start) / count for n in range(count))


def _spread(sounds: list[str], start: float, end: float) -> list[Phone]:
    vowels = sum(map(is_vowel, sounds))
    length = max(end - start, 1e-3)
    short = length / len(sounds) if not vowels else min(CONSONANT_S, 0.5 * length / len(sounds))
    long = (length - short * (len(sounds) - vowels)) / max(1, vowels)
    made, at = [], start
    for sound in sounds:
        until = at + (long if is_vowel(sound) else short)
        made.append(Phone(sound, at, until))
        at = until
    return made


def espeak(words: Sequence[str], language: str) -> list[str]:
    """The IPA of words, their sounds parted by `_`, by espeak-ng. Raises LookupError where it is
    missing or does not know the language."""
    if shutil.which("espeak-ng") is None:
        raise LookupError("espeak-ng is not installed (Debian: apt-get install espeak-ng)")
    if not VOICE.fullmatch(language):
        raise LookupError(f"[la:{language}]: expected a language of espeak-ng, such as en-us")
    clean = [re.sub(r"[^\w'’-]", "", word) or "-" for word in words]
    try:
        answer = subprocess.run(
            ["espeak-ng", "-q", "--ipa", "--sep=_", "-v", language, "--stdin"],
            input=".\n\n".join(clean), capture_output=True, text=True, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LookupError(f"espeak-ng did not answer within {PATIENCE_S:.0f} s") from None
    lines = [line.strip() for line in answer.stdout.splitlines()]
    if answer.returncode:
        raise LookupError(f"espeak-ng: {' '.join(answer.stderr.split()) or 'it failed'}")
    if len(lines) != len(words):
        raise LookupError(f"espeak-ng read {len(lines)} words, not {len(words)}")
    return lines
