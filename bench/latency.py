"""Latency by physics: a syllable begins, and a mouth opens in motion, in a camera, in a browser.

    file clock ─┐                            ┌─▶ motion at a sink
    PulseAudio ─┼─▶ the live line, as it is ─┼─▶ pixels at the virtual camera's back-end
    Chromium ───┘                            └─▶ pixels in Chromium, and sound at its loudspeaker

Nothing inside is asked: the answer is when what comes out moves. Beside it stands what can be
computed beforehand: the wait for future sound, the constant hold, and how far the mouth itself lags
or leads its sound when no clock runs (a file). What is left is shown as the unexplained rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from bench import page
from bench.figures import QUANTILES, Cell, Part, Plan, Table, timing
from bench.mouths import Mouth
from bench.sound import Clip, Entering
from bench.soundserver import Loudspeaker, microphone, sound_server
from bench.syllables import Answer, Train, answer, train
from engine.avatar import Avatar, AvatarConfig, RendererConfig, Unseen
from engine.motion.blendshapes import JAW_OPEN
from engine.signals import U8, Motion, Picture, Sound
from engine.timeline import FRAME, FRAME_RATE, MAX_LOOKAHEAD, SAMPLE_RATE
from streaming.clock import Paced
from streaming.drawing import DrawingProcess
from streaming.line import LiveConfig, ShowConfig, sing
from streaming.live import run_live, warm_up
from streaming.schemes import SinkFormat, open_sink
from streaming.stats import Stats
from streaming.webconfig import WebConfig

USUAL = AvatarConfig().lookahead
SMALL = 192  # pixels, of a miniature's pictures
LOUD = 0.02  # of full scale: below it the delayed sound is between syllables
LEAST_SYLLABLES = 3.0  # s of train, however short the plan
VISITS = 8  # to the page
LEAST_VISIT = 5.0  # s; a visit is half as long as other figures take, and at least so long


class Witness:
    """A sink that notes when each motion, its picture and its sound (if it wants any) came out."""

    wants_picture = True

    def __init__(self, wants_sound: bool = True) -> None:
        self.wants_sound = wants_sound
        self.times: list[float] = []
        self.frames: list[int] = []
        self.fresh: list[bool] = []  # whether the frame came with its own picture
        self.jaws: list[float] = []
        self.loud: list[np.ndarray] = []  # [FRAME] of every frame

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self.times.append(time.monotonic())
        self.frames.append(motion.frame)
        self.fresh.append(picture is not None and picture.frame == motion.frame)
        self.jaws.append(float(motion.blendshapes[JAW_OPEN]))
        if sound is not None:
            self.loud.append(np.abs(sound.samples).max(axis=0) > LOUD)

    def close(self) -> None:
        """Nothing to finish."""

    def late(self, began: float) -> np.ndarray:
        """ms from sample 1,600·n entering to picture n, when sample 0 entered at `began`."""
        entered = began + np.array(self.frames) / FRAME_RATE
        return np.asarray(1000 * (np.array(self.times) - entered)[self.fresh])

    def heard(self) -> np.ndarray:
        """Instants at which a sound came out that was quiet for two frames before."""
        loud = np.concatenate(self.loud) if self.loud else np.zeros(0, bool)
        at = np.flatnonzero(loud)
        first = at[np.diff(at, prepend=-SAMPLE_RATE) > 2 * FRAME]
        times = np.array(self.times)[first // FRAME]
        return np.asarray(times + (first % FRAME) / SAMPLE_RATE)


class Glass:
    """A back-end of pyvirtualcam's: what a camera's viewer would be given, and when."""

    times: list[float]
    openings: list[float]
    mouth: Mouth

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None):
        self._fourcc, self._size = fourcc, (height, width, 3)
        Glass.times, Glass.openings = [], []

    def send(self, frame: U8) -> None:
        Glass.times.append(time.monotonic())
        Glass.openings.append(Glass.mouth.opening(frame.reshape(self._size)))

    def close(self) -> None:
        """Nothing to close."""

    def device(self) -> str:
        return "the bench's glass"

    def native_fourcc(self) -> int:
        return self._fourcc


class Seen(NamedTuple):
    """A live run's answers (None: nothing moved, the machine was too busy for a show), and what the
    line itself says. heard: s by which the delayed sound follows the one that entered. late:
    [pictures] ms from sample 1,600·n to picture n. frames: that came out."""

    motion: Answer | None
    pixels: Answer | None
    heard: float
    late: np.ndarray
    frames: int
    stats: Stats


def still(plan: Plan) -> AvatarConfig:
    """A singer whose head is at rest: where its mouth is, only the mouth moves."""
    size = SMALL if plan.miniature else AvatarConfig().renderer.width
    return AvatarConfig(vigour=0.0, renderer=RendererConfig(width=size, height=size))


@contextmanager
def camera(config: AvatarConfig) -> Iterator[Any]:
    """The virtual camera as users have it, with the bench's back-end under it."""
    Glass.mouth = Mouth(config)
    with patch("pyvirtualcam.camera.BACKENDS", {"glass": Glass}):
        size = config.renderer.width, config.renderer.height
        yield open_sink("camera", SinkFormat(*size))


def watched(
    config: AvatarConfig,
    drawing: DrawingProcess,
    opens: Callable[[], Entering],
    sounded: Callable[[Entering], np.ndarray],
    live: LiveConfig | None = None,
    with_sound: bool = True,
) -> Seen:
    """A live show of syllables. opens: the source, when everything else is there. sounded: at which
    instants they began, told when all is over. with_sound: whether sound goes out, too."""
    witness, avatar = Witness(with_sound), Avatar(config, drawing)
    warmth = warm_up(avatar, channels=1, pictures=True)
    with camera(config) as lens:
        source = opens()
        stats = run_live(avatar, source, [witness, lens], live, warmth=warmth)
    began = sounded(source)
    return Seen(
        answered(witness.times, witness.jaws, began),
        answered(Glass.times, Glass.openings, began),
        _after(began, witness.heard()),
        witness.late(source.began),
        len(witness.frames),
        stats,
    )


def answered(times: Sequence[float], openings: Sequence[float], began: np.ndarray) -> Answer | None:
    """What a mouth did; None when it did nothing."""
    try:
        return answer(np.array(times), np.array(openings), began)
    except ValueError:
        return None


def _after(began: np.ndarray, heard: np.ndarray) -> float:
    """Median s from each beginning to its sound, in order where all of them came out, else to the
    next one that did; nan when none does."""
    if len(heard) == len(began) and len(began):
        return float(np.median(heard - began))
    following = np.searchsorted(heard, began)
    waits = [heard[k] - t for k, t in zip(following, began, strict=True) if k < len(heard)]
    return float(np.median(waits)) if waits else float("nan")


def lead(config: AvatarConfig, song: Train) -> float:
    """s by which a mouth follows (> 0) or leads its sound on its own timeline: no clock runs."""
    motions = [motion for motion, _ in sing(Avatar(config, Unseen()), Clip(song.sound))]
    times = np.array([motion.t for motion in motions])
    jaws = np.array([float(motion.blendshapes[JAW_OPEN]) for motion in motions])
    return answer(times, jaws, song.onsets).lag


def on_the_clock(
    config: AvatarConfig,
    drawing: DrawingProcess,
    song: Train,
    live: LiveConfig | None = None,
    with_sound: bool = True,
) -> Seen:
    """The train at the pace of the clock, as from a microphone without any delay of its own."""
    return watched(
        config,
        drawing,
        lambda: Entering(Paced(Clip(song.sound))),
        lambda source: source.began + song.onsets,
        live,
        with_sound,
    )


# ---- what is measured ---------------------------------------------------------------------------


LIVE = "A live show on the file clock, ms by lookahead"
SILENT = "0, no sound out"  # as to a camera: no frame waits until its own sound is whole
WAITS, HELD, OWN, COMPUTED = (
    "waits for future sound", "held for its tick", "mouth against its sound, in a file",
    "sum of these: computed to motion",
)  # fmt: skip
MOTION, PIXELS, SOUND = (
    "measured to motion", "measured to the camera's pixels", "measured to sound out",
)  # fmt: skip
UNEXPLAINED, APART = "unexplained: motion - computed", "mouth against sound: pixels - sound"
LATE = ("sample 1600·n to picture n, p50", "… p95", "… p99")
FRAMES, SKIPPED = "frames", "skipped"
LINES = {"computed": COMPUTED, "motion": MOTION, "pixels": PIXELS, "sound": SOUND}
SKEW = "From the microphone, by ear and eye"
SKEW_COLUMNS = (
    "way", "syllables", "to motion, ms", "to pixels, ms", "to sound out, ms",
    "sound after mouth, ms", "skew p95 of |·|, ms",
)  # fmt: skip


def by_lookahead(plan: Plan, song: Train, part: Part) -> None:
    """The file clock, for every lookahead: computed, measured, and what is left unexplained."""
    found: dict[int | str, dict[str, Cell]] = {}
    with DrawingProcess(still(plan)) as drawing:
        drawing.ready()
        for lookahead in plan.some(range(MAX_LOOKAHEAD + 1), (0, USUAL)):
            plan.tell(f"lookahead {lookahead}")
            config = replace(still(plan), lookahead=lookahead)
            seen = on_the_clock(config, drawing, song)
            found[lookahead] = _figures(lookahead, lead(config, song), seen)
            _keep(part, f"syllable to motion, lookahead {lookahead}", seen.motion)
            _keep(part, f"syllable to camera, lookahead {lookahead}", seen.pixels)
            if lookahead == USUAL:
                part.curves["late"] = [round(float(ms), 2) for ms in seen.late]
                part.curves["waterfall"] = _waterfall(seen.stats, lookahead)
        plan.tell("lookahead 0, no sound out")
        config = replace(still(plan), lookahead=0)
        seen = on_the_clock(config, drawing, song, with_sound=False)
        silent = _figures(0, lead(config, song), seen)
    lines = {line: [figures[name] for figures in found.values()] for line, name in LINES.items()}
    part.curves["lookaheads"] = {"lookahead": list(found), **lines}
    found[SILENT] = silent
    names = dict.fromkeys(name for figures in found.values() for name in figures)
    rows = tuple((name, *(figures[name] for figures in found.values())) for name in names)
    part.tables[LIVE] = Table(("lookahead, frames", *map(str, found)), rows)


def _figures(lookahead: int, own: float, seen: Seen) -> dict[str, Cell]:
    """ms and counts by their names. own: what `lead` says."""
    delay, heard = seen.stats.delay, None if np.isnan(seen.heard) else seen.heard
    waits, computed = lookahead / FRAME_RATE, delay + own
    motion = None if seen.motion is None else seen.motion.lag
    pixels = None if seen.pixels is None else seen.pixels.lag
    late = np.percentile(seen.late, QUANTILES) if len(seen.late) else [None] * len(QUANTILES)
    return {
        WAITS: _ms(waits),
        HELD: _ms(delay - waits),
        OWN: _ms(own),
        COMPUTED: _ms(computed),
        MOTION: _ms(motion),
        UNEXPLAINED: None if motion is None else _ms(motion - computed),
        PIXELS: _ms(pixels),
        SOUND: _ms(heard),
        APART: None if pixels is None or heard is None else _ms(pixels - heard),
        **{name: None if ms is None else float(ms) for name, ms in zip(LATE, late, strict=True)},
        FRAMES: seen.frames,
        SKIPPED: seen.stats.skipped,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _keep(part: Part, name: str, found: Answer | None) -> None:
    if found is None or not len(found.each):
        part.notes.append(f"{name}: the mouth did not open, the machine was too busy")
        return
    part.timings[name] = timing(1000 * found.each)
    if found.missed:
        part.notes.append(f"{name}: {found.missed} syllables hardly opened the mouth")


def _waterfall(stats: Stats, lookahead: int) -> list[tuple[str, float, float]]:
    """(what, ms after sample 1,600·n entered at which it begins, ms it lasts)."""
    waits = 1000 * lookahead / FRAME_RATE
    hears, draws = stats.hear.percentile(50), stats.draw.percentile(50)
    leaves = 1000 * stats.delay
    return [
        ("waits for future sound", 0.0, waits),
        ("hears", waits, hears),
        ("draws", waits + hears, draws),
        ("held for its tick", waits + hears + draws, max(0.0, leaves - waits - hears - draws)),
    ]


def through_pulse(plan: Plan, song: Train, part: Part) -> tuple[Cell, ...] | None:
    """Played into a sound server by one stream, heard by the microphone of another: a row."""
    plan.tell("PulseAudio")
    config = still(plan)
    with sound_server(plan.folder) as why, DrawingProcess(config) as drawing:
        if why is not None:
            part.notes.append(f"PulseAudio is not measured: {why}")
            return None
        drawing.ready()
        with Loudspeaker(song.sound) as loudspeaker:

            def opens() -> Entering:
                seconds = song.sound.shape[1] / SAMPLE_RATE + 1.0
                source = Entering(microphone(seconds), has_backlog=True)
                loudspeaker.play()
                return source

            seen = watched(config, drawing, opens, lambda _: loudspeaker.began + song.onsets)
    _keep(part, "syllable to motion, PulseAudio microphone", seen.motion)
    _keep(part, "syllable to camera, PulseAudio microphone", seen.pixels)
    motion, pixels = (None if way is None else way.lag for way in (seen.motion, seen.pixels))
    apart = None if pixels is None else _ms(seen.heard - pixels)
    return ("PulseAudio", len(song.onsets), *map(_ms, (motion, pixels, seen.heard)), apart, None)


def together(answers: Sequence[Answer]) -> Answer:
    """Those of several trains as one; the lag is their median."""
    lag = float(np.median([answer.lag for answer in answers]))
    each = np.concatenate([answer.each for answer in answers])
    return Answer(lag, each, sum(answer.missed for answer in answers))


def through_chromium(plan: Plan, part: Part) -> tuple[Cell, ...] | None:
    """Sung into the page, seen and heard on it: a row. Skew by marks in the pictures, tone by
    tone; the mouth by its pixels, in several visits, since each meets the pictures' clock and the
    browser's buffers at another moment."""
    why = page.missing()
    if why is not None:
        part.notes.append(f"Chromium is not measured: {why}")
        return None
    web = WebConfig(sessions=1, drain_s=0.0)
    config = ShowConfig(vigour=0.0, web=web)
    try:
        lasts, visits = max(LEAST_VISIT, plan.seconds / 2), []
        for visit in range(VISITS):
            plan.tell(f"Chromium, visit {visit + 1} of {VISITS}")
            visits.append(page.mouth(lasts, config, plan.folder / f"visit-{visit}"))
        mouth = together([mouth for mouth, _ in visits])
        heard = float(np.median([heard for _, heard in visits]))
        plan.tell("Chromium, by marks")
        marks = page.figures(page.watched(plan.seconds, config, plan.folder / "marks"))
    except (page.NothingSeen, AssertionError, ValueError) as error:
        part.notes.append(f"Chromium is not measured: {error}")
        return None
    _keep(part, "syllable to Chromium, glass to glass", mouth)
    apart = 1000 * (heard - mouth.lag)
    skew = marks["skew p95 of |·|, ms"]
    shown = len(mouth.each) + mouth.missed
    return ("Chromium", shown, None, 1000 * mouth.lag, 1000 * heard, apart, skew)


def measure(plan: Plan) -> Part:
    """Every way in and out, and every lookahead."""
    part = Part(
        "Syllables in, mouth out: from the beginning of a sound to the half-open mouth, and by"
        " cross-correlation over all syllables at once"
    )
    song = train(max(plan.seconds, LEAST_SYLLABLES))
    by_lookahead(plan, song, part)
    if plan.miniature:
        part.notes.append("too short for a microphone and a browser: give --seconds 5 or more")
        return part
    rows = [through_pulse(plan, song, part), through_chromium(plan, part)]
    part.tables[SKEW] = Table(SKEW_COLUMNS, tuple(row for row in rows if row is not None))
    return part
