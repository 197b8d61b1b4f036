"""Contact sheet of a puppet: what it looks like at the poses and mouths that matter.

    python -m bench.looks --avatar lumi --out docs/looks
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.avatar import RendererConfig
from engine.motion.blendshapes import INDEX
from engine.motion.secondary import Secondary
from engine.rendering.identity import load_identity
from engine.rendering.puppet import Puppet
from engine.signals import Motion

REST = {"mouthSmileLeft": 0.25, "mouthSmileRight": 0.25}
SHUT = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
LOOKS: dict[str, tuple[dict[str, float], tuple[float, float, float], tuple[float, float]]] = {
    "neutral": (REST, (0, 0, 0), (0, 0)),
    "/a/": ({"jawOpen": 0.75, "browInnerUp": 0.3, "mouthLowerDown": 0.2}, (0, 0, 0), (0, 0)),
    "/i/": (
        {"mouthSmile": 0.5, "mouthStretch": 0.6, "jawOpen": 0.14, "mouthUpperUp": 0.35, "mouthLowerDown": 0.35},
        (0, 0, 0),
        (0, 0),
    ),
    "/u/": ({"mouthPucker": 0.95, "jawOpen": 0.16}, (0, 0, 0), (0, 0)),
    "/o/": ({"mouthFunnel": 0.75, "jawOpen": 0.42}, (0, 0, 0), (0, 0)),
    "/m/": ({"mouthPress": 0.7, "mouthRollLower": 0.4, "mouthRollUpper": 0.4, "mouthClose": 0.1}, (0, 0, 0), (0, 0)),
    "/f/": ({"mouthRollLower": 0.75, "mouthUpperUp": 0.3, "jawOpen": 0.06}, (0, 0, 0), (0, 0)),
    "blink": (REST | SHUT, (0, 0, 0), (0, 0)),
    "smiling eyes": (
        SHUT | {"cheekSquint": 0.8, "mouthSmile": 0.8, "jawOpen": 0.35}, (0, 0, 3), (0, 0)
    ),
    "wink": ({"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.7, "mouthSmile": 0.7, "tongueOut": 0.6}, (6, 0, -6), (0, 0)),
    "half closed": (REST | {"eyeBlink": 0.5, "jawOpen": 0.3}, (-8, -4, 4), (0.1, -0.2)),
    "angry": ({"browDown": 0.9, "noseSneer": 0.6, "mouthFrown": 0.5, "eyeSquint": 0.5}, (0, -5, 0), (0, 0)),
    "sad": ({"browInnerUp": 1.0, "mouthFrown": 0.8, "eyeBlink": 0.2, "mouthShrugLower": 0.5}, (4, -6, 3), (0, -0.2)),
    "surprised": ({"eyeWide": 1.0, "browInnerUp": 0.8, "browOuterUp": 0.9, "mouthFunnel": 0.5, "jawOpen": 0.4}, (0, 3, 0), (0, 0)),
    "yaw +25": (REST | {"jawOpen": 0.35}, (25, 0, 0), (0, 0)),
    "yaw -25": (REST | {"jawOpen": 0.35}, (-25, 0, 0), (0, 0)),
    "pitch +15": (REST, (0, 15, 0), (0, 0)),
    "pitch -15": (REST, (0, -15, 0), (0, 0)),
    "roll +12": (REST, (0, 0, 12), (0, 0)),
    "roll -12": (REST | {"jawOpen": 0.5}, (0, 0, -12), (0.3, 0)),
    "yaw +35": (REST, (35, 0, 0), (0, 0)),
    "yaw -35": (REST, (-35, 0, 0), (0, 0)),
    "extreme": (
        {"jawOpen": 0.9, "mouthSmile": 0.6, "browOuterUp": 0.8, "eyeSquint": 0.3}, (-30, 14, 14), (-0.3, 0.2)
    ),
    "extreme 2": (
        {"mouthFunnel": 0.8, "jawOpen": 0.6, "eyeBlink": 0.35, "browInnerUp": 0.9}, (28, -14, -12), (0.2, -0.2)
    ),
}  # fmt: skip


def shapes(named: dict[str, float]) -> NDArray[np.float32]:
    """Blendshapes [52] from names; a name without its side sets both sides."""
    values = np.zeros(52, np.float32)
    for name, value in named.items():
        if name in INDEX:
            values[INDEX[name]] = value
        else:
            values[INDEX[name + "Left"]] = values[INDEX[name + "Right"]] = value
    return values


def settled(
    named: dict[str, float], degrees: tuple[float, float, float], gaze: tuple[float, float]
) -> Motion:
    """Motion whose hair and shoulders have come to rest in that pose."""
    head = np.zeros(6, np.float32)
    head[:3] = np.radians(degrees)
    part = Secondary()
    held = np.tile(head, (90, 1)), np.zeros(90, np.float32)
    (hair, body, breath), _ = part(held, part.initial_state())
    return Motion(
        frame=0,
        blendshapes=shapes(named),
        head=head,
        gaze=np.array(gaze, np.float32),
        hair=hair[-1],
        body=body[-1],
        breath=float(breath[-1]),
    )


def sheet(
    avatar: str, config: RendererConfig, columns: int, only: str = ""
) -> NDArray[np.uint8]:
    """Labelled grid of all looks, RGB."""
    puppet = Puppet(load_identity(avatar), config)
    tiles = []
    for name, (named, degrees, gaze) in LOOKS.items():
        if only and name not in only.split(","):
            continue
        tile = np.ascontiguousarray(puppet.draw(settled(named, degrees, gaze)).rgba[..., :3])
        place = (8, config.height - 10)
        cv2.putText(tile, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 12, 40), 3, cv2.LINE_AA)
        cv2.putText(tile, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--avatar", default="lumi")
    parser.add_argument("--out", type=Path, default=Path("docs/looks"))
    parser.add_argument("--cell", type=int, default=256, help="pixels of one picture")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--background", default="scene")
    parser.add_argument("--framing", default="bust", choices=("bust", "face"))
    parser.add_argument("--only", default="", help="names of looks, comma-separated")
    options = parser.parse_args()
    config = RendererConfig(
        width=options.cell,
        height=options.cell,
        framing=options.framing,
        background=options.background,
    )
    picture = sheet(options.avatar, config, options.columns, options.only)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{Path(options.avatar).name}.png"
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{path}: {picture.shape[1]}x{picture.shape[0]}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
