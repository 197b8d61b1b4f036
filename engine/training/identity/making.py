"""From a video to a pack, stage after stage. Each leaves its result in the work folder, whole or
not at all, so that the same command goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import yaml
from torch import Tensor, nn

from engine.config import ConfigError, read
from engine.rendering.head.rig import read_rig
from engine.rendering.identity import list_identities, load_identity
from engine.signals import U8
from engine.timeline import FRAME_RATE
from engine.training.identity import fitting, picturing, shaping, sounding
from engine.training.identity.page import SHEET, Page
from engine.training.identity.person import personal
from engine.training.identity.plane import Placing, angles
from engine.training.identity.video import LONGEST, pictures
from engine.training.identity.watching import PIECE, Watched, watch, watched
from engine.training.loop import device, train
from engine.training.renderer.lessons import Batch
from engine.training.renderer.pairs import ABOUT, About, Pairs, keep, rig_digest
from engine.training.renderer.score import sheet
from engine.training.renderer.shipping import ship
from engine.training.renderer.task import RendererTask, RendererTraining

PRESET = Path(__file__).resolve().parents[3] / "configs/train/identity.yaml"
CONSENT = (
    "the person shown agreed that a renderer of their face is trained from this video and sings in "
    "their likeness, or it is me, or it shows nobody real, and I may use the video"
)
ASKED = "asked.json"
SHORTEST = 8.0  # seconds of one face that can be used
SMALLEST = 96  # pixels that a face is tall
TURNED = np.radians(40.0)
STRANGE = 3.0  # times the usual deviation: the landmarks show no face
SEVERAL = 0.05  # share of the pictures that may show more than one face
MOST = 2400  # pairs
TELL_EVERY = 10  # steps of training
STAGES = (
    "Looking at our own head as mediapipe sees it",
    "Watching the video",
    "Fitting pose, coefficients and shape",
    "Bending the rig to the person",
    "Cutting out and pairing the pictures",
    "Training the renderer",
    "Packing",
)


class CannotMake(ValueError):
    """The identity cannot be made; the message says why, and what to do."""


@dataclass(frozen=True)
class Request:
    """video: file. name: of the identity. base: the identity whose head is bent. size: pixels of
    the picture. out: folder of the pack. work: folder where everything else is kept. settings:
    `KEY=VALUE` of the training."""

    video: Path
    name: str
    base: str
    size: int
    out: Path
    work: Path
    settings: tuple[str, ...] = ()


def training(request: Request) -> RendererTraining:
    """The renderer's training for a request. Raises ConfigError."""
    own = [
        f"pairs={(request.work / 'pairs').resolve()}",
        f"loop.out={(request.work / 'run').resolve()}",
        f"lite.size={request.size // 2}",
    ]
    config = read(RendererTraining, PRESET, [*own, *request.settings])
    if config.network.size * config.network.enlarge != request.size:
        raise ConfigError(f"--size {request.size}: the network paints another size")
    return config


def begin(request: Request, consent: Callable[[], bool], today: str) -> None:
    """Keep what was asked, and the consent. consent: whether the user has confirmed CONSENT; asked
    only the first time. today: the date, in words. Raises CannotMake, before anything has been
    done, and ConfigError.
    """
    training(request)
    if request.name in list_identities():
        raise CannotMake(f"--name: there is a shipped {request.name}; choose another name")
    base = load_identity(request.base)
    if "rig" not in base.assets:
        raise CannotMake(f"{request.base} has no head that could be bent; aria and elias have one")
    if request.out.exists():
        raise CannotMake(f"{request.out} is there already; remove it or choose another --out")
    with request.video.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told: dict[str, str | int] = {
        "video": digest,
        "base": request.base,
        "rig": rig_digest(request.base),
    }
    told = {**told, "size": request.size, "name": request.name}
    path = request.work / ASKED
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key, value in told.items() if before.get(key) != value]
        if other:
            raise CannotMake(
                f"{request.work} was begun with another {' and '.join(other)}; remove it or "
                "choose another --work"
            )
        return
    if not consent():
        raise CannotMake(f"confirm with --consent that {CONSENT}")
    request.work.mkdir(parents=True, exist_ok=True)
    _write(path, {**told, "consent": CONSENT, "file": request.video.name, "date": today})


def make(request: Request, say: Callable[[str], None] = print) -> Path:
    """Run what has not been done yet; the pack's folder.

    Raises CannotMake, BadVideo, FinderMissing, FinderFailed, ConfigError.
    """
    making = Making(request, say)
    try:
        making.run()
    except Exception as error:
        making.page.wrong = str(error)
        making.page.tell(making.page.share)
        raise
    return request.out


class Making:
    """The stages, each a method that does nothing when its result is there."""

    def __init__(self, request: Request, say: Callable[[str], None]) -> None:
        self.request, self.say, work = request, say, request.work
        self.page = Page(work, f"{request.name} from {request.video.name}", STAGES, work / "run")
        self.sounded, self.watched = work / "sounded", work / "watched"
        self.fitted, self.rig, self.pairs = work / "fitted.npz", work / "rig", work / "pairs"

    def run(self) -> None:
        """All of them."""
        stages = (
            self.sound, self.watch, self.fit, self.shape, self.picture, self.train, self.pack,
        )  # fmt: skip
        for number, stage in enumerate(stages):
            self.page.now = number
            self.page.tell(0.0)
            self.say(f"{number + 1}/{len(stages)} {STAGES[number]}")
            stage()
        self.page.now = len(stages)
        self.page.tell(1.0)

    def sound(self) -> None:
        """Our own head, as mediapipe sees it."""
        tell = lambda done: self.page.tell(done / sounding.COUNT)  # noqa: E731
        sounding.sound(self.request.base, self.sounded, tell)

    def watch(self) -> None:
        """The video, as mediapipe sees it. Raises CannotMake where it shows too little."""
        source = lambda first: islice(pictures(self.request.video), first, None)  # noqa: E731
        tell = lambda n: self.page.tell(n / (n + PIECE), f"{n / FRAME_RATE:.0f} s")  # noqa: E731
        watch(source, self.watched, say=tell)
        usable(watched(self.watched), self.request.video.name)

    def fit(self) -> None:
        """Pose, coefficients, shape."""
        if self.fitted.exists():
            return
        seen = watched(self.watched)
        kept = usable(seen, self.request.video.name)
        ours = sounding.measure(self.request.base, self.sounded)
        found = fitting.fit(ours, seen.points[kept], seen.numbers[kept], self.page.tell)
        good = plausible(found.track)
        if good.mean() < 0.5 or good.sum() < SHORTEST * FRAME_RATE:
            raise CannotMake(
                f"in {self.request.video.name} the face can be followed in {good.sum()} pictures "
                "only: it should look towards the camera and be covered by nothing"
            )
        columns = {name: value[good] for name, value in found.track._asdict().items()}
        columns |= {"kept": kept[good], "offset": found.offset, "placing": np.array(found.placing)}
        temporary = self.fitted.with_suffix(".partial")
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **columns)
        os.replace(temporary, self.fitted)

    def shape(self) -> None:
        """The person's rig."""
        if self.rig.exists():
            return
        ours = sounding.measure(self.request.base, self.sounded)
        person = personal(ours, self.found().offset)
        shaping.shape(self.request.base, person, self.rig, self.request.name)

    def found(self) -> fitting.Fit:
        """What was fitted."""
        with np.load(self.fitted, allow_pickle=False) as stored:
            track = fitting.Track(*(stored[name] for name in fitting.Track._fields))
            placing = Placing(*map(float, stored["placing"]))
            return fitting.Fit(placing, stored["offset"], track)

    def picture(self) -> None:
        """Pairs of motion and picture."""
        request, found = self.request, self.found()
        with np.load(self.fitted, allow_pickle=False) as stored:
            kept = stored["kept"]
        spread = np.linspace(0, len(kept) - 1, min(MOST, len(kept))).astype(int)
        chosen = spread[picturing.order(len(spread))]
        identity = str(self.rig.resolve())
        if not (self.pairs / ABOUT).exists():
            told = picturing.motions(found.track, read_rig(self.rig).neck)
            about = About(identity, "video", request.size, 0, rig_digest(identity))
            keep(self.pairs, about, [told[k] for k in chosen])
        pairs, seen = Pairs(self.pairs), watched(self.watched)
        tell = lambda done: self.page.tell(done / len(seen.numbers))  # noqa: E731
        picturing.paint(
            request.video, self.watched, kept[chosen], seen.points, found.placing, pairs, tell
        )
        picturing.set_reference(pairs)

    def train(self) -> None:
        """The renderer, as every renderer is trained."""
        config = training(self.request)
        train(WatchedTask(config, self.page), config.loop)

    def pack(self) -> None:
        """Network, reference and rig, in a folder of their own."""
        request = self.request
        partial = request.out.with_name(request.out.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(self.rig, partial)
        asked = json.loads((request.work / ASKED).read_text(encoding="utf-8"))
        path = partial / "identity.yaml"
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        said["origin"] = (
            f"Trained from the video {asked['file']} (sha256 {asked['video'][:16]}), begun on "
            f"{asked['date']}. Consent, as confirmed by who made this: {asked['consent']}. "
            f"{said['origin']}"
        )
        said["licence"] = "all rights reserved by the person shown"
        said["renderers"] = []
        text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
        path.write_text(text, encoding="utf-8")
        ship(request.work / "run", partial)
        os.replace(partial, request.out)


def usable(seen: Watched, name: str) -> np.ndarray:
    """Numbers of the pictures that show one face, large enough. Raises CannotMake."""
    none, several = float((seen.faces == 0).mean()), float((seen.faces > 1).mean())
    if none > 0.5:
        raise CannotMake(
            f"no face found in {100 * none:.0f} % of {name}: it must be seen from the front and "
            "fill a good part of the picture"
        )
    if several > SEVERAL:
        raise CannotMake(
            f"several faces found in {100 * several:.0f} % of {name}, and one can sing: film one "
            "person, without mirrors and pictures behind them"
        )
    one = seen.faces == 1
    tall = np.ptp(seen.points[:, :468, 1], axis=1)
    if np.median(tall[one]) < SMALLEST:
        raise CannotMake(
            f"the face in {name} is {np.median(tall[one]):.0f} pixels tall, too small to learn "
            f"from: film it closer (at least {SMALLEST}, better 300)"
        )
    kept = np.flatnonzero(one & (tall >= SMALLEST / 2))
    seconds = len(kept) / FRAME_RATE
    if seconds < SHORTEST:
        raise CannotMake(
            f"{name} shows one face for {seconds:.1f} s, too short to learn from: at least "
            f"{SHORTEST:.0f} s, better 60, at most {LONGEST} are looked at"
        )
    return kept


def plausible(track: fitting.Track) -> np.ndarray:
    """Which pictures were explained, and show the face from the front: [F] bool."""
    turned = np.abs(angles(track.turn)[:, :2]).max(1)
    return np.asarray((track.off < STRANGE * np.median(track.off)) & (turned < TURNED))


class WatchedTask(RendererTask):
    """The renderer's task that shows on a page how it is getting on."""

    def __init__(self, config: RendererTraining, page: Page) -> None:
        super().__init__(config)
        self.page = page

    def step(self, batch: Batch, step: int, progress: float) -> dict[str, Tensor]:
        """As the renderer's."""
        if step % TELL_EVERY == 0:
            self.page.tell(progress, f"step {step} of {self.config.loop.steps}")
        return super().step(batch, step, progress)

    def score(self, model: nn.Module) -> dict[str, float]:
        """As the renderer's; what it paints now is drawn too."""
        figures = super().score(model)
        rows = sheet(model.cpu(), self._held_out)  # type: ignore[arg-type]
        model.to(device())
        write_sheet(self.page.folder / SHEET, rows)
        return figures


def write_sheet(path: Path, rgb: U8) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".partial.png")
    cv2.imwrite(str(temporary), rgb[..., ::-1])
    os.replace(temporary, path)


def _write(path: Path, said: dict) -> None:
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
