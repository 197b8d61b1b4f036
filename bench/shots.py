"""The page's portraits for the README: `python -m bench.shots` writes docs/looks/page*.webp.

How late the show is belongs to the machine they are taken on: that figure may be left out.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.signals import U8
from streaming.line import ShowConfig
from streaming.webconfig import WebConfig
from tests.browser import Browser
from tests.serving import serving

LOOKS = Path(__file__).resolve().parents[1] / "docs" / "looks"
SUNG_S = 9.3  # of the demo: a mouth wide open
QUALITY = 86
GAP = 12  # pixels between portraits
SCROLLBAR = 15  # pixels
ALL_THERE = "[...document.images].every((image) => image.complete && image.naturalWidth)"
DENIED = """navigator.mediaDevices.getUserMedia =
    () => Promise.reject(new DOMException('', 'NotAllowedError'))"""


def portrait(page: Browser, folder: Path, height: int) -> U8:
    """What the page shows now, [height, W, 3]."""
    page.shoot(folder / "shot.png")
    shot: Any = cv2.imread(str(folder / "shot.png"))
    if shot.shape[1] > shot.shape[0]:
        shot = shot[:, :-SCROLLBAR]
    width = shot.shape[1] * height // shot.shape[0]
    return np.asarray(cv2.resize(shot, (width, height), interpolation=cv2.INTER_AREA))


def sing(page: Browser) -> None:
    """Play the demo up to the moment of the portrait."""
    page.click("#demo")
    page.until("document.getElementById('stage').classList.contains('playing')", 60)
    began = time.monotonic()
    page.until("document.getElementById('clock').textContent > '0:08'", 60)
    time.sleep(max(0.0, SUNG_S - (time.monotonic() - began)))
    page.run("document.getElementById('total').textContent = '–'")


def main() -> int:
    config = ShowConfig(web=WebConfig(sessions=1, drain_s=0.0))
    with tempfile.TemporaryDirectory() as place, serving(config) as served:
        folder = Path(place)
        with Browser(folder) as page:

            def load(*size: int, dark: bool = False, phone: bool = False) -> None:
                page.look(*size, dark=dark, phone=phone)
                page.open("about:blank")
                page.open(served.url)
                page.until("document.body?.dataset.ready === 'yes'", 60)
                page.until(ALL_THERE, 60)
                time.sleep(0.5)

            load(1280, 800)
            idle = portrait(page, folder, 440)
            sing(page)
            singing = portrait(page, folder, 800)
            load(1280, 800, dark=True)
            sing(page)
            dark = portrait(page, folder, 440)
            load(1280, 800)
            page.run(DENIED)
            page.click("#sing")
            page.until("!document.getElementById('alert').hidden")
            error = portrait(page, folder, 440)
            load(390, 844, phone=True)
            phone = portrait(page, folder, 440)
    gap = np.full((440, GAP, 3), 255, np.uint8)
    more = np.hstack([idle, gap, dark, gap, error, gap, phone])
    for name, picture in {"page": singing, "page-more": more}.items():
        path = LOOKS / f"{name}.webp"
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        print(f"{path.name}: {path.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
