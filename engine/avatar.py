"""The avatar: `hear` sound into motions, `draw` a motion into a picture.

    source → hear → motion → draw → picture → sink
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.signals import Motion, Picture, Sound


@dataclass(frozen=True)
class RendererConfig:
    """How pictures are drawn.

    name: `puppet` (later: head, neural, portrait). width, height: pixels.
    framing: `bust` shows the shoulders, `face` fills the picture with the face.
    background: `transparent`, `scene` (the identity's own), or a colour as `#rrggbb`.
    backend: for renderers that run a network.
    """

    name: str = "puppet"
    width: int = 512
    height: int = 512
    framing: Literal["bust", "face"] = "bust"
    background: str = "scene"
    mirror: bool = False
    backend: str = "auto"


@dataclass(frozen=True)
class AvatarConfig:
    """Who sings and how.

    avatar: an identity's name or the path of its folder. lookahead: frames of future sound a motion
    may hear, 0 … 6. style: which of the trained subjects' manners. seed: of everything random.
    blinks: `paper` (U(1.2, 2.0) s apart) or `people` (slower). backend: `auto`, `openvino`,
    `onnxruntime`, `eager`, `tensorrt`.
    """

    avatar: str = "lumi"
    lookahead: int = 2
    style: int = 0
    seed: int = 0
    blinks: Literal["paper", "people"] = "people"
    backend: str = "auto"
    renderer: RendererConfig = field(default_factory=RendererConfig)


class Avatar:
    """Composes hearing, motion and rendering. Holds no state of a show."""

    def __init__(self, config: AvatarConfig) -> None:
        self.config = config

    def initial_state(self) -> Any:
        """State of a show that has not begun."""
        raise NotImplementedError

    def hear(self, sound: Sound, state: Any) -> tuple[list[Motion], Any]:
        """Take the next stretch of sound; return the motions it completes, in order."""
        raise NotImplementedError

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion. Pure: equal motions give equal pictures."""
        raise NotImplementedError
