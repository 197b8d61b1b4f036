"""The avatar: `hear` sound into motions, `draw` a motion into a picture.

source → hear → motion → draw → picture → sink

48 kHz sound → 16 kHz hops → separator → MFCC of both stems → 39-hop windows at 30 a second
→ MusicFace (expression, head, long closings) → blinks, gaze → hair, shoulders, breath → Motion
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np

from engine.compiled import CompiledState
from engine.hearing.hearing import Hearing, HearingState
from engine.hearing.separator import Separator
from engine.hearing.windows import FeatureWindows, Windows, WindowState
from engine.motion.blendshapes import EYE_BLINK_LEFT, EYE_BLINK_RIGHT, look_shapes
from engine.motion.eyes import BLINKS, Eyes, EyesState
from engine.motion.lyrics import KnownWords
from engine.motion.musicface import MusicFace
from engine.motion.secondary import Secondary, SecondaryState
from engine.rendering.identity import load_identity
from engine.signals import F32, Motion, Picture, Sound
from engine.timeline import FRAME, HOP
from engine.weights import shipped

REALIGN = int(np.lcm(FRAME, HOP))  # 4,800 samples: hops and frames both begin here


@dataclass(frozen=True)
class RendererConfig:
    """How pictures are drawn.

    name: `head`, `puppet`, `neural`, `neural-lite`, or `auto`: the first that the identity lists.
    width, height: pixels.
    framing: `bust` shows the shoulders, `face` fills the picture with the face.
    background: `transparent`, `scene` (the identity's own), or a colour as `#rrggbb`.
    backend, precision: for renderers that run a network; `auto` is the quickest there is.
    """

    name: str = "auto"
    width: int = 512
    height: int = 512
    framing: Literal["bust", "face"] = "bust"
    background: str = "scene"
    mirror: bool = False
    backend: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"


@dataclass(frozen=True)
class AvatarConfig:
    """Who sings and how.

    avatar: an identity's name or the path of its folder. lookahead: frames of future sound a motion
    may hear, 0 … 6. style: 0 shy, 1 warm, 2 pop, 3 rock, 4 dreamy, 5 theatrical. seed: of
    everything random. blinks: `paper` (U(1.2, 2.0) s apart) or `people` (slower). vigour: how far
    the head moves, 0 … 4; 1 is as the network learned it, the default is larger, for a small
    picture. backend: `auto`, `numba`, `openvino`, `onnxruntime`, `eager`, `tensorrt`, `cuda`.
    precision: of the networks that hear and move; `auto` is bf16 where it is quicker, fp32
    elsewhere.
    """

    avatar: str = "lumi"
    lookahead: int = 2
    style: int = 2
    seed: int = 0
    blinks: Literal["paper", "people"] = "people"
    vigour: float = 1.75
    backend: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    renderer: RendererConfig = field(default_factory=RendererConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.vigour <= 4:
            raise ValueError(f"vigour must be 0 to 4, got {self.vigour}")


class Renderer(Protocol):
    """Draws one motion; pure."""

    def draw(self, motion: Motion) -> Picture: ...


class Unseen:
    """The renderer of an avatar that only hears and moves: nobody looks at it."""

    def draw(self, motion: Motion) -> Picture:
        """Raises RuntimeError."""
        raise RuntimeError("this avatar only hears and moves; open it with another renderer")


def renderer_of(config: AvatarConfig) -> str:
    """The name of the renderer; `auto` is the first that the identity lists."""
    name = config.renderer.name
    return load_identity(config.avatar).renderers[0] if name == "auto" else name


def open_renderer(config: AvatarConfig) -> Renderer:
    """The renderer that the configuration names. Raises ValueError for one that does not exist."""
    identity, name = load_identity(config.avatar), renderer_of(config)
    if name == "head":
        from engine.rendering.head import Head

        return Head(identity, config.renderer)
    if name == "puppet":
        from engine.rendering.puppet import Puppet

        return Puppet(identity, config.renderer)
    if name in ("neural", "neural-lite"):
        from engine.rendering.neural.painter import Painter

        return Painter(identity, replace(config.renderer, name=name))
    if name == "portrait":
        from engine.rendering.portrait import Portrait

        return Portrait(identity, config.renderer)
    raise ValueError(
        f"renderer {name!r} is not built yet; there are head, neural, portrait and puppet"
    )


class AvatarState(NamedTuple):
    sample: np.ndarray  # [] int64, the next sample of the timeline
    hearing: HearingState
    windows: WindowState
    face: CompiledState
    eyes: EyesState
    secondary: SecondaryState


class Avatar:
    """Composes hearing, motion and rendering. Holds no state of a show."""

    def __init__(
        self,
        config: AvatarConfig,
        renderer: Renderer | None = None,
        words: KnownWords | None = None,
    ) -> None:
        """Raises what opening weights, identity or renderer raises, each with its reason.

        renderer: draws in place of the one that `config` names, which is then not opened.
        words: of the song, where they are known.
        """
        self.config = config
        opened = config.backend, config.precision
        self.hearing = Hearing(Separator(shipped("separator.onnx"), *opened))
        self.windows = FeatureWindows(config.lookahead)
        self.face = MusicFace(shipped("musicface.onnx"), config.style, config.lookahead, *opened)
        self.words = words
        self.eyes = Eyes(BLINKS[config.blinks], config.seed)
        self.secondary = Secondary()
        self.renderer = open_renderer(config) if renderer is None else renderer

    def initial_state(self) -> AvatarState:
        """State of a show that has not begun."""
        return AvatarState(
            np.array(0),
            self.hearing.initial_state(),
            self.windows.initial_state(),
            self.face.initial_state(),
            self.eyes.initial_state(),
            self.secondary.initial_state(),
        )

    def hear(self, sound: Sound, state: AvatarState) -> tuple[list[Motion], AvatarState]:
        """Take the next stretch of sound; return the motions it completes, in order.

        A sound that starts later than the last one ended is a gap: hearing goes on at the next
        4,800th sample with what it remembers, and the frames between never come.
        Raises ValueError for sound of the wrong shape or type, or from the past.
        """
        stems = self._stems(sound)
        start = sound.start
        if start != int(state.sample) and stems.shape[1]:
            stems, start, state = self._realign(stems, start, state)
        heard, hearing = self.hearing(stems, state.hearing)
        windows, window_state = self.windows(heard, state.windows)
        first = int(state.windows.frame)
        motions, face, eyes, secondary = self._act(first, windows, state)
        sample = np.array(start + stems.shape[1])
        return motions, AvatarState(sample, hearing, window_state, face, eyes, secondary)

    def draw(self, motion: Motion) -> Picture:
        """Draw one motion. Pure: equal motions give equal pictures."""
        return self.renderer.draw(motion)

    def _stems(self, sound: Sound) -> F32:
        """[1, n] mixture or [2, n] voice and accompaniment."""
        x = sound.samples
        if x.ndim != 2 or x.shape[0] not in (1, 2) or x.dtype != np.float32:
            raise ValueError(f"sound must be [1 or 2, n] float32, got {x.shape} {x.dtype}")
        if sound.stems is None:
            return x.mean(axis=0, keepdims=True)
        if sound.stems.shape != (2, x.shape[1]) or sound.stems.dtype != np.float32:
            raise ValueError(f"stems must be [2, {x.shape[1]}] float32, got {sound.stems.shape}")
        return sound.stems

    def _realign(self, stems: F32, start: int, state: AvatarState) -> tuple[F32, int, AvatarState]:
        """Cut to the next sample where hops and frames both begin, and move the clocks there."""
        if start < int(state.sample):
            raise ValueError(f"sound starts at {start}, but {int(state.sample)} was heard already")
        aligned = -(-start // REALIGN) * REALIGN
        if aligned >= start + stems.shape[1]:  # not there yet: still waiting for the next one
            return stems[:, :0], int(state.sample), state
        windows = self.windows.resume(aligned // HOP, state.windows)
        fresh = self.hearing.initial_state()
        hearing = state.hearing._replace(
            first=fresh.first, second=fresh.second, framer=fresh.framer
        )
        state = state._replace(hearing=hearing, windows=windows)
        return stems[:, aligned - start :], aligned, state

    def _act(
        self, first: int, windows: Windows, state: AvatarState
    ) -> tuple[list[Motion], CompiledState, EyesState, SecondaryState]:
        acted, face = self.face(windows.features, state.face)
        head = acted.pose * np.float32(self.config.vigour)
        (closure, gaze), eyes = self.eyes((acted.closing, head), state.eyes)
        (hair, body, breath), secondary = self.secondary((head, windows.activity), state.secondary)
        motions = []
        for n in range(len(windows.features)):
            shapes = acted.expression[n].copy()
            shapes[[EYE_BLINK_LEFT, EYE_BLINK_RIGHT]] = closure[n]
            for index, value in look_shapes(*map(float, gaze[n])).items():
                shapes[index] = value
            motion = Motion(
                frame=first + n,
                blendshapes=shapes,
                head=head[n],
                gaze=gaze[n],
                voice=float(windows.activity[n]),
                hair=hair[n],
                body=body[n],
                breath=float(breath[n]),
            )
            motions.append(self.words(motion, self.face.style) if self.words else motion)
        return motions, face, eyes, secondary
