"""The bridges between a browser and a show: sound in, pictures and sound out, on one timeline."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.signals import Motion, Picture, Sound
from engine.timeline import FRAME, SAMPLE_RATE
from streaming.webrtc import (
    CONCEAL,
    EARLIEST,
    PACKET,
    SHELF,
    BadOffer,
    Incoming,
    Offset,
    Outgoing,
    PictureTrack,
    SoundCoder,
    SoundTrack,
    check_offer,
    with_sound_wishes,
    without_mdns,
    yuv_of,
)
from tests.fakes import Clock, noise


def heard(start, samples):
    """[2, n] float32 as aiortc gives it: s16, interleaved, with its place in `pts`."""
    pcm = np.round(samples * 32767).astype(np.int16).T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
    return frame


def everything(incoming):
    """All that waits to be read, [(start, samples)]."""
    incoming.close()
    return list(iter(incoming.read, None))


# ---- sound in -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_what_arrives_is_one_stretch_wherever_packets_are_missing(data):
    """Any short holes: the sample index neither jumps nor rewinds, and what came is untouched."""
    incoming, song = Incoming(now=Clock().now), noise(0.4, channels=2)
    kept = [n for n in range(0, song.shape[1], 480) if n == 0 or data.draw(st.integers(0, 4))]
    for start in kept:
        incoming.arrived(heard(7_000 + start, song[:, start : start + 480]))
    sounds = everything(incoming)
    assert sounds[0].start == 0
    for one, other in pairwise(sounds):
        assert other.start == one.end
    whole = np.concatenate([sound.samples for sound in sounds], axis=1)
    for start in kept:
        wanted = song[:, start : start + 480]
        assert np.allclose(whole[:, start : start + 480], wanted, atol=1e-4)
    assert np.abs(whole).max() <= 1.0


def test_a_pause_is_a_gap_and_a_new_track_goes_on_where_the_old_one_ended():
    incoming, song = Incoming(now=Clock().now), noise(0.05, channels=2)
    incoming.arrived(heard(0, song))
    incoming.arrived(heard(song.shape[1] + CONCEAL + 1, song))
    incoming.begin()
    incoming.arrived(heard(123_456, song))
    starts = [sound.start for sound in everything(incoming)]
    assert starts == [0, 2400 + CONCEAL + 1]  # the new track joins the old one's end
    assert incoming.concealed == 0


def test_what_came_twice_is_taken_once():
    incoming, song = Incoming(now=Clock().now), noise(0.02, channels=2)
    for _ in range(3):
        incoming.arrived(heard(0, song))
    assert sum(sound.samples.shape[1] for sound in everything(incoming)) == song.shape[1]


def test_karaoke_keeps_voice_and_backing_apart_and_lets_both_be_heard():
    incoming, song = Incoming(karaoke=True, now=Clock().now), 0.4 * noise(0.02, channels=2)
    incoming.arrived(heard(0, song))
    (sound,) = everything(incoming)
    assert np.allclose(sound.stems, song, atol=1e-4)
    assert np.allclose(sound.samples, song.sum(axis=0), atol=1e-4)


def test_reading_waits_for_sound_and_says_when_none_came():
    incoming = Incoming(now=Clock().now)
    assert incoming.read().samples.shape == (2, 0)
    incoming.close()
    assert incoming.read() is None


# ---- sound out ----------------------------------------------------------------------------------


def decoded(packets):
    """Opus packets as [2, n], without the coder's own delay (312 samples)."""
    coder = av.CodecContext.create("libopus", "r")
    coder.sample_rate, coder.layout = SAMPLE_RATE, "stereo"
    frames = [frame for _, packet in packets for frame in coder.decode(packet)]
    parts = [f.to_ndarray().reshape(-1, 2).T if not f.format.is_planar else f.to_ndarray()
             for f in frames]  # fmt: skip
    samples = np.concatenate(parts, axis=1)
    return samples / 32768 if samples.dtype.kind == "i" else samples


@settings(deadline=None, max_examples=10)
@given(sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=12))
def test_any_chunking_gives_the_same_packets(sizes):
    song = 0.3 * noise(sum(sizes) / SAMPLE_RATE, channels=2)
    whole = SoundCoder(160)(song)
    coder, parts, at = SoundCoder(160), [], 0
    for size in sizes:
        parts += coder(song[:, at : at + size])
        at += size
    assert [end for end, _ in parts] == [PACKET * (n + 1) for n in range(len(parts))]
    assert [bytes(packet) for _, packet in parts] == [bytes(packet) for _, packet in whole]


def test_sound_survives_the_coder_in_stereo_where_it_belongs():
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    song = np.stack([0.4 * np.sin(2 * np.pi * 440 * t), 0.2 * np.sin(2 * np.pi * 700 * t)])
    packets = SoundCoder(160)(song.astype(np.float32))
    assert [packet.pts for _, packet in packets] == [PACKET * n for n in range(50)]
    back = decoded(packets)
    late = 312  # samples: the coder's look-ahead
    n = back.shape[1] - late - 4800
    for channel in range(2):
        wanted, got = song[channel, 2400 : 2400 + n], back[channel, 2400 + late : 2400 + late + n]
        m = min(len(wanted), len(got))
        assert np.corrcoef(wanted[:m], got[:m])[0, 1] > 0.98


def pictures(count):
    return [Picture(n, np.full((4, 4, 4), n, np.uint8)) for n in range(count)]


@pytest.mark.parametrize("ms", [-200, -40, -33, 0, 25, 140])
def test_the_offset_moves_sound_against_picture_and_loses_nothing(ms):
    offset, song = Offset(), noise(2.0, channels=2)
    offset.ask(ms)
    shown, samples = [], []
    for picture in pictures(60):
        seen, part = offset(picture, song[:, picture.frame * FRAME : (picture.frame + 1) * FRAME])
        assert part.shape == (2, FRAME)
        shown.append(seen.frame)
        samples.append(part)
    waited = 59 - shown[-1]
    late = round(ms * SAMPLE_RATE / 1000) + waited * FRAME
    assert 0 <= late < FRAME or ms > 0
    out = np.concatenate(samples, axis=1)
    assert np.array_equal(out[:, late:], song[:, : out.shape[1] - late])
    assert waited == max(0, int(np.ceil(-ms * 30 / 1000)))


def test_the_offset_comes_back():
    offset, song = Offset(), noise(1.0, channels=2)
    parts = []
    for picture in pictures(30):
        offset.ask(120 if 5 <= picture.frame < 15 else 0)
        parts.append(offset(picture, song[:, picture.frame * FRAME : (picture.frame + 1) * FRAME]))
    assert [shown.frame for shown, _ in parts] == list(range(30))
    assert np.array_equal(parts[29][1], song[:, 29 * FRAME :])


# ---- pictures out -------------------------------------------------------------------------------


def test_a_matte_stands_beside_its_premultiplied_colour():
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = (200, 40, 90, 255)
    rgba[:, :8] = (250, 250, 250, 0)  # transparent white must not shine through
    yuv = yuv_of(rgba, matte=True)
    assert yuv.shape == (96, 128)
    frame = av.VideoFrame.from_ndarray(yuv, "yuv420p").to_ndarray(format="rgb24")
    assert np.abs(frame[24:40, 24:40].astype(int) - (200, 40, 90)).max() < 12
    assert frame[:, 2:6].max() < 12
    assert frame[24:40, 88:104].min() > 245
    assert frame[:, 66:76].max() < 12


def test_pictures_and_sound_leave_with_one_clock():
    """Frame n and sample 1,600·n carry the same instant; sound leaves evenly, never before it is
    there, and at most 33 ms after."""

    async def scenario():
        loop = asyncio.get_running_loop()
        outgoing = Outgoing(loop, 160)
        track, sound = outgoing.attach()
        offered = []
        sound.offer = offered.extend
        clock = Clock(50.0)
        loop_time, loop.time = loop.time, clock.now
        song, stamps = 0.3 * noise(2.0, channels=2), []
        try:
            for n, picture in enumerate(pictures(60)):
                clock.t = 50 + n / 30
                motion = Motion(n, np.zeros(52, np.float32), np.zeros(6, np.float32))
                part = Sound(song[:, n * FRAME : (n + 1) * FRAME], n * FRAME)
                outgoing.write(motion, Picture(n, np.zeros((64, 64, 4), np.uint8)), part)
                await asyncio.sleep(0)
                frame = await track.recv()
                stamps.append(frame.pts / 90_000)
                assert picture.frame == n
        finally:
            loop.time = loop_time
        assert stamps == pytest.approx([n / 30 for n in range(60)])
        for due, packet in offered:
            there = 50 + ((packet.pts + PACKET - 1) // FRAME) / 30  # when its last frame came
            assert -1e-9 <= due - there <= 1 / 30
            assert due - (50 + (packet.pts + PACKET - EARLIEST) / SAMPLE_RATE) < 0.002
        steps = np.diff([due for due, _ in offered])
        assert np.abs(steps - 0.02).max() < 0.002

    asyncio.run(scenario())


def test_a_slow_sender_gets_the_newest_picture_and_the_latest_second_of_sound():
    async def scenario():
        track, sound = PictureTrack(), SoundTrack()
        for n in range(5):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts = n
            track.offer(frame)
        assert (await track.recv()).pts == 4
        assert track.replaced == 4
        packets = SoundCoder(64)(np.zeros((2, PACKET * (SHELF + 3)), np.float32))
        sound.offer([(0.0, packet) for _, packet in packets])
        assert sound.lost == 3
        assert (await sound.recv()).pts == 3 * PACKET
        waiting = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        track.stop()
        with pytest.raises(MediaStreamError):
            await waiting

    asyncio.run(scenario())


# ---- offers -------------------------------------------------------------------------------------

AUDIO, VIDEO = "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 UDP/TLS/RTP/SAVPF 96"


@pytest.mark.parametrize(
    ("sdp", "message"),
    [
        ("", "one section for sound and one for pictures"),
        (AUDIO, "one section for sound and one for pictures"),
        (f"{AUDIO}\n{VIDEO}\n{VIDEO}", "one section for sound and one for pictures"),
        ("\n".join([AUDIO, VIDEO] + ["m=application 9 x y"] * 9), "11 sections, more than 5"),
        (f"{AUDIO}\na=rtpmap:111 PCMU/8000\n{VIDEO}", "its sound as Opus"),
    ],
)
def test_an_offer_that_no_page_sends_is_refused(sdp, message):
    with pytest.raises(BadOffer, match=message):
        check_offer(sdp)


def test_local_names_leave_the_offer_and_stereo_enters_the_answer():
    offer = f"v=0\r\n{AUDIO}\r\na=candidate:1 1 udp 1 4f.local 5 typ host\r\na=mid:0\r\n"
    assert without_mdns(offer) == f"v=0\r\n{AUDIO}\r\na=mid:0\r\n"
    ended = "a=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\na=end-of-candidates\r\n"
    assert without_mdns(ended) == ended  # nothing was taken away: these are all
    assert "end-of-candidates" not in without_mdns(offer + ended)
    answer = f"v=0\r\n{AUDIO}\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n"
    lines = with_sound_wishes(answer).splitlines()
    assert lines.count("a=ptime:10") == 1
    (wishes,) = [line for line in lines if line.startswith("a=fmtp:111")]
    assert "stereo=1" in wishes
    assert "useinbandfec=0" in wishes
