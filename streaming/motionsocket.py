"""Sound in, motion out over a WebSocket, for three.js, Unity or Unreal clients.

    client ─▶ {"rate": 48000, "channels": 1, "format": "s16"}   once, as text; s16 or f32
    client ─▶ PCM, interleaved, little-endian                   binary, any length ≤ 1 MB
    client ─▶ "end"                                             text: no more sound will come
    server ─▶ the lines of a motion file (`motionfile.py`): a header, then one frame per message

As fast as the client sends, never faster than it reads: the next sound is not taken before the
motion of the last one is on its way, so a slow reader slows its own writing down (TCP) and nothing
piles up here. While shows run, sound is not heard faster than FASTEST, so that they keep their
pictures.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from aiohttp import WSMsgType, web

from engine.avatar import Avatar, Unseen
from engine.signals import F32, Motion, Sound
from engine.timeline import FRAME_RATE, SAMPLE_RATE, frames_in, samples_needed
from streaming.line import ShowConfig
from streaming.motionfile import frame_line, header_line
from streaming.schemes import SinkFormat

MOST = 1 << 20  # bytes of one message
AT_ONCE = 2  # connections
SILENCE_S = 30.0  # s that a client may send nothing
STEP = 48_000  # samples heard at once, so that others get their turn
FASTEST = 2.0  # times real time that a client is heard at while shows run
TYPES = {"s16": ("<i2", 2**-15), "f32": ("<f4", 1.0)}
AWAY, BAD_DATA, OUR_FAULT, TRY_LATER = 1001, 1007, 1011, 1013  # WebSocket close codes

log = logging.getLogger("cantar")


@dataclass(frozen=True)
class Format:
    """What a client sends. rate in Hz; channels 1 or 2; format of its samples."""

    rate: int = SAMPLE_RATE
    channels: int = 1
    format: str = "s16"

    def __post_init__(self) -> None:
        if type(self.rate) is not int or not 8000 <= self.rate <= 192_000:
            raise ValueError("rate: expected 8000 to 192000 Hz")
        if self.channels not in (1, 2) or type(self.channels) is not int:
            raise ValueError("channels: expected 1 or 2")
        if self.format not in TYPES:
            raise ValueError(f"format: expected {' or '.join(TYPES)}")

    @classmethod
    def read(cls, text: str) -> Format:
        """From a client's first message. Raises ValueError."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("the first message must be JSON: rate, channels, format") from None
        if not isinstance(value, dict) or not set(value) <= set(cls.__dataclass_fields__):
            raise ValueError("the first message may have rate, channels and format")
        return cls(**value)

    def samples(self, data: bytes) -> F32:
        """PCM as [C, n] float32. Raises ValueError for half a sample, NaN or infinity."""
        kind, scale = TYPES[self.format]
        if len(data) % (np.dtype(kind).itemsize * self.channels):
            raise ValueError("a message must hold whole samples of all channels")
        samples = np.frombuffer(data, kind).reshape(-1, self.channels).T.astype(np.float32)
        if not np.isfinite(samples).all():
            raise ValueError("a sample is NaN or infinite")
        return samples * np.float32(scale)


class Listener:
    """One client's sound, heard. Blocking; one thread at a time."""

    def __init__(self, avatar: Avatar, fmt: Format) -> None:
        self._avatar, self._format = avatar, fmt
        self._state = avatar.initial_state()
        self._at = 0
        self._resample = (
            None
            if fmt.rate == SAMPLE_RATE
            else soxr.ResampleStream(fmt.rate, SAMPLE_RATE, fmt.channels, "float32", "HQ")
        )

    def hear(self, data: bytes) -> list[Motion]:
        """The motions that this sound completes. Raises ValueError as Format.samples."""
        samples = self._format.samples(data)
        if self._resample is not None and samples.shape[1]:
            samples = self._resample.resample_chunk(np.ascontiguousarray(samples.T)).T
        return self._heard(samples)

    def end(self) -> list[Motion]:
        """The motions of the last frames, their lookahead filled up with silence."""
        channels = self._format.channels
        motions = []
        if self._resample is not None:
            rest = self._resample.resample_chunk(np.zeros((0, channels), np.float32), last=True).T
            motions = self._heard(rest)
        frames = frames_in(self._at)
        missing = samples_needed(frames - 1, self._avatar.config.lookahead) - self._at
        if frames and missing > 0:
            motions += self._heard(np.zeros((channels, missing), np.float32))
        return [motion for motion in motions if motion.frame < frames]

    def _heard(self, samples: F32) -> list[Motion]:
        motions: list[Motion] = []
        for start in range(0, samples.shape[1], STEP):
            part = np.ascontiguousarray(samples[:, start : start + STEP], np.float32)
            made, self._state = self._avatar.hear(Sound(part, self._at), self._state)
            motions += made
            self._at += part.shape[1]
        return motions


class Motions:
    """The WebSocket's server side: AT_ONCE clients, each with a thread's time of its own."""

    def __init__(
        self,
        config: ShowConfig,
        load: Callable[[ShowConfig], Avatar] = lambda config: Avatar(config, Unseen()),
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """busy: whether shows run."""
        self._config, self._load, self._busy = config, load, busy
        self._threads = ThreadPoolExecutor(AT_ONCE, "cantar motion")
        self._serving: set[asyncio.Task[None]] = set()
        self.refused = 0  # connections for which there was no place, or that sent nonsense

    @property
    def clients(self) -> int:
        return len(self._serving)

    def close(self) -> None:
        """Hang up on everybody. In the event loop only."""
        for task in self._serving:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client to its end."""
        socket = web.WebSocketResponse(max_msg_size=MOST, heartbeat=SILENCE_S, compress=False)
        await socket.prepare(request)
        if self.clients >= AT_ONCE:
            self.refused += 1
            await socket.close(code=TRY_LATER, message=b"all places are taken")
            return socket
        task = asyncio.ensure_future(self._bounded(socket))
        self._serving.add(task)
        try:
            await task
        finally:
            self._serving.discard(task)
        return socket

    async def _bounded(self, socket: web.WebSocketResponse) -> None:
        """Serve while the client says something; then hang up, and tell why."""
        try:
            async with asyncio.timeout(SILENCE_S) as patience:
                await self._serve(socket, patience)
        except ValueError as error:
            self.refused += 1
            await socket.close(code=BAD_DATA, message=str(error).encode()[:120])
        except (TimeoutError, ConnectionError):
            await socket.close(code=AWAY)
        except Exception:  # a bug, or weights that do not load: HTTP has no say here any more
            log.exception("a motion client was left")
            await socket.close(code=OUR_FAULT, message=b"something went wrong here")

    async def _serve(self, socket: web.WebSocketResponse, patience: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        first = await socket.receive()
        if first.type != WSMsgType.TEXT:
            raise ValueError("the first message must be text: rate, channels, format")
        fmt = Format.read(first.data)
        avatar = await loop.run_in_executor(self._threads, self._load, self._config)
        listener = Listener(avatar, fmt)
        await socket.send_str(self._header())
        async for message in socket:
            patience.reschedule(loop.time() + SILENCE_S)
            if message.type == WSMsgType.BINARY:
                work: Any = (listener.hear, message.data)
            elif message.data == "end":
                work = (listener.end,)
            else:
                raise ValueError('expected binary sound, or the text "end"')
            began = loop.time()
            motions = await loop.run_in_executor(self._threads, *work)
            for motion in motions:
                await socket.send_str(frame_line(motion).rstrip("\n"))
                patience.reschedule(loop.time() + SILENCE_S)
            if self._busy():
                due = began + len(motions) / (FASTEST * FRAME_RATE)
                patience.reschedule(max(due, loop.time()) + SILENCE_S)
                await asyncio.sleep(max(0.0, due - loop.time()))
            if message.type == WSMsgType.TEXT:
                await socket.close()

    def _header(self) -> str:
        renderer = self._config.renderer
        return header_line(
            SinkFormat(
                renderer.width,
                renderer.height,
                fps=FRAME_RATE,
                lookahead=self._config.lookahead,
                source="websocket",
            )
        ).rstrip("\n")
