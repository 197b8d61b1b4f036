"""MusicFace at work: the compiled one-frame graph, from feature windows to expression and pose."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.compiled import Compiled, CompiledState
from engine.signals import F32
from engine.timeline import MAX_LOOKAHEAD, check_lookahead


class Acted(NamedTuple):
    expression: F32  # [f, 52] in [0, 1]
    pose: F32  # [f, 6] radians and metres
    closing: F32  # [f] long eye closing, nominally 0 … 1


class MusicFace:
    """[f, 2, 39, 26] windows → Acted of f frames, in one subject's style.

    The network is told how far past the frame its windows reach, so that one set of weights serves
    every lookahead.
    """

    def __init__(
        self, path: Path, style: int, lookahead: int, backend: str = "auto", precision: str = "fp32"
    ) -> None:
        """Raises ValueError for a style that was not learned or a lookahead outside 0 … 6."""
        self.net = Compiled(path, backend, precision)
        self._reach = check_lookahead(lookahead) / MAX_LOOKAHEAD
        self.wear(style)

    def wear(self, style: int) -> None:
        """Act in this style from the next frame on. Raises ValueError for one not learned."""
        subjects = self.net.config["subjects"]
        if not 0 <= style < subjects:
            raise ValueError(f"style must be 0 to {subjects - 1}, got {style}")
        code = np.zeros((1, 1, subjects + 1), np.float32)
        code[..., style] = 1
        code[..., -1] = self._reach
        self.code = code  # whole, since another thread may be acting
        self.style = style

    def initial_state(self, batch: int = 1) -> CompiledState:
        """Head at rest, nothing heard."""
        return self.net.initial_state(batch)

    def __call__(self, x: F32, state: CompiledState) -> tuple[Acted, CompiledState]:
        frames = len(x)
        made = Acted(
            np.empty((frames, self.net.config["expression"]), np.float32),
            np.empty((frames, 6), np.float32),
            np.empty(frames, np.float32),
        )
        for n, windows in enumerate(x):
            answer, state = self.net({"windows": windows[None, None], "code": self.code}, state)
            np.clip(answer["expression"][0, 0], 0, 1, out=made.expression[n])
            made.pose[n] = answer["pose"][0, 0]
            made.closing[n] = answer["closing"][0, 0]
        return made, state
