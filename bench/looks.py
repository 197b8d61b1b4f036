"""Contact sheet of an avatar: what it looks like at the poses and mouths that matter.

python -m bench.looks --avatar lumi --out docs/looks
python -m bench.looks --avatar elias --shapes --framing face --out /tmp   each of the 52 alone
python -m bench.looks --avatar aria --renderer neural-lite --out /tmp   as the network paints
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.avatar import AvatarConfig, RendererConfig, open_renderer
from engine.motion.blendshapes import ARKIT, INDEX
from engine.motion.secondary import Secondary
from engine.rendering.identity import load_identity
from engine.signals import Motion

REST = {"mouthSmileLeft": 0.25, "mouthSmileRight": 0.25}
SHUT = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}


@dataclass(frozen=True)
class Look:
    """Shapes by name (both sides where the side is left out), head in degrees, gaze in radians."""

    shapes: dict[str, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


SPREAD = {"mouthSmile": 0.5, "mouthStretch": 0.6, "mouthUpperUp": 0.35, "mouthLowerDown": 0.35}
PRESSED = {"mouthPress": 0.7, "mouthRollLower": 0.4, "mouthRollUpper": 0.4, "mouthClose": 0.1}
FIERCE = {"browDown": 0.9, "noseSneer": 0.6, "mouthFrown": 0.5, "eyeSquint": 0.5}
SORRY = {"browInnerUp": 1.0, "mouthFrown": 0.8, "eyeBlink": 0.2, "mouthShrugLower": 0.5}
AGAPE = {"eyeWide": 1.0, "browInnerUp": 0.8, "browOuterUp": 0.9, "mouthFunnel": 0.5, "jawOpen": 0.4}
BELT = {"jawOpen": 0.9, "mouthSmile": 0.6, "browOuterUp": 0.8, "eyeSquint": 0.3}
CROON = {"mouthFunnel": 0.8, "jawOpen": 0.6, "eyeBlink": 0.35, "browInnerUp": 0.9}
WINK = {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.7, "mouthSmile": 0.7, "tongueOut": 0.6}
LOOKS = {
    "neutral": Look(REST),
    "/a/": Look({"jawOpen": 0.75, "browInnerUp": 0.3, "mouthLowerDown": 0.2}),
    "/i/": Look(SPREAD | {"jawOpen": 0.14}),
    "/u/": Look({"mouthPucker": 0.95, "jawOpen": 0.16}),
    "/o/": Look({"mouthFunnel": 0.75, "jawOpen": 0.42}),
    "/m/": Look(PRESSED),
    "/f/": Look({"mouthRollLower": 0.75, "mouthUpperUp": 0.3, "jawOpen": 0.06}),
    "blink": Look(REST | SHUT),
    "smiling eyes": Look(SHUT | {"cheekSquint": 0.8, "mouthSmile": 0.8, "jawOpen": 0.35}, roll=3),
    "wink": Look(WINK, yaw=6, roll=-6),
    "half closed": Look(REST | {"eyeBlink": 0.5, "jawOpen": 0.3}, -8, -4, 4, (0.1, -0.2)),
    "angry": Look(FIERCE, pitch=-5),
    "sad": Look(SORRY, 4, -6, 3, (0.0, -0.2)),
    "surprised": Look(AGAPE, pitch=3),
    "yaw +25": Look(REST | {"jawOpen": 0.35}, yaw=25),
    "yaw -25": Look(REST | {"jawOpen": 0.35}, yaw=-25),
    "pitch +15": Look(REST, pitch=15),
    "pitch -15": Look(REST, pitch=-15),
    "roll +12": Look(REST, roll=12),
    "roll -12": Look(REST | {"jawOpen": 0.5}, roll=-12, gaze=(0.3, 0.0)),
    "yaw +35": Look(REST, yaw=35),
    "yaw -35": Look(REST, yaw=-35),
    "extreme": Look(BELT, -30, 14, 14, (-0.3, 0.2)),
    "extreme 2": Look(CROON, 28, -14, -12, (0.2, -0.2)),
}
SHAPES = {name: Look({name: 1.0}) for name in ARKIT}


def shapes(named: dict[str, float]) -> NDArray[np.float32]:
    """Blendshapes [52] from names; a name without its side sets both sides."""
    values = np.zeros(52, np.float32)
    for name, value in named.items():
        if name in INDEX:
            values[INDEX[name]] = value
        else:
            values[INDEX[name + "Left"]] = values[INDEX[name + "Right"]] = value
    return values


def settled(look: Look) -> Motion:
    """Motion whose hair and shoulders have come to rest in that pose."""
    head = np.zeros(6, np.float32)
    head[:3] = np.radians([look.yaw, look.pitch, look.roll])
    part = Secondary()
    held = np.tile(head, (90, 1)), np.zeros(90, np.float32)
    (hair, body, breath), _ = part(held, part.initial_state())
    return Motion(
        frame=0,
        blendshapes=shapes(look.shapes),
        head=head,
        gaze=np.array(look.gaze, np.float32),
        hair=hair[-1],
        body=body[-1],
        breath=float(breath[-1]),
    )


def sheet(
    avatar: str, config: RendererConfig, columns: int, looks: dict[str, Look]
) -> NDArray[np.uint8]:
    """Labelled grid of looks, RGB."""
    renderer = open_renderer(AvatarConfig(avatar=avatar, renderer=config))
    tiles = []
    for name, look in looks.items():
        tile = np.ascontiguousarray(renderer.draw(settled(look)).rgba[..., :3])
        for ink, width in (((20, 12, 40), 3), ((255, 255, 255), 1)):
            place = (8, config.height - 10)
            cv2.putText(tile, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, width, cv2.LINE_AA)
        tiles.append(tile)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    return np.vstack(rows)


def save(picture: NDArray[np.uint8], folder: Path, avatar: str, of: str = "") -> Path:
    """Write a sheet: a drawing's few colours as PNG, a head's many as JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    name, image = Path(avatar).name + of, Image.fromarray(picture)
    if load_identity(avatar).renderers[0] != "puppet":
        path = folder / f"{name}.jpg"
        image.save(path, quality=86, optimize=True)
        return path
    path = folder / f"{name}.png"
    few = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--avatar", default="lumi")
    parser.add_argument("--renderer", default="auto", help="auto, head, neural-lite …")
    parser.add_argument("--out", type=Path, default=Path("docs/looks"))
    parser.add_argument("--cell", type=int, default=320, help="pixels of one picture")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--background", default="scene")
    parser.add_argument("--framing", default="bust", choices=("bust", "face"))
    parser.add_argument("--shapes", action="store_true", help="each of the 52 shapes alone")
    parser.add_argument("--only", default="", help="names of looks, comma-separated")
    options = parser.parse_args()
    config = RendererConfig(
        name=options.renderer,
        width=options.cell,
        height=options.cell,
        framing=options.framing,
        background=options.background,
    )
    looks = SHAPES if options.shapes else LOOKS
    if options.only:
        looks = {name: looks[name] for name in options.only.split(",")}
    picture = sheet(options.avatar, config, options.columns, looks)
    path = save(picture, options.out, options.avatar, "-shapes" * options.shapes)
    print(f"{path}: {picture.shape[1]}x{picture.shape[0]}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
