"""Packets of sound in order; the places of aiortc that are overridden are still there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiortc import RTCPeerConnection
from aiortc.codecs import h264, vpx
from hypothesis import given
from hypothesis import strategies as st

from streaming.tuning import PATIENCE, ROUND, InOrder, hear_promptly, keep_to_ports, set_bitrates


def packets(numbers):
    return [SimpleNamespace(sequence_number=n % ROUND) for n in numbers]


def given_out(numbers):
    order = InOrder()
    out = [p.sequence_number for packet in packets(numbers) for p in order(packet)]
    return out, order


@given(first=st.integers(0, ROUND - 1), count=st.integers(1, 400))
def test_what_comes_in_order_leaves_at_once(first, count):
    order = InOrder()
    for packet in packets(range(first, first + count)):
        assert order(packet) == [packet]
    assert (order.lost, order.late) == (0, 0)


@given(data=st.data(), count=st.integers(1, 60), first=st.integers(0, ROUND - 1))
def test_any_loss_and_disorder_leaves_in_order_and_never_twice(data, count, first):
    numbers = [n for n in range(count) if n == 0 or data.draw(st.integers(0, 9)) > 0]
    jitter = [n + data.draw(st.sampled_from([0, 0, 0, 1.5, 3.5, 9.5])) if n else 0 for n in numbers]
    arrived = [n for _, n in sorted(zip(jitter, numbers, strict=True))]
    out, order = given_out([first + n for n in arrived + arrived[:1]])
    travelled = [(n - first) % ROUND for n in out]
    assert travelled == sorted(set(travelled))
    assert set(travelled) <= set(numbers)
    assert order.late + len(out) + len(order._waiting) == len(arrived) + 1


def test_a_swap_is_mended_and_a_loss_waits_for_two_packets():
    assert given_out([1, 2, 4, 3, 5])[0] == [1, 2, 3, 4, 5]
    order = InOrder()
    sizes = [len(order(packet)) for packet in packets([1, 3, 4, 5, 6])]
    assert sizes == [1, 0, 0, 3, 1]
    assert PATIENCE == 2
    assert order.lost == 1


def test_a_sender_that_starts_anew_is_followed():
    out, order = given_out([10, 11, 30_000, 30_001, 12])
    assert out == [10, 11, 30_000, 30_001, 12]
    assert order.lost == 0


def test_bit_rates_reach_the_coders():
    before = vpx.DEFAULT_BITRATE // 1000, vpx.MIN_BITRATE // 1000, vpx.MAX_BITRATE // 1000
    try:
        set_bitrates(2100, 500, 3300)
        for coder in (vpx.Vp8Encoder(), h264.H264Encoder()):
            assert coder.target_bitrate == 2_100_000
            coder.target_bitrate = 1
            assert coder.target_bitrate == 500_000
            coder.target_bitrate = 10**9
            assert coder.target_bitrate == 3_300_000
    finally:
        set_bitrates(*before)


def test_a_receiver_takes_the_prompt_buffer():
    async def scenario():
        peer = RTCPeerConnection()
        receiver = peer.addTransceiver("audio").receiver
        names = ("timestamp_mapper", "codecs", "decoder_queue", "jitter_buffer")
        assert all(hasattr(receiver, f"_RTCRtpReceiver__{name}") for name in names)
        buffer = hear_promptly(receiver)
        assert receiver._RTCRtpReceiver__jitter_buffer is buffer
        await peer.close()

    asyncio.run(scenario())


def test_udp_sockets_keep_to_their_ports_and_say_when_none_is_left():
    async def scenario():
        loop = asyncio.get_running_loop()
        keep_to_ports(loop, 47_310, 47_312)
        made = [
            (await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)))[0]
            for _ in range(3)
        ]
        ports = {transport.get_extra_info("sockname")[1] for transport in made}
        assert ports == {47_310, 47_311, 47_312}
        with pytest.raises(OSError, match="all UDP ports from 47310 to 47312 are taken"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        for transport in made:
            transport.close()

    asyncio.run(scenario())
