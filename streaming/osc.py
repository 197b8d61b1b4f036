"""OSC messages whose names stay while their numbers change: built once, then only filled in.

python-osc builds every bundle; afterwards the floats are written over those of the first one, at
the places where it put them. `tests/streaming/test_osc.py` compares both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pythonosc import osc_bundle_builder, osc_message_builder

LIMIT = 1400  # bytes of a bundle: VMC allows 1,500, and an Ethernet packet holds 1,472
_HEAD, _SIZE = 16, 4  # bytes of a bundle before its elements, and before each of them

Message = tuple[str, tuple[str | int | float, ...]]  # address, arguments


class Bundles:
    """A sequence of messages cut into bundles of at most `limit` bytes, in order.

    count: how many floats the messages hold.
    """

    def __init__(self, messages: Sequence[Message], limit: int = LIMIT) -> None:
        """Raises ValueError for a message that is longer than a bundle."""
        self._buffers: list[bytearray] = []
        self._places: list[np.ndarray] = []  # of each buffer's floats, in words of four bytes
        self.count = 0
        for bundle in _cut(list(messages), limit):
            buffer = bytearray(build(bundle))
            places = list(_float_places(bundle))
            self._buffers.append(buffer)
            self._places.append(np.array(places, np.intp))
            self.count += len(places)

    def filled(self, values: ArrayLike) -> list[bytes]:
        """The bundles with `values` [count], in the order of the messages' floats."""
        numbers = np.asarray(values, np.float32)
        if numbers.shape != (self.count,):
            raise ValueError(f"expected {self.count} numbers, got {numbers.shape}")
        filled, at = [], 0
        for buffer, places in zip(self._buffers, self._places, strict=True):
            np.frombuffer(buffer, ">f4")[places] = numbers[at : at + len(places)]
            at += len(places)
            filled.append(bytes(buffer))
        return filled


def build(messages: Sequence[Message]) -> bytes:
    """One bundle, by python-osc: the plain way."""
    builder = osc_bundle_builder.OscBundleBuilder(osc_bundle_builder.IMMEDIATELY)  # type: ignore[arg-type]
    for message in messages:
        builder.add_content(_built(message))
    return bytes(builder.build().dgram)


def _built(message: Message) -> Any:
    address, arguments = message
    builder = osc_message_builder.OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build()


def _cut(messages: list[Message], limit: int) -> Iterator[list[Message]]:
    bundle: list[Message] = []
    size = _HEAD
    for message in messages:
        length = _SIZE + len(_built(message).dgram)
        if _HEAD + length > limit:
            raise ValueError(f"{message[0]} is longer than {limit} bytes")
        if size + length > limit:
            yield bundle
            bundle, size = [], _HEAD
        bundle.append(message)
        size += length
    if bundle:
        yield bundle


def _float_places(bundle: Sequence[Message]) -> Iterator[int]:
    """Where the floats stand in a built bundle, counted in words of four bytes."""
    at = _HEAD
    for message in bundle:
        address, arguments = message
        end = at + _SIZE + len(_built(message).dgram)
        at += _SIZE + _padded(address) + _padded("," + "x" * len(arguments))
        for argument in arguments:
            if isinstance(argument, float):
                yield at // 4
            at += _padded(argument) if isinstance(argument, str) else 4
        assert at == end


def _padded(text: str) -> int:
    """Bytes of an OSC string: with its end, filled up to words."""
    return (len(text.encode()) // 4 + 1) * 4
