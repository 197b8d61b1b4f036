"""One timeline: samples, hops and frames converted in integers.

Everything carries a sample index at 48 kHz. A frame (picture) is 1,600 samples, an MFCC hop 480.
Frame n starts at sample 1,600·n; its motion may hear `lookahead` frames past that instant.
"""

from __future__ import annotations


def exact_div(numerator: int, denominator: int) -> int:
    """Divide, or fail loudly when the rates do not fit together."""
    quotient, remainder = divmod(numerator, denominator)
    if remainder:
        raise ValueError(f"{numerator} is not a multiple of {denominator}")
    return quotient


SAMPLE_RATE = 48_000  # Hz, the timeline
FEATURE_RATE = 16_000  # Hz, what the networks hear
FRAME_RATE = 30  # pictures per second
HOP_RATE = 100  # feature hops per second

DECIMATION = exact_div(SAMPLE_RATE, FEATURE_RATE)  # 3
FRAME = exact_div(SAMPLE_RATE, FRAME_RATE)  # 1600 samples
HOP = exact_div(SAMPLE_RATE, HOP_RATE)  # 480 samples
FEATURE_HOP = exact_div(FEATURE_RATE, HOP_RATE)  # 160 samples at 16 kHz

MAX_LOOKAHEAD = 6  # frames


def frame_start(frame: int) -> int:
    """First sample of a frame."""
    return frame * FRAME


def frame_time(frame: int) -> float:
    """Seconds of the sound that a picture belongs to."""
    return frame / FRAME_RATE


def frames_in(samples: int) -> int:
    """Frames that a sound of so many samples fills, the last one perhaps partly."""
    return -(-samples // FRAME)


def hops_heard(frame: int, lookahead: int) -> int:
    """Complete hops available at the instant `frame + lookahead`: where a feature window ends."""
    return max(0, frame + lookahead) * FRAME // HOP


def samples_needed(frame: int, lookahead: int) -> int:
    """Samples that must have arrived before a frame's window is complete."""
    return hops_heard(frame, lookahead) * HOP


def check_lookahead(lookahead: int) -> int:
    """Return `lookahead`; raise ValueError unless it is 0 … 6 frames."""
    if not 0 <= lookahead <= MAX_LOOKAHEAD:
        raise ValueError(f"lookahead must be 0 to {MAX_LOOKAHEAD} frames, got {lookahead}")
    return lookahead
