"""Pairs of motion and true picture: python -m engine.training.renderer.pairs --out corpus/aria

A folder of pairs holds `pairs.json` (whose, how large, which truth), `motions.npz`, and one PNG
with alpha for each picture made so far; `reference.png` is the singer at rest. Making goes on where
it was stopped. Guidance is not stored: it is drawn from the motion whenever a lesson needs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from engine.avatar import RendererConfig
from engine.config import ConfigError
from engine.rendering.head import Head
from engine.rendering.identity import UnknownIdentity, load_identity
from engine.signals import U8, Motion
from engine.training.renderer.cycles import BlenderFailed, Cycles
from engine.training.renderer.motions import numbered_motion, rest

HELD_OUT = 10  # every so many-th pair is never trained on
ABOUT, MOTIONS, REFERENCE = "pairs.json", "motions.npz", "reference.png"
TRUTHS = ("raster", "cycles")


class BadPairs(ConfigError):
    """A folder that is no folder of pairs, or of another's; the message says what was found."""


@dataclass(frozen=True)
class About:
    """identity: name or folder. truth: who painted, one of TRUTHS or `video`. size: pixels a side.
    seed: of the motions. rig: sha256 of the geometry that was painted."""

    identity: str
    truth: str
    size: int
    seed: int
    rig: str


class Pairs:
    """Pairs on disk, those that are there by now."""

    def __init__(self, folder: Path) -> None:
        """Raises BadPairs."""
        self.folder = folder
        try:
            said = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.about = About(**said)
            with np.load(folder / MOTIONS, allow_pickle=False) as stored:
                self._motions = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadPairs(f"{folder} is no folder of pairs: {error}") from None
        self.count = len(self._motions["frame"])

    def done(self) -> list[int]:
        """Numbers of the pairs whose picture is there, in order."""
        names = {path.name for path in self.folder.glob("[0-9]*.png")}
        return [k for k in range(self.count) if picture_name(k) in names]

    def check(self) -> None:
        """Raises BadPairs when the identity's geometry is not the one that was painted."""
        found = rig_digest(self.about.identity)
        if found != self.about.rig:
            raise BadPairs(
                f"{self.folder} shows another {self.about.identity}: its rig has changed since; "
                "make the pairs anew"
            )

    def motion(self, number: int) -> Motion:
        """The motion of a pair."""
        row = {name: values[number] for name, values in self._motions.items()}
        single = {name: type_(row.pop(name)) for name, type_ in SINGLE.items()}
        return Motion(**single, **row)

    def picture(self, number: int) -> U8:
        """The true picture [size, size, 4], straight alpha."""
        return read_picture(self.folder / picture_name(number))

    def reference(self) -> U8:
        """The true picture at rest."""
        return read_picture(self.folder / REFERENCE)


SINGLE: dict[str, type] = {"frame": int, "voice": float, "breath": float}


def picture_name(number: int) -> str:
    """File name of a pair's picture."""
    return f"{number:06}.png"


def read_picture(path: Path) -> U8:
    """[H, W, 4]. Raises BadPairs."""
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4:
        raise BadPairs(f"{path}: expected a picture with alpha")
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA), np.uint8)


def write_picture(path: Path, rgba: U8) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial.png")
    cv2.imwrite(str(partial), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))
    os.replace(partial, path)


def rig_digest(identity: str) -> str:
    """sha256 of an identity's geometry. Raises BadPairs where it has none."""
    try:
        rig = load_identity(identity).folder / "rig.npz"
        return hashlib.sha256(rig.read_bytes()).hexdigest()
    except (UnknownIdentity, OSError) as error:
        raise BadPairs(str(error)) from None


# ---- making --------------------------------------------------------------------------------------

Painter = Callable[[Iterable[Motion]], Iterator[U8]]


def begin(out: Path, about: About, count: int) -> Pairs:
    """A folder for `count` pairs, or the one that is there, made longer if need be.

    Raises BadPairs when it was begun otherwise.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / ABOUT).exists():
        there = Pairs(out)
        if there.about != about:
            raise BadPairs(f"{out} was begun as {asdict(there.about)}, asked now {asdict(about)}")
        if there.count >= count:
            return there
    return keep(out, about, [numbered_motion(about.seed, number) for number in range(count)])


def keep(out: Path, about: About, motions: list[Motion]) -> Pairs:
    """A folder of pairs of these motions, to be painted."""
    out.mkdir(parents=True, exist_ok=True)
    columns = {f.name: np.stack([getattr(m, f.name) for m in motions]) for f in fields(Motion)}
    np.savez_compressed(out / "partial.npz", **columns)  # type: ignore[arg-type]
    os.replace(out / "partial.npz", out / MOTIONS)
    (out / ABOUT).write_text(json.dumps(asdict(about), indent=2) + "\n", encoding="utf-8")
    return Pairs(out)


def make(pairs: Pairs, paint: Painter, say: Callable[[str], None] = print) -> None:
    """Paint what is not there yet; the reference first."""
    if not (pairs.folder / REFERENCE).exists():
        write_picture(pairs.folder / REFERENCE, next(iter(paint([rest()]))))
    there = set(pairs.done())
    missing = [number for number in range(pairs.count) if number not in there]
    made, begun = paint(pairs.motion(number) for number in missing), perf_counter()
    for done, (number, rgba) in enumerate(zip(missing, made, strict=True), 1):
        write_picture(pairs.folder / picture_name(number), rgba)
        if done % 20 == 0 or done == len(missing):
            each = (perf_counter() - begun) / done
            say(f"{len(there) + done} of {pairs.count}, {each:.2f} s each")


def rasterise(identity: str, size: int) -> Painter:
    """The rasteriser's own pictures, on nothing."""
    config = replace(RendererConfig(), width=size, height=size, background="transparent")
    head = Head(load_identity(identity), config)
    return lambda motions: (head.draw(motion).rgba for motion in motions)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--identity", default="aria")
    parser.add_argument("--truth", choices=TRUTHS, default="raster")
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=24, help="Cycles: light paths a pixel")
    parser.add_argument(
        "--blender",
        default=shutil.which("blender-python") or "python3",
        help="Cycles: a Python that has bpy (its pins do not fit ours: give it an environment)",
    )
    options = parser.parse_args()
    try:
        digest = rig_digest(options.identity)
        about = About(options.identity, options.truth, options.size, options.seed, digest)
        pairs = begin(options.out, about, options.count)
        if options.truth == "raster":
            make(pairs, rasterise(options.identity, options.size))
            return
        with Cycles(options.identity, options.size, options.samples, options.blender) as cycles:
            make(pairs, cycles.paint)
    except (BadPairs, BlenderFailed) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
