"""The page, measured in a real Chromium: `python -m bench.page --minutes 1`; `--commit` writes
bench/page.json.

Short tones go into the page's microphone. Pictures are timed where a viewer sees them
(requestVideoFrameCallback: the expected time on the screen), sound where it leaves for the
loudspeaker (WebAudio), both on the page's one clock. The avatar is a real one; its pictures carry
their frame's number, and where in the frame a tone began, as blocks along their upper edge.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.machine import machine
from bench.mouths import SIZE, Mouth
from bench.syllables import Answer, answer, train
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME, FRAME_RATE, SAMPLE_RATE
from streaming.casts import Cast, Wings, prepare
from streaming.line import LiveConfig, ShowConfig
from streaming.webconfig import WebConfig
from tests.browser import NAMES, Browser
from tests.serving import serving

HERE = Path(__file__).parent
BLOCK = 16  # pixels of a mark's bit
BITS = 16 + 1 + 11  # frame, whether a tone begins in it, and at which of its samples
LOUD = 0.2
EVERY = 0.77  # s between tones
PAUSE = SAMPLE_RATE // 5  # samples below LOUD, after which a tone is a new one
SETTLE_S = 30.0  # that Chromium takes to bring sound and pictures together
LISTEN_EVERY = 20.0  # s between two beginnings of listening
FAR_MS = 600.0  # a tone that took longer is another one

# Notes when each loud stretch of the streams begins, on the page's clock. WebAudio buffers a stream
# on its way in, and after a hiccup of the machine goes on with a longer buffer: what is listened to
# afresh every now and then is not late for the rest of a show.
LISTEN = """
  const listen = (streams, loud, pause) => {
    const context = new AudioContext({sampleRate: 48000});
    for (const [stream, times] of streams) {
      const node = context.createScriptProcessor(256, 1, 1);
      let quiet = 0;
      node.onaudioprocess = (event) => {
        const x = event.inputBuffer.getChannelData(0), now = performance.now();
        for (let i = 0; i < x.length; i++) {
          if (Math.abs(x[i]) > loud) {
            if (quiet > pause) times.push(now - (x.length - i) / 48);
            quiet = 0;
          } else quiet++;
        }
      };
      context.createMediaStreamSource(stream).connect(node);
      node.connect(context.destination);
    }
    return () => context.close();
  };"""

# The end of both looks at the page: on to the next picture, and sound is listened to beside it.
WATCH = (
    """
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);"""
    + LISTEN
    + """
  let stop = () => {};
  window.listenAfresh = () => {
    stop();
    stop = listen([[window.microphone, sent], [video.srcObject, heard]], loud, pause);
  };
  window.listenAfresh();
}"""
)

TIMES = (
    """(bits, block, loud, pause) => {
  const video = document.getElementById('video'), canvas = document.createElement('canvas');
  const paint = canvas.getContext('2d', {willReadFrequently: true});
  canvas.width = bits * block; canvas.height = block;
  Object.assign(window, {marks: [], sent: [], heard: []});
  const next = (now, frame) => {
    paint.drawImage(video, 0, 0, bits * block, block, 0, 0, bits * block, block);
    const d = paint.getImageData(0, 0, bits * block, block).data;
    let value = 0;
    for (let b = 0; b < bits; b++)
      value += d[4 * (bits * block * (block / 2) + b * block + block / 2)] > 127 ? 2 ** b : 0;
    marks.push([value, frame.expectedDisplayTime]);
"""
    + WATCH
)

MOUTH = (
    """(size, box, weights, loud, pause) => {
  const video = document.getElementById('video'), canvas = document.createElement('canvas');
  const paint = canvas.getContext('2d', {willReadFrequently: true});
  canvas.width = canvas.height = size;
  Object.assign(window, {seen: [], sent: [], heard: []});
  const next = (now, frame) => {
    paint.drawImage(video, ...box, 0, 0, size, size);
    const d = paint.getImageData(0, 0, size, size).data;
    let sum = 0;
    for (let i = 0; i < size * size; i++)
      sum += weights[i] * (0.299 * d[4 * i] + 0.587 * d[4 * i + 1] + 0.114 * d[4 * i + 2]);
    seen.push([frame.expectedDisplayTime, sum]);
"""
    + WATCH
)

KEEP_MICROPHONE = """(() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (what) => window.microphone = await open(what);
})()"""


class NothingSeen(RuntimeError):
    """A show in which no sound came through, so that there is nothing to measure."""

    def __init__(self) -> None:
        super().__init__("no sound came through: the machine is too busy for a show, or silent")


def missing() -> str | None:
    """Why no page can be measured here; None when one can."""
    there = any(shutil.which(name) for name in NAMES)
    return None if there else "no Chromium here (Debian: apt-get install chromium)"


class Marked:
    """A real avatar and its drawing, whose pictures tell frame and tone along their upper edge."""

    def __init__(self, cast: Cast) -> None:
        self._avatar, self._drawing = cast.avatar, cast.drawing
        self.config, self.close = cast.avatar.config, cast.drawing.close
        self.initial_state = self._avatar.initial_state
        self._tones: dict[int, int] = {}  # frame → its sample
        self._quiet = SAMPLE_RATE

    @property
    def alive(self) -> bool:
        return self._drawing.alive

    def hear(self, sound: Sound, state: Any) -> tuple[list[Motion], Any]:
        loud = np.flatnonzero(np.abs(sound.samples).max(axis=0) > LOUD)
        since = np.diff(loud, prepend=-self._quiet)
        for begins in loud[since > PAUSE]:
            frame, offset = divmod(sound.start + int(begins), FRAME)
            self._tones[frame] = offset
        n = sound.samples.shape[1]
        self._quiet = n - int(loud[-1]) if len(loud) else self._quiet + n
        return self._avatar.hear(sound, state)

    def draw(self, motion: Motion) -> Picture:
        picture = self._drawing.draw(motion)
        offset = self._tones.get(motion.frame)
        value = motion.frame & 0xFFFF | (0 if offset is None else 1 << 16 | offset << 17)
        for bit in range(BITS):
            columns = slice(bit * BLOCK, (bit + 1) * BLOCK)
            picture.rgba[:BLOCK, columns] = (*[255 * (value >> bit & 1)] * 3, 255)
        return picture

    draw_small = draw


def marked(config: ShowConfig) -> Cast:
    """A cast whose pictures carry marks."""
    cast = prepare(config)
    both: Any = Marked(cast)
    return cast._replace(avatar=both, drawing=both)


class Times(NamedTuple):
    """Milliseconds of the page's clock, by tone. pictures: the frame's time on the screen plus
    where in it the tone begins; first: when each frame was first on the screen."""

    pictures: F32
    sent: F32
    heard: F32
    first: dict[int, float]


def tones(path: Path, seconds: float = 20 * EVERY) -> Path:
    """A song of short tones, one each EVERY seconds; Chromium plays it again and again."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    samples = 0.8 * np.sin(2 * np.pi * 1000 * t) * ((t % EVERY > 0.3) & (t % EVERY < 0.34))
    return _wav(path, samples.astype(np.float32))


def _wav(path: Path, samples: F32) -> Path:
    """Mono [n] at 48 kHz as a stereo file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.repeat((samples * 32767).astype("<i2"), 2).tobytes())
    return path


def watched(seconds: float, config: ShowConfig, folder: Path) -> Times:
    """Sing tones into the page for so long, and read what it saw and heard."""
    script = f"({TIMES})({BITS}, {BLOCK}, {LOUD}, {PAUSE})"
    song = tones(folder / "tones.wav")
    got = _sung(song, seconds, config, folder, Wings(marked), script, "({marks, sent, heard})")
    return _times(got["marks"], got["sent"], got["heard"])


def mouth(seconds: float, config: ShowConfig, folder: Path) -> tuple[Answer, float]:
    """Sing syllables into the page for so long: how the mouth's pixels answer them, and by how many
    seconds the sound that comes back follows them (median)."""
    look = Mouth(config)
    box, weights = list(look.box), look.weights.ravel().round(3).tolist()
    script = f"({MOUTH})({SIZE}, {box}, {json.dumps(weights)}, {LOUD / 2}, {SAMPLE_RATE // 10})"
    song = _wav(folder / "syllables.wav", train(20.0).sound[0])
    got = _sung(song, seconds, config, folder, None, script, "({seen, sent, heard})")
    seen, sent, heard = (np.array(got[name]) / 1000 for name in ("seen", "sent", "heard"))
    if not len(seen) or not len(sent) or not len(heard):
        raise NothingSeen
    waits = [heard[k] - t for t in sent if (k := np.searchsorted(heard, t)) < len(heard)]
    return answer(seen[:, 0], seen[:, 1], sent), float(np.median(waits))


def _sung(
    song: Path,
    seconds: float,
    config: ShowConfig,
    folder: Path,
    wings: Wings | None,
    script: str,
    read: str,
) -> dict[str, Any]:
    """What a page's script has noted after so long of a song in its microphone."""
    microphone = f"--use-file-for-fake-audio-capture={song}"
    with serving(config, wings) as served, Browser(folder, microphone) as page:
        page.look(500, 700)
        page.open(served.url)
        page.until("document.body?.dataset.ready === 'yes'")
        page.run(KEEP_MICROPHONE)
        page.click("#sing")
        page.until("document.getElementById('stage').classList.contains('playing')", 20)
        time.sleep(min(SETTLE_S, 3 * seconds))
        page.run(script)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LISTEN_EVERY))
            page.run("window.listenAfresh()")  # also reads the browser's news, which would pile up
        got = page.run(read)
        page.open("about:blank")
    return dict(got)


def _times(marks: list[list[float]], sent: list[float], heard: list[float]) -> Times:
    first: dict[int, float] = {}
    tones: dict[int, float] = {}
    turns, before = 0, 0
    for value, at in marks:
        frame = int(value) & 0xFFFF
        turns += frame < before - 0x8000  # sixteen bits are 36 minutes
        before = frame
        first.setdefault(frame + turns * 0x10000, at)
        if int(value) >> 16 & 1:
            offset = 1000 * (int(value) >> 17) / SAMPLE_RATE
            tones.setdefault(frame + turns * 0x10000, at + offset)
    return Times(np.array([*tones.values()]), np.array(sent), np.array(heard), first)


def glass_to_glass(times: Times) -> F32:
    """From a tone in the page's microphone to its picture on the screen, ms."""
    past = [times.sent[(times.sent <= t) & (times.sent > t - FAR_MS)] for t in times.pictures]
    return np.array([t - s[-1] for t, s in zip(times.pictures, past, strict=True) if len(s)])


def skew(times: Times) -> F32:
    """How much later a tone is heard than seen, ms."""
    if not len(times.heard):
        return np.zeros(0, np.float32)
    nearest = times.heard[np.abs(times.heard[None] - times.pictures[:, None]).argmin(axis=1)]
    differences = nearest - times.pictures
    return differences[np.abs(differences) < FAR_MS / 2]


def figures(times: Times) -> dict[str, float]:
    """The numbers of the issue. Skew at the beginning and the end: of the first and last tenth."""
    glass, apart = glass_to_glass(times), skew(times)
    if not len(glass) or not len(apart):
        raise NothingSeen
    frames = np.array(sorted(times.first))
    span = (times.first[int(frames[-1])] - times.first[int(frames[0])]) / 1000
    tenth = max(3, len(apart) // 10)
    early, late = float(np.median(apart[:tenth])), float(np.median(apart[-tenth:]))
    steps = np.diff([times.first[int(frame)] for frame in frames])
    return {
        "tones": len(glass),
        "glass to glass p50, ms": round(float(np.percentile(glass, 50)), 1),
        "glass to glass p95, ms": round(float(np.percentile(glass, 95)), 1),
        "skew median, ms": round(float(np.median(apart)), 1),
        "skew p95 of |·|, ms": round(float(np.percentile(np.abs(apart), 95)), 1),
        "skew at the beginning, ms": round(early, 1),
        "skew at the end, ms": round(late, 1),
        "skew growth, ms": round(late - early, 1),
        "pictures a second": round(len(frames) / span, 2),
        "frames shown, share": round(len(frames) / (frames[-1] - frames[0] + 1), 4),
        "longest between pictures, ms": round(float(steps.max()), 1),
        "seconds": round(span, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--lookahead", type=int, default=2)
    parser.add_argument("--renderer", default="puppet")
    parser.add_argument("--commit", action="store_true", help="write bench/page.json")
    args = parser.parse_args(argv)
    web = WebConfig(sessions=1, drain_s=0.0)
    config = ShowConfig(lookahead=args.lookahead, live=LiveConfig(), web=web)
    config = replace(config, renderer=replace(config.renderer, name=args.renderer))
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = figures(watched(60 * args.minutes, config, Path(folder)))
    except NothingSeen as nothing:
        raise SystemExit(str(nothing)) from None
    load = round(os.getloadavg()[0], 1)
    report = {"machine": machine(), "load average": load, "rate": FRAME_RATE,
              "lookahead": args.lookahead, "renderer": args.renderer, **found}  # fmt: skip
    print(json.dumps(report, indent=1))
    if args.commit:
        (HERE / "page.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
