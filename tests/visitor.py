"""A second aiortc peer in the browser's place: it can sing, and counts what it sees and hears."""

from __future__ import annotations

import asyncio
import json
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiohttp import ClientSession
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from engine.signals import F32
from engine.timeline import SAMPLE_RATE

STEP = 480  # samples a packet


class Singing(MediaStreamTrack):
    """[2, n] float32 sent at the pace of the loop's clock; silence follows."""

    kind = "audio"

    def __init__(self, song: F32) -> None:
        super().__init__()
        self._song, self._at, self._began = song, 0, 0.0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0.0, self._began + self._at / SAMPLE_RATE - loop.time()))
        block = np.zeros((2, STEP), np.float32)
        part = self._song[:, self._at : self._at + STEP]
        block[:, : part.shape[1]] = part
        pcm = np.round(block * 32767).astype(np.int16).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._at
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._at += STEP
        return frame


class Visitor:
    """Asks for a show and takes what comes. pictures, sounds: (time stamp s, loop time, value)."""

    def __init__(
        self,
        web: ClientSession,
        song: F32 | None = None,
        ssl: Any = True,
        turn: RTCIceServer | None = None,
        policy: RTCIceTransportPolicy = RTCIceTransportPolicy.ALL,
        draws: bool = False,
    ) -> None:
        """draws: it would draw for itself, and asks for motion in place of pictures."""
        self.web, self._ssl, self._draws = web, ssl, draws
        self.session = ""
        self.keep = True  # the pictures themselves; else only when they came
        self.pictures: list[tuple[float, float, Any]] = []
        self.sounds: list[tuple[float, float, F32]] = []
        self.messages: list[dict[str, Any]] = []
        self.motions: list[dict[str, Any]] = []
        self.over = asyncio.Event()  # the show, as the server says
        self.told = asyncio.Event()  # anything
        self.hung_up = asyncio.Event()
        self._came = asyncio.Event()
        self._song = song
        self._tasks: list[asyncio.Task[None]] = []
        servers = [] if turn is None else [turn]
        self.pc = RTCPeerConnection(RTCConfiguration(servers, iceTransportPolicy=policy))

    async def offer(self) -> str:
        """What a page would post: SDP."""
        pc = self.pc
        if self._song is None:
            pc.addTransceiver("audio", direction="recvonly")
        else:
            pc.addTrack(Singing(self._song))
        if self._draws:
            self.lane = pc.createDataChannel("motion", ordered=False, maxRetransmits=0)
            self.lane.on("message", self._moved)
        else:
            pc.addTransceiver("video", direction="recvonly")
        self.channel = pc.createDataChannel("show")
        self.channel.on("message", self._told)
        pc.on("track", lambda track: self._tasks.append(asyncio.ensure_future(self._take(track))))
        pc.on("connectionstatechange", self._changed)
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)

    async def ask(self, **wish: Any) -> tuple[int, dict[str, Any]]:
        """Offer, and connect if the answer is one; the HTTP status and the answer."""
        if self._draws:
            wish = {"motion": True, **wish}
        body = {"type": "offer", "sdp": await self.offer(), **wish}
        async with self.web.post("/offer", json=body, ssl=self._ssl) as response:
            answer = await response.json()
            status = response.status
        if status == 201:
            self.session = answer["session"]
            await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        return status, answer

    async def _take(self, track: MediaStreamTrack) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                frame = await track.recv()
                t = float(frame.pts * frame.time_base)
                if isinstance(frame, av.VideoFrame):
                    self.pictures.append((t, loop.time(), frame if self.keep else None))
                    self._came.set()
                else:
                    samples = frame.to_ndarray().reshape(-1, 2).T / np.float32(32768)
                    self.sounds.append((t, loop.time(), samples))
        except MediaStreamError:
            return

    def _changed(self) -> None:
        if self.pc.connectionState in ("closed", "failed"):
            self.hung_up.set()

    def _told(self, text: str) -> None:
        message = json.loads(text)
        self.messages.append(message)
        self.told.set()
        if message["type"] == "over":
            self.over.set()

    def _moved(self, text: str) -> None:
        self.motions.append(json.loads(text))
        self._came.set()

    async def moved(self, motions: int, seconds: float = 20.0) -> None:
        """Wait until so many motions have come."""
        async with asyncio.timeout(seconds):
            while len(self.motions) < motions:
                self._came.clear()
                await self._came.wait()

    async def seen(self, pictures: int, seconds: float = 20.0) -> None:
        """Wait until so many pictures have come."""
        async with asyncio.timeout(seconds):
            while len(self.pictures) < pictures:
                self._came.clear()
                await self._came.wait()

    def ways(self) -> set[str]:
        """The kinds of address from which this peer sends: host, srflx, relay."""
        transports = {t.sender.transport.transport for t in self.pc.getTransceivers()}
        pairs = [p for t in transports for p in t._connection._nominated.values()]
        return {pair.local_candidate.type for pair in pairs}

    async def leave(self) -> None:
        """Hang up, as a page that is closed."""
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
