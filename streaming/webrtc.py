"""A browser as microphone and screen: WebRTC's tracks as a source and a sink, and the peer.

    browser ─▶ Opus ─▶ Incoming (a Source) ─▶ the live line ─▶ Outgoing (a Sink) ─▶ VP8 + Opus
                                            (or, for a page that draws itself, motion + Opus)

Both directions count in samples of the show: picture n and sample 1,600·n carry the same instant,
so the browser shows them together. asyncio lives only here and in the server; Incoming and Outgoing
are the bridges between the event loop and the show's threads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription

from engine.signals import F32, U8, Motion, Picture, Sound
from engine.timeline import FRAME, FRAME_RATE, SAMPLE_RATE, exact_div
from streaming.handover import Ring
from streaming.motionlane import LABEL, MotionLane, motion_message
from streaming.tuning import PromptBuffer, hear_promptly
from streaming.webconfig import WebConfig

log = logging.getLogger("cantar")

PATIENCE = 0.1  # s that `read` waits; ports.Source
CHUNK = 4800  # samples, the most that `read` gives; ports.Source
QUEUE_MS = 500.0  # sound between the network and the show; beyond it all of it is given up
CONCEAL = 5760  # samples (120 ms): a longer hole is no lost packet but a pause
UPLINK_MS = 10  # sound per packet that the browser is asked to send
PACKET = exact_div(SAMPLE_RATE, 50)  # samples (20 ms) per packet of returned sound
VIDEO_RATE = 90_000  # Hz, of RTP time stamps
VIDEO_TICK = exact_div(VIDEO_RATE, FRAME_RATE)
SHELF = 50  # packets of sound that may wait for a sender: 1 s
EARLIEST = 320  # samples before its end that a packet's last frame of sound has come, at worst
FOLLOW = 0.1  # share of a tick's lateness by which the sending of sound follows it
JUMP = 0.05  # s: a tick so far off is a new beginning
MOST_DELAY_MS = 500
HANG_UP_S = 5.0  # s that closing a connection may take
MOST_SECTIONS = 5  # of an offer: sound, pictures, data, and a little room


class BadOffer(ValueError):
    """An SDP offer that cannot be answered; says why."""


# ---- sound in -----------------------------------------------------------------------------------


class Incoming:
    """The browser's sound as a source. Network side: `begin`, `arrived`. Show's side: `read`.

    karaoke: the left channel is the voice and the right one the backing; nothing is separated.
    last: when sound last came, seconds on `now`. level: of the newest sound, its loudest sample.
    """

    realtime = True
    length: int | None = None
    channels = 2

    def __init__(self, *, karaoke: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self.karaoke = karaoke
        self.last = now()
        self.level = 0.0
        self.concealed = 0  # samples
        self._ring = Ring(QUEUE_MS)
        self._now = now
        self._end = 0
        self._offset: int | None = None
        self._tail: F32 = np.zeros((2, 0), np.float32)

    def begin(self) -> None:
        """A new track begins: its time stamps start anew, the show's timeline goes on."""
        self._offset = None

    def arrived(self, frame: av.AudioFrame) -> None:
        """A decoded stretch: s16, stereo, 48 kHz, with its place on the track in `pts`."""
        samples = frame.to_ndarray().reshape(-1, 2).T.astype(np.float32) * np.float32(2**-15)
        pts = frame.pts or 0
        if self._offset is None:
            self._offset = self._end - pts
        self._place(np.ascontiguousarray(samples), pts + self._offset)
        self.last = self._now()
        self.level = float(np.abs(samples).max(initial=0.0))

    def _place(self, samples: F32, start: int) -> None:
        """Put sound where it belongs; a short hole before it is filled."""
        hole = start - self._end
        if 0 < hole <= CONCEAL:
            self.concealed += hole
            samples, start = np.concatenate([self._echo(hole), samples], axis=1), self._end
        if hole < 0:
            samples, start = samples[:, -hole:], self._end
        if samples.shape[1]:
            self._end = start + samples.shape[1]
            self._tail = samples[:, -CONCEAL:]
            self._ring.push(self._sound(samples, start))

    def _echo(self, n: int) -> F32:
        """The last sound mirrored and fading, [2, n]: no click where it begins."""
        mirrored = (
            self._tail[:, ::-1][:, :n]
            * np.linspace(1, 0, n, dtype=np.float32)[: self._tail.shape[1]]
        )
        return np.pad(mirrored, ((0, 0), (0, n - mirrored.shape[1])))

    def _sound(self, samples: F32, start: int) -> Sound:
        if not self.karaoke:
            return Sound(samples, start)
        together = samples.sum(axis=0, keepdims=True)
        return Sound(np.repeat(together, 2, axis=0), start, samples)

    def read(self) -> Sound | None:
        """The next sound, empty when none came for 0.1 s, None when closed."""
        sound = self._ring.pull(PATIENCE, CHUNK)
        if sound is not None:
            return sound
        return None if self._ring.closed else Sound(np.zeros((2, 0), np.float32), self._end)

    def close(self) -> None:
        self._ring.close()


# ---- pictures and sound out ---------------------------------------------------------------------


class PictureTrack(MediaStreamTrack):
    """The newest picture for a sender that may be slow. `replaced` counts those never sent."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.replaced = 0
        self._frame: av.VideoFrame | None = None
        self._there = asyncio.Event()

    def offer(self, frame: av.VideoFrame) -> None:
        """Leave a picture. In the event loop only."""
        self.replaced += self._frame is not None
        self._frame = frame
        self._there.set()

    async def recv(self) -> av.VideoFrame:
        await self._there.wait()
        if self.readyState != "live" or self._frame is None:
            raise MediaStreamError
        frame, self._frame = self._frame, None
        self._there.clear()
        return frame

    def stop(self) -> None:
        super().stop()
        self._there.set()


class SoundTrack(MediaStreamTrack):
    """Packets of sound, each sent when it is due; beyond SHELF the oldest is lost, and counted."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        self._packets: deque[tuple[float, av.Packet]] = deque()
        self._there = asyncio.Event()

    def offer(self, packets: list[tuple[float, av.Packet]]) -> None:
        """Leave packets, each with the loop's time at which it is due. In the event loop only."""
        self._packets.extend(packets)
        while len(self._packets) > SHELF:
            self._packets.popleft()
            self.lost += 1
        if self._packets:
            self._there.set()

    async def recv(self) -> av.Packet:
        await self._there.wait()
        if self.readyState != "live" or not self._packets:
            raise MediaStreamError
        due, packet = self._packets.popleft()
        if not self._packets:
            self._there.clear()
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        return packet

    def stop(self) -> None:
        super().stop()
        self._there.set()


class SoundCoder:
    """[C, n] float32 of any length → Opus packets of 20 ms, stamped with their first sample.

    `end` is where the last packet's sound ends, on the timeline that begins with the first call.
    """

    def __init__(self, kbps: int) -> None:
        self._coder: Any = av.CodecContext.create("libopus", "w")
        self._coder.sample_rate, self._coder.layout, self._coder.format = (
            SAMPLE_RATE,
            "stereo",
            "flt",
        )
        self._coder.bit_rate = 1000 * kbps
        self._coder.options = {"application": "audio", "frame_duration": "20"}
        self._rest: F32 = np.zeros((2, 0), np.float32)
        self._at = 0

    def __call__(self, samples: F32) -> list[tuple[int, av.Packet]]:
        """Every packet completed, with the sample index after its end."""
        stereo = np.broadcast_to(samples, (2, samples.shape[1]))
        self._rest = np.concatenate([self._rest, stereo], axis=1)
        made = []
        while self._rest.shape[1] >= PACKET:
            block, self._rest = self._rest[:, :PACKET], self._rest[:, PACKET:]
            made += self._packets(block)
        return made

    def _packets(self, block: F32) -> list[tuple[int, av.Packet]]:
        interleaved = np.ascontiguousarray(np.clip(block, -1, 1).T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._at
        made = []
        for packet in self._coder.encode(frame):
            packet.pts, packet.time_base = self._at, Fraction(1, SAMPLE_RATE)
            self._at += PACKET
            made.append((self._at, packet))
        return made


Screen = PictureTrack | MotionLane  # where a page's frames go
Shown = Picture | Motion


def yuv_of(rgba: U8, *, matte: bool) -> U8:
    """[H, W, 4] → I420 [H·3/2, W]; with `matte` premultiplied colour left, alpha right: twice W."""
    if matte:
        alpha = np.repeat(rgba[..., 3:], 3, axis=2)
        colour = cv2.multiply(rgba[..., :3], alpha, scale=1 / 255)
        return np.asarray(cv2.cvtColor(np.hstack([colour, alpha]), cv2.COLOR_RGB2YUV_I420))
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2YUV_I420))


class Offset:
    """Sound later than its picture by so many milliseconds, or earlier: then the pictures wait.

    The user's A/V slider. A change is heard once as a short pause or a short cut. Where no pictures
    are drawn, the motions take their place.
    """

    def __init__(self) -> None:
        self._wanted = 0
        self._shift = 0  # samples by which the sound is late now
        self._pictures: deque[Shown] = deque()
        self._sound: F32 = np.zeros((2, 0), np.float32)

    def ask(self, ms: float) -> None:
        """From any thread; clipped to ±500 ms."""
        self._wanted = round(max(-MOST_DELAY_MS, min(MOST_DELAY_MS, ms)) * SAMPLE_RATE / 1000)

    def __call__(self, picture: Shown, samples: F32) -> tuple[Shown, F32]:
        """The picture to show and the samples to hear now; as many samples as came in."""
        wait = max(0, -(self._wanted // FRAME))  # pictures held back, so that sound may be early
        late = self._wanted + wait * FRAME
        self._pictures.append(picture)
        while len(self._pictures) > wait + 1:
            self._pictures.popleft()
        n = samples.shape[1]
        joined = np.concatenate([self._sound, np.broadcast_to(samples, (2, n))], axis=1)
        if late > self._shift:
            joined = np.pad(joined, ((0, 0), (late - self._shift, 0)))
        elif late < self._shift:
            joined = joined[:, self._shift - late :]
        self._shift = late
        self._sound = joined[:, n:]
        return self._pictures[0], joined[:, :n]


class Outgoing:
    """Frames and sound for a browser, as a sink of the live line.

    `attach` gives the tracks of the peer that is there now; a new peer gets new ones and the show
    goes on. pictures: frames go as pictures, else as motion. convert_s: seconds spent on
    converting and on sound, smoothed.
    """

    wants_sound = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sound_kbps: int,
        *,
        matte: bool = False,
        pictures: bool = True,
    ) -> None:
        self.wants_picture = pictures
        self.offset = Offset()
        self.convert_s = 0.0
        self._loop, self._matte = loop, matte
        self._coder = SoundCoder(sound_kbps)
        self._tracks: tuple[Screen, SoundTrack] | None = None
        self._due: float | None = None  # when the last packet of sound is to be sent

    def attach(self) -> tuple[Screen, SoundTrack]:
        """Fresh tracks, which get everything from now on."""
        self._tracks = PictureTrack() if self.wants_picture else MotionLane(), SoundTrack()
        return self._tracks

    def write(self, motion: Motion, picture: Picture | None, sound: Sound | None) -> None:
        """Hand a frame to the event loop. The ticker's thread only."""
        began = self._loop.time()
        samples = np.zeros((2, FRAME), np.float32) if sound is None else sound.samples
        shown, heard = self.offset(motion if picture is None else picture, samples)
        if isinstance(shown, Motion):
            frame: Any = motion_message(shown)
        else:
            frame = self._video(shown, motion.frame)
        packets = self._timed(self._coder(heard), began)
        self.convert_s += 0.1 * (self._loop.time() - began - self.convert_s)
        try:
            self._loop.call_soon_threadsafe(self._hand_on, frame, packets)
        except RuntimeError:  # the loop is closed: nobody is there to see it
            return

    def _video(self, picture: Picture, frame: int) -> av.VideoFrame:
        """A picture as it is coded, due with frame `frame`."""
        video = av.VideoFrame.from_ndarray(yuv_of(picture.rgba, matte=self._matte), "yuv420p")
        video.pts, video.time_base = frame * VIDEO_TICK, Fraction(1, VIDEO_RATE)
        return video

    def _hand_on(self, frame: Any, packets: list[tuple[float, av.Packet]]) -> None:
        if self._tracks is not None:
            screen, sound = self._tracks
            screen.offer(frame)
            sound.offer(packets)

    def _timed(
        self, packets: list[tuple[int, av.Packet]], t: float
    ) -> list[tuple[float, av.Packet]]:
        """When each packet leaves: evenly every 20 ms, though frames come every 33 ms."""
        timed = []
        for end, packet in packets:
            ideal = t + (((end - 1) % FRAME + 1) - EARLIEST) / SAMPLE_RATE
            if self._due is None or abs(ideal - self._due - PACKET / SAMPLE_RATE) > JUMP:
                self._due = ideal
            else:
                steady = self._due + PACKET / SAMPLE_RATE
                self._due = steady + FOLLOW * (ideal - steady)
            timed.append((self._due, packet))
        return timed

    def close(self) -> None:
        """Nothing to finish: the peer closes its tracks."""


# ---- the peer -----------------------------------------------------------------------------------


class Peer:
    """One browser's connection to a show.

    state: as RTCPeerConnection.connectionState. `on_change` is called when it changes, `on_message`
    with what the page sends over its data channel (a dict). The page's sound goes to `incoming`,
    if there is one.
    """

    def __init__(
        self,
        config: WebConfig,
        incoming: Incoming | None,
        outgoing: Outgoing,
        *,
        on_change: Callable[[Peer], None],
        on_message: Callable[[dict[str, Any]], None],
    ) -> None:
        servers = [RTCIceServer(**server) for server in config.ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._incoming, self._on_change, self._on_message = incoming, on_change, on_message
        self._channel: RTCDataChannel | None = None
        self._pump: asyncio.Task[None] | None = None
        self.buffer: PromptBuffer | None = None
        self.screen, self.sound = outgoing.attach()
        self._pc.addTransceiver(self.sound, direction="sendrecv")
        if isinstance(self.screen, PictureTrack):
            video = self._pc.addTransceiver(self.screen, direction="sendonly")
            known = RTCRtpSender.getCapabilities("video").codecs
            wanted = f"video/{config.codec}"
            video.setCodecPreferences(sorted(known, key=lambda c: c.mimeType.lower() != wanted))
        self._pc.on("track", self._on_track)
        self._pc.on("datachannel", self._on_channel)
        self._pc.on("connectionstatechange", self._on_state)

    @property
    def state(self) -> str:
        return str(self._pc.connectionState)

    async def answer(self, sdp: str) -> str:
        """The answer to a browser's offer. Raises BadOffer."""
        check_offer(sdp, pictures=isinstance(self.screen, PictureTrack))
        try:
            offer = RTCSessionDescription(sdp=without_mdns(sdp), type="offer")
            await self._pc.setRemoteDescription(offer)
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except Exception as error:  # aiortc answers bad SDP with whatever its parser trips over
            await self._hang_up()
            raise BadOffer(f"the offer cannot be used: {type(error).__name__}: {error}") from error
        answer = self._pc.localDescription.sdp
        if "a=candidate" not in answer:
            await self._hang_up()
            raise ConnectionError("no UDP port is free on this server")
        return with_sound_wishes(answer)

    def send(self, message: dict[str, Any]) -> None:
        """Tell the page something; dropped while its channel is closed or behind."""
        channel = self._channel
        if channel is not None and channel.readyState == "open" and channel.bufferedAmount < 65536:
            channel.send(json.dumps(message))

    async def vitals(self) -> tuple[int, float | None]:
        """Bytes that came from the browser so far, and seconds to it and back, None when not known
        yet."""
        received, round_trip = 0, None
        for stats in (await self._pc.getStats()).values():
            received = max(received, getattr(stats, "bytesReceived", 0) or 0)
            if getattr(stats, "roundTripTime", None) is not None:
                round_trip = float(stats.roundTripTime)
        return received, round_trip

    async def close(self) -> None:
        """Hang up. Safe to call twice."""
        if self._pump is not None:
            self._pump.cancel()
        self.screen.stop()
        self.sound.stop()
        await self._hang_up()

    async def _hang_up(self) -> None:
        """Close the connection, whatever state a bad offer has left it in."""
        try:
            async with asyncio.timeout(HANG_UP_S):
                await self._pc.close()
        except Exception as error:  # aiortc trips over its own half-made parts
            log.debug("a connection did not close: %s: %s", type(error).__name__, error)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind != "audio" or self._incoming is None or self._pump is not None:
            return
        receiver = next(r for r in self._pc.getReceivers() if r.track is track)
        self.buffer = hear_promptly(receiver)
        self._incoming.begin()
        self._pump = asyncio.ensure_future(self._listen(track, self._incoming))

    async def _listen(self, track: MediaStreamTrack, incoming: Incoming) -> None:
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.AudioFrame):
                    incoming.arrived(frame)
        except MediaStreamError:
            return

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == LABEL and isinstance(self.screen, MotionLane):
            self.screen.open(channel)
            return
        self._channel = channel
        channel.on("message", self._on_text)

    def _on_text(self, text: str | bytes) -> None:
        try:
            message = json.loads(text) if len(text) <= 4096 else None
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict):
            self._on_message(message)

    def _on_state(self) -> None:
        self._on_change(self)


def check_offer(sdp: str, *, pictures: bool = True) -> None:
    """Raise BadOffer for an offer without sound or pictures, or with more than a page sends.

    pictures: whether it has to ask for them, or must not.
    """
    kinds = [line[2:].split(" ")[0] for line in sdp.splitlines() if line.startswith("m=")]
    if kinds.count("video") != int(pictures) or kinds.count("audio") != 1:
        many = "one" if pictures else "none"
        raise BadOffer(f"the offer must have one section for sound and {many} for pictures")
    if len(kinds) > MOST_SECTIONS:
        raise BadOffer(f"the offer has {len(kinds)} sections, more than {MOST_SECTIONS}")
    try:
        sections = SessionDescription.parse(sdp).media
    except Exception as error:  # the parser trips over bad SDP in its own ways
        raise BadOffer(f"the offer is no SDP: {type(error).__name__}: {error}") from None
    if not any(codec.name.lower() == "opus" for s in sections for codec in s.rtp.codecs):
        raise BadOffer("the offer must have its sound as Opus")
    names = {section.rtp.muxId for section in sections}
    if len(names) < len(sections) or "" in names:
        raise BadOffer("every section of the offer must have a mid of its own")


def without_mdns(sdp: str) -> str:
    """An offer without `.local` candidates: looking them up takes seconds and brings nothing, for
    the browser reaches us first. What is left is not the end of its candidates, then: an offer
    with none at all would be given up at once."""
    lines = sdp.splitlines()
    kept = [line for line in lines if not _is_mdns(line)]
    if len(kept) < len(lines):
        kept = [line for line in kept if line != "a=end-of-candidates"]
    return "\r\n".join([*kept, ""])


def _is_mdns(line: str) -> bool:
    return line.startswith("a=candidate:") and ".local " in line


def with_sound_wishes(sdp: str) -> str:
    """An answer that asks the browser for stereo, music's bit rate and short packets."""
    lines, opus = [], ""
    for line in sdp.splitlines():
        if line.startswith(f"a=fmtp:{opus} ") and opus:
            continue
        lines.append(line)
        if line.startswith("a=rtpmap:") and "opus/48000" in line:
            opus = line[len("a=rtpmap:") :].split(" ")[0]
            wishes = "stereo=1;sprop-stereo=1;maxaveragebitrate=256000;usedtx=0;useinbandfec=0"
            lines += [f"a=fmtp:{opus} minptime={UPLINK_MS};{wishes}", f"a=ptime:{UPLINK_MS}"]
    return "\r\n".join([*lines, ""])
