"""In the machine: our camera sink sends numbered pictures, v4l2-ctl captures 60 of them.

Every picture is grey blocks that spell its number in binary, so that each captured one says which
it is; a picture that is torn, mixed or lost is seen at once. Exits 0 when 60 of 60 came, in order,
one after the other, with the blocks' brightness as BT.601 has it, at 30 a second.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from engine.signals import Motion, Picture
from streaming.camera import VirtualCamera, list_cameras
from streaming.schemes import SinkFormat

WIDTH, HEIGHT, BITS, CAPTURED = 320, 180, 16, 60  # small: the machine is emulated
DARK, LIGHT = 40, 210  # of RGB
CAPTURE = Path("/tmp/captured.yuv")
STILL = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32))


def picture(number: int) -> Picture:
    """[H, W, 4]: BITS columns, the lowest bit left."""
    bits = np.array([LIGHT if number >> bit & 1 else DARK for bit in range(BITS)], np.uint8)
    row = np.repeat(bits, WIDTH // BITS)
    rgba = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    rgba[..., :3] = row[None, :, None]
    return Picture(number, rgba)


def brightness(grey: int) -> float:
    """Y' of a grey, limited range."""
    return 16 + 219 * grey / 255


def number_of(luma: np.ndarray) -> int | None:
    """Which picture a captured one is; None when it is none of ours, or not all of it."""
    blocks = luma.reshape(HEIGHT, BITS, WIDTH // BITS)[:, :, 2:-2].astype(float)
    light = np.abs(blocks - brightness(LIGHT)).max(axis=(0, 2)) <= 2
    dark = np.abs(blocks - brightness(DARK)).max(axis=(0, 2)) <= 2
    if not (light ^ dark).all():
        return None
    return sum(1 << bit for bit in range(BITS) if light[bit])


def send(camera: VirtualCamera, on_air: threading.Event, over: threading.Event) -> None:
    number, began = 0, time.monotonic()
    while not over.is_set():
        camera.write(STILL, picture(number), None)
        on_air.set()
        number += 1
        time.sleep(max(0.0, began + number / 30 - time.monotonic()))


def main() -> int:
    print("cameras:", list_cameras())
    camera = VirtualCamera("Cantar", SinkFormat(WIDTH, HEIGHT))
    on_air, over = threading.Event(), threading.Event()
    sending = threading.Thread(target=send, args=(camera, on_air, over))
    sending.start()
    on_air.wait()  # before its first picture the device has nothing to capture
    capture = subprocess.run(
        ["v4l2-ctl", "-d", "/dev/video9", "--stream-mmap", "--stream-skip=5",
         f"--stream-count={CAPTURED}", f"--stream-to={CAPTURE}", "--get-fmt-video"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    over.set()
    sending.join()
    camera.close()
    print(capture.stdout)
    size = WIDTH * HEIGHT * 3 // 2
    data = np.fromfile(CAPTURE, np.uint8)
    frames = data[: len(data) // size * size].reshape(-1, size)
    numbers = [number_of(frame[: WIDTH * HEIGHT]) for frame in frames]
    rates = [float(found) for found in re.findall(r"([\d.]+) fps", capture.stdout + capture.stderr)]
    steps = np.diff([-1 if number is None else number for number in numbers])
    print(f"captured {len(frames)}/{CAPTURED}, broken {numbers.count(None)}, steps {set(steps)}, "
          f"{rates} fps, {camera.device}")  # fmt: skip
    whole = len(frames) == CAPTURED and None not in numbers and set(steps) == {1}
    return 0 if whole and rates and abs(rates[-1] - 30) < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
