"""Motion to VMC programs (VSeeFace, Warudo, VNyan, VirtualMotionCapture, EVMC4U …) over OSC.

We send head and expressions only, so in VMC's words we are an assistant: port 39540 of a performer.
A program that only shows (a marionette) listens on 39539. The protocol is at protocol.vmc.info.

    vmc://HOST:PORT?names=vrm1+arkit&only=mouth+head&model=my.vrm

names: VRM 0's presets are always sent; `vrm1` and `arkit` add theirs. With `arkit` ("perfect sync")
the others are sent as 0, since a model that has both would wear every expression twice. only:
parts that are sent at all, so that the rest is left to others. model: the model's own file, for
receivers that take bone places at their word (EVMC4U's Bone Position Synchronize); without it all
places are 0, as most senders have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.motion import vrm
from engine.motion.blendshapes import ARKIT
from engine.signals import F32, Motion, Picture, Sound
from streaming.osc import Bundles, Message
from streaming.peers import PARTS, Address, Datagrams, part_of, read_address, read_choices
from streaming.vrmfile import rest_places

if TYPE_CHECKING:
    from streaming.schemes import SinkFormat

ASSISTANT, PERFORMER = 39540, 39539  # the ports that an assistant and a performer send to
OPTIONS = ("names", "only", "model")
NAMES = ("vrm0", "vrm1", "arkit")


class Layout:
    """Which values are sent, under which names, in which bundles."""

    def __init__(
        self,
        names: Sequence[str] = (),
        only: Sequence[str] = PARTS,
        places: dict[str, tuple[float, float, float]] | None = None,
    ) -> None:
        self._arkit = "arkit" in names
        self._vrm1 = "vrm1" in names
        values = vrm.VRM0 + (vrm.VRM1 if self._vrm1 else ()) + (ARKIT if self._arkit else ())
        self._bones = [i for i, name in enumerate(vrm.BONES) if part_of(name) in only]
        self._values = [i for i, name in enumerate(values) if part_of(name) in only]
        self._rest = np.array([(places or {}).get(n, (0.0, 0.0, 0.0)) for n in vrm.BONES])
        self.bundles = Bundles(self._messages([values[i] for i in self._values]))

    def _messages(self, values: Sequence[str]) -> list[Message]:
        turned = (0.0,) * 7
        return [
            ("/VMC/Ext/OK", (1,)),
            ("/VMC/Ext/T", (0.0,)),
            *(("/VMC/Ext/Bone/Pos", (vrm.BONES[i], *turned)) for i in self._bones),
            *(("/VMC/Ext/Blend/Val", (name, 0.0)) for name in values),
            ("/VMC/Ext/Blend/Apply", ()),
        ]

    def numbers(self, motion: Motion) -> F32:
        """All floats of a frame, in the order of its messages."""
        bones = np.concatenate([self._rest, vrm.bones(motion)], axis=1)[self._bones]
        values = self._worn(motion)[self._values]
        return np.concatenate([[motion.t], bones.ravel(), values]).astype(np.float32)

    def _worn(self, motion: Motion) -> F32:
        if self._arkit:
            presets = np.zeros(len(vrm.VRM0) + (len(vrm.VRM1) if self._vrm1 else 0), np.float32)
            return np.concatenate([presets, motion.blendshapes])
        if self._vrm1:
            return np.concatenate([vrm.vrm0(motion), vrm.vrm1(motion)])
        return vrm.vrm0(motion)

    def datagrams(self, motion: Motion) -> list[bytes]:
        """A frame as bundles; the last one ends with Blend/Apply."""
        return self.bundles.filled(self.numbers(motion))


def read_options(argument: str) -> tuple[Address, Layout]:
    """What follows `vmc://`. Raises UserError."""
    address = read_address("vmc", argument, ASSISTANT, OPTIONS)
    spec, options = f"vmc://{argument}", address.options
    names = read_choices(spec, "names", options.get("names", "vrm0"), NAMES)
    only = read_choices(spec, "only", options.get("only", "+".join(PARTS)), PARTS)
    places = rest_places(options["model"]) if "model" in options else None
    return address, Layout(names, only, places)


class Vmc:
    """A sink that sends each frame's motion at once."""

    wants_picture = False
    wants_sound = False

    def __init__(
        self, argument: str, fmt: SinkFormat, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        address, self._layout = read_options(argument)
        self.peer = Datagrams(address, "VMC", now=now)

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        self.peer.send(self._layout.datagrams(motion))

    def close(self) -> None:
        self.peer.close()


def check_vmc(argument: str, fmt: SinkFormat | None) -> None:
    """Raise UserError for an address, an option or a model that cannot be used."""
    read_options(argument)
