"""What aiortc fixes and a singer needs otherwise: bit rates, the wait for sound, UDP ports.

Each is one override of one private place of aiortc 1.16 and aioice, which are pinned; a test fails
when that place has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.codecs import h264, vpx
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

PATIENCE = 2  # later packets that may come before a missing one is given up
FAR = 100  # packets: a jump that is no disorder but a new beginning
ROUND = 1 << 16  # RTP sequence numbers


def set_bitrates(kbps: int, least: int, most: int) -> None:
    """Of every video encoder made from now on; aiortc knows them as constants of its modules."""
    for codec in (vpx, h264):
        rates = {"DEFAULT": kbps, "MIN": least, "MAX": most}
        for name, rate in rates.items():
            assert hasattr(codec, f"{name}_BITRATE")
            setattr(codec, f"{name}_BITRATE", 1000 * rate)


class InOrder:
    """Packets of sound in order, each as soon as it is there.

    aiortc's own buffer holds four packets back at all times (80 ms) and waits for a missing one
    until sixteen have come. Here a missing packet delays the others until PATIENCE later ones are
    there, and is then passed over. `lost`: packets passed over. `late`: came after that, or twice.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.late = 0
        self._next: int | None = None
        self._waiting: dict[int, RtpPacket] = {}

    def __call__(self, packet: RtpPacket) -> list[RtpPacket]:
        """The packets that are due now that this one came, oldest first."""
        number = packet.sequence_number
        if self._next is None:
            self._next = number
        ahead = _signed(number - self._next)
        if abs(ahead) >= FAR:
            self._waiting.clear()
            self._next, ahead = number, 0
        if ahead < 0 or number in self._waiting:
            self.late += 1
            return []
        self._waiting[number] = packet
        return self._due()

    def _due(self) -> list[RtpPacket]:
        due: list[RtpPacket] = []
        while self._waiting:
            assert self._next is not None
            packet = self._waiting.pop(self._next, None)
            if packet is None and len(self._waiting) <= PATIENCE:
                break
            self._next = (self._next + 1) % ROUND
            if packet is None:
                self.lost += 1
            else:
                due.append(packet)
        return due


def _signed(difference: int) -> int:
    """A difference of sequence numbers, the short way round."""
    return (difference + ROUND // 2) % ROUND - ROUND // 2


class PromptBuffer:
    """In the place of a receiver's jitter buffer: what is due goes to its decoder at once."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self.order = InOrder()
        self._receiver: Any = receiver

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """As aiortc's buffer: (ask for a whole picture?, the next frame); more go to the decoder
        directly, since aiortc takes only one."""
        due = self.order(packet)
        if not due:
            return False, None
        for early in due[:-1]:
            self._decode(early)
        return False, _frame(due[-1])

    def _decode(self, packet: RtpPacket) -> None:
        frame = _frame(packet)
        frame.timestamp = self._receiver._RTCRtpReceiver__timestamp_mapper.map(frame.timestamp)
        codec = self._receiver._RTCRtpReceiver__codecs[packet.payload_type]
        self._receiver._RTCRtpReceiver__decoder_queue.put((codec, frame))


def _frame(packet: RtpPacket) -> JitterFrame:
    return JitterFrame(packet._data, packet.timestamp)  # type: ignore[attr-defined]


def hear_promptly(receiver: RTCRtpReceiver) -> PromptBuffer:
    """Give a receiver of sound, before its first packet, a buffer that does not hold back."""
    buffer = PromptBuffer(receiver)
    assert hasattr(receiver, "_RTCRtpReceiver__jitter_buffer")
    receiver._RTCRtpReceiver__jitter_buffer = buffer
    return buffer


def keep_to_ports(loop: asyncio.AbstractEventLoop, first: int, last: int) -> None:
    """Let every UDP socket of `loop` that asks for any port have one of `first` … `last`.

    aioice binds to port 0; firewalls want to know. OSError when all are taken.
    """
    create: Callable[..., Any] = loop.create_datagram_endpoint
    count = last - first + 1
    turn = 0

    async def create_within(
        factory: Any, local_addr: tuple[str, int] | None = None, **rest: Any
    ) -> Any:
        nonlocal turn
        if local_addr is None or local_addr[1] != 0:
            return await create(factory, local_addr=local_addr, **rest)
        for step in range(count):
            port = first + (turn + step) % count
            try:
                made = await create(factory, local_addr=(local_addr[0], port), **rest)
            except OSError:
                continue
            turn = (port - first + 1) % count
            return made
        raise OSError(f"all UDP ports from {first} to {last} are taken")

    loop.create_datagram_endpoint = create_within  # type: ignore[method-assign,assignment]
