"""iFacialMocap's line of text, read back the way its receivers do."""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pytest

from engine.motion.blendshapes import ARKIT, INDEX
from engine.signals import Motion
from streaming.ifacialmocap import NAMES, IFacialMocap, line, read_options
from streaming.peers import Address
from streaming.ports import UserError
from streaming.schemes import check_sink, open_sink
from tests.streaming.peers import FORMAT, Ear, a_motion, free_port, grown_in_a_show

# As the makers of iFacialMocap print it on their page for developers.
EXAMPLE = (
    "mouthSmile_R-0|eyeLookOut_L-0|mouthUpperUp_L-11|eyeWide_R-0|mouthClose-8|mouthPucker-4|"
    "mouthRollLower-9|eyeBlink_R-7|eyeLookDown_L-17|cheekSquint_R-11|eyeBlink_L-7|tongueOut-0|"
    "jawRight-0|eyeLookIn_R-6|cheekSquint_L-11|mouthDimple_L-10|mouthPress_L-4|eyeSquint_L-11|"
    "mouthRight-0|mouthShrugLower-9|eyeLookUp_R-0|eyeLookOut_R-0|mouthPress_R-5|cheekPuff-2|"
    "jawForward-11|mouthLowerDown_L-9|mouthFrown_L-6|mouthShrugUpper-26|browOuterUp_L-4|"
    "browInnerUp-20|mouthDimple_R-10|browDown_R-0|mouthUpperUp_R-10|mouthRollUpper-8|"
    "mouthFunnel-12|mouthStretch_R-21|mouthFrown_R-13|eyeLookDown_R-17|jawOpen-12|jawLeft-0|"
    "browDown_L-0|mouthSmile_L-0|noseSneer_R-18|mouthLowerDown_R-8|noseSneer_L-21|eyeWide_L-0|"
    "mouthStretch_L-21|browOuterUp_R-4|eyeLookIn_L-4|eyeSquint_R-11|eyeLookUp_L-0|mouthLeft-1|"
    "=head#-21.488958,-6.038993,-6.6019735,-0.030653415,-0.10287084,-0.6584072|"
    "rightEye#6.0297494,2.4403017,0.25649446|leftEye#6.034903,-1.6660284,-0.17520553|"
)


def read(text: str) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Shapes and poses; strict about the form."""
    shapes, _, poses = text.partition("=")
    assert re.fullmatch(r"(\w+-\d{1,3}\|)+", shapes)
    assert re.fullmatch(r"(\w+#-?[\d.]+(,-?[\d.]+)*\|)+", poses)
    return (
        {name: int(value) for name, value in (s.split("-") for s in shapes.split("|")[:-1])},
        {
            name: [float(x) for x in numbers.split(",")]
            for name, numbers in (pose.split("#") for pose in poses.split("|")[:-1])
        },
    )


def test_names_are_exactly_the_published_ones() -> None:
    assert sorted(NAMES) == sorted(read(EXAMPLE)[0])
    assert len(set(NAMES)) == 52


@pytest.mark.parametrize("frame", range(10))
def test_a_line_says_the_motion(frame: int) -> None:
    motion = a_motion(frame)
    shapes, poses = read(line(motion))
    assert list(poses) == ["head", "rightEye", "leftEye"]
    for name, shape in zip(NAMES, ARKIT, strict=True):
        assert shapes[name] == pytest.approx(100 * motion.blendshapes[INDEX[shape]], abs=0.51)
    yaw, pitch, roll = np.degrees(motion.head[:3])
    assert poses["head"] == pytest.approx([-pitch, yaw, roll, *motion.head[3:]], abs=1e-5)
    assert poses["leftEye"] == poses["rightEye"]
    assert len(line(motion)) < 1500


def test_signs_agree_with_the_published_example() -> None:
    """There the eyes look down 17 %, and each 4 or 6 % towards the nose: x > 0 is down, y > 0 is to
    the singer's left. Ours, looking down and to the left:"""
    motion = Motion(0, np.zeros(52, np.float32), np.zeros(6, np.float32),
                    gaze=np.array([0.1, -0.2], np.float32))  # fmt: skip
    x, y, z = read(line(motion))[1]["leftEye"]
    assert (x, y, z) == pytest.approx((math.degrees(0.2), math.degrees(0.1), 0), abs=1e-4)
    _, example = read(EXAMPLE)
    assert example["rightEye"][0] > 0
    assert example["rightEye"][1] > 0 > example["leftEye"][1]


def test_numbers_never_use_exponents() -> None:
    tiny = Motion(0, np.full(52, 1e-9, np.float32), np.full(6, -1e-9, np.float32))
    read(line(tiny))


def test_arrives() -> None:
    ear = Ear()
    sink = open_sink(f"ifm://127.0.0.1:{ear.port}", FORMAT)
    for frame in range(3):
        sink.write(a_motion(frame), None, None)
    assert [ear.hear().decode() for _ in range(3)] == [line(a_motion(frame)) for frame in range(3)]
    sink.close()
    sink.close()
    ear.close()


# ---- a day --------------------------------------------------------------------------------------


def grown(hours: float, step: int) -> int:
    def look(datagram: bytes) -> None:
        shapes, poses = read(datagram.decode())
        assert (len(shapes), len(poses)) == (52, 3)

    sink = functools.partial(IFacialMocap, "127.0.0.1:9", FORMAT)
    return grown_in_a_show(lambda now: sink(now=now), hours, step, look)


def test_a_day_in_one_frame_of_a_thousand_neither_loses_nor_grows() -> None:
    assert grown(24, 997) < 300


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_day_of_every_frame_neither_loses_nor_grows() -> None:
    assert grown(24, 1) < 300


# ---- what goes wrong ----------------------------------------------------------------------------


def test_nobody_there_is_said_once_and_the_show_goes_on(caplog) -> None:
    port = free_port()
    sink = open_sink(f"ifm://127.0.0.1:{port}", FORMAT)
    for frame in range(50):
        sink.write(a_motion(frame), None, None)
    sink.close()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"iFacialMocap receiver at 127.0.0.1:{port}: nobody listens there")
    assert "the show goes on" in line


def test_spellings() -> None:
    assert read_options("") == Address("127.0.0.1", 49983)
    with pytest.raises(UserError, match="unknown option names"):
        check_sink("ifm://host?names=arkit")
