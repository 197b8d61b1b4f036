"""A VTuber's evening: one show into a camera, VMC, VTube Studio and iFacialMocap at once."""

from __future__ import annotations

import re

import numpy as np
import pytest

from streaming.live import run_live
from streaming.schemes import SinkFormat, open_sink
from streaming.vtubestudio import VTubeStudio
from tests.fakes import FakeAvatar, FakeSource, chunks, noise
from tests.streaming.peers import Ear, free_port
from tests.streaming.test_camera import Recorder
from tests.streaming.test_vmc import check_frame, messages
from tests.streaming.vtube_studio import Studio, serving

pyvirtualcam = pytest.importorskip("pyvirtualcam")
FRAMES = 20


def test_several_at_once_beside_the_camera(monkeypatch, tmp_path, caplog) -> None:
    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    pyvirtualcam.register_backend("recorder", Recorder)
    fmt = SinkFormat(8, 8)
    vmc, ifm = Ear(), Ear()
    with serving(Studio()) as served:
        sinks = [
            open_sink("camera", fmt),
            open_sink(f"vmc://127.0.0.1:{vmc.port}", fmt),
            open_sink(f"vmc://127.0.0.1:{free_port()}", fmt),  # nobody there
            open_sink(f"ifm://127.0.0.1:{ifm.port}", fmt),
            VTubeStudio(f"127.0.0.1:{served.port}", fmt, folder=tmp_path),
        ]
        run_live(FakeAvatar(), FakeSource(chunks(noise(FRAMES / 30), 1600)), sinks)
    assert len(Recorder.sent) == FRAMES
    jaws = []
    for frame in range(FRAMES):
        values = check_frame(messages([vmc.hear()]), frame)
        shapes = dict(re.findall(r"(\w+)-(\d+)\|", ifm.hear().decode()))
        jaws.append((sum(values[vowel] for vowel in "AIUEO"), int(shapes["jawOpen"])))
    opened = np.array(jaws)
    assert opened[:, 1].max() > 20
    assert np.corrcoef(opened.T)[0, 1] > 0.9  # both tell the same mouth
    assert served.studio.broken == []
    assert served.studio.requests["InjectParameterDataRequest"] >= FRAMES // 2
    assert sum("nobody listens" in record.getMessage() for record in caplog.records) == 1
    vmc.close()
    ifm.close()
