"""The command line: every mistake is one line and exit code 2, with nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest

import run_live
from engine.timeline import SAMPLE_RATE
from streaming import schemes
from streaming.ports import UserError
from tests.fakes import FakeAvatar, FakeDrawing, noise

ROOT = Path(run_live.__file__).parent


def write_wav(path, samples):
    """[C, n] float32 as 16-bit PCM at 48 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples.T * 32767).astype("<i2").tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, without a display, with a short song and a short demo elsewhere."""
    (tmp_path / "songs").mkdir()
    (tmp_path / "here").mkdir()
    for name in ("song", "demo", "other"):
        write_wav(tmp_path / "songs" / f"{name}.wav", noise(0.9, channels=2))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(schemes, "DEMO", tmp_path / "songs" / "demo.wav")
    return tmp_path / "here"


@pytest.fixture
def fake(monkeypatch):
    """The command line with a stand-in for the avatar."""
    avatar = FakeAvatar(size=64)

    def load(config, drawing, words):
        avatar.config = config
        return avatar

    monkeypatch.setattr(run_live, "_avatar", load)
    monkeypatch.setattr(run_live, "_drawing", lambda config: FakeDrawing(avatar))
    return avatar


SONG = "../songs/song.wav"
MISTAKES = [
    (["--input", "nope.wav"], "no such file or input: nope.wav"),
    (["--inptu", "x"], "unknown option --inptu; did you mean --input?"),
    (["--input"], "--input: expected one argument"),
    (["--avatar", "lumj"], "did you mean lumi?"),
    (["--renderer", "pupet"], "unknown renderer pupet; did you mean puppet?"),
    (
        ["--avatar", "elias", "--renderer", "neural-lite"],
        "avatar elias has no neural-lite; its renderers are head; to train it: python -m "
        "engine.training.renderer",
    ),
    (["--renderer", "neurl"], "unknown renderer neurl; did you mean neural?"),
    (
        ["--avatar", "lumi", "--renderer", "head"],
        "avatar lumi has no head; its renderers are puppet",
    ),
    (["--renderer", "portrait"], "avatar lumi has no portrait; its renderers are puppet"),
    (["--size", "512"], "expected WIDTHxHEIGHT"),
    (["--size", "ax5"], "expected WIDTHxHEIGHT"),
    (["--framing", "fase"], "did you mean face?"),
    (["--lookahead", "7"], "lookahead must be 0 to 6 frames, got 7"),
    (["--lookahead", "two"], "lookahead: expected a whole number"),
    (["--seed", "x"], "seed: expected a whole number"),
    (["--seconds", "-1"], "--seconds must be a number above 0"),
    (["--seconds", "x"], "--seconds x: expected a number"),
    (["--seconds", "nan"], "--seconds must be a number above 0"),
    (["--config", "vtubr"], "did you mean vtuber?"),
    (["--set", "renderer.bakend=x"], "did you mean renderer.backend?"),
    (["--set", "nothing"], "expected KEY=VALUE"),
    (["--output", "x.mp5"], "did you mean x.mp4?"),
    (["--output", "no/such/folder/x.mp4"], "there is no folder no/such/folder"),
    (["--output", "a.mp4", "--output", "a.mp4"], "same place"),
    (["--output", "preview"], "no display"),
    (["--input", "silence", "--output", "none"], "silence never ends"),
    (["--voice", SONG], "--voice needs --backing"),
    (["--voice", SONG, "--backing", "loopback"], "loopback is live: it needs --voice mic"),
    (["--input", SONG, "--voice", SONG, "--backing", SONG], "not both"),
    (["--serve", "80x"], "expected PORT or HOST:PORT"),
    (["--serve", "70000"], "the port must be 0 to 65535"),
    (["--serve", "0.0.0.0:8080"], "give --token T"),
    (["--serve", "8080", "--tls-cert", "c.pem"], "belong together"),
    (["--serve", "8080", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "--tls-cert c.pem"),
    (["--serve", "8080", "--input", "demo"], "do not go together"),
    (["--set", "web.udp_ports=1-2"], "udp_ports must be any, or FROM-TO"),
    (["--set", "web.ice_servers=[{urls: 'http://x'}]"], "urls must begin with stun: or turn:"),
    (["--output", "stems:no/such/folder"], "there is no folder no/such"),
    (["--output", "stems:../songs/song.wav"], "it is not a folder"),
    (["--output", "stems://out"], "did you mean stems:out?"),
    (["--output", "stems:out", "--output", "stems:./out"], "same place"),
    (["--output", "vmc://localhost:port"], "vmc://localhost:port: the port must be a number"),
    (["--output", "vmc://localhost?name=vrm1"], "did you mean names?"),
    (["--output", "vts://localhost/8001"], "expected vts://HOST:PORT"),
    (["--output", "ifm://localhost:0"], "the port must be a number"),
    (["--output", "x.wav"], "not built yet"),
    (["--json"], "--json is for doctor"),
    (["--control", "x", "--output", "none", "--realtime"], "--control x: expected PORT or HOST"),
    (["--control", "9000", "--input", SONG, "--output", "none"], "--control directs a live show"),
    (["--control", "99999", "--output", "none", "--realtime"], "the port must be 0 to 65535"),
    (["calibrate", "--input", SONG], "calibrate: expected --input mic[:NAME]"),
    (["doctor", "--input", SONG], "doctor: expected --input mic[:NAME]"),
    (["calibrate", "--output", "camera"], "calibrate: expected --output speaker[:NAME]"),
    (["docter"], "did you mean doctor?"),
    (["song.ogg"], "for a song: --input song.ogg"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda x: " ".join(x)[:40])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, folder, fake, capsys):
    assert run_live.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cantar: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(folder.iterdir()) == []


def test_what_the_avatar_refuses_is_one_line_too(folder, capsys):
    assert run_live.main(["--set", "backend=tensorflow", "--output", "none"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "tensorflow" in err


def frames_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def seconds_of_sound(path):
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return sum(f.samples for f in container.decode(stream)) / stream.rate


def test_file_to_file(folder, fake, capsys):
    code = run_live.main(["--input", SONG, "--output", "out.mp4", "--output", "out.jsonl"])
    assert code == 0
    out, err = capsys.readouterr()
    assert out.startswith("out.mp4, out.jsonl: 27 frames, 0.9 s of song in ")
    assert err == ""
    assert frames_of("out.mp4") == 27
    assert seconds_of_sound("out.mp4") == pytest.approx(0.9, abs=1 / 30)
    assert len(Path("out.jsonl").read_text().splitlines()) == 28


def test_without_an_output_and_a_display_the_demo_is_written_here(folder, fake, capsys):
    assert run_live.main(["--input", "demo"]) == 0
    assert "cantar-demo.mp4" in capsys.readouterr().out
    assert frames_of(folder / "cantar-demo.mp4") == 27


def test_another_song_without_an_output_is_written_under_its_own_name(folder, fake, capsys):
    assert run_live.main(["--input", SONG]) == 0
    assert [path.name for path in folder.iterdir()] == ["cantar-song.mp4"]


def test_a_microphone_without_a_display_needs_an_output(folder, fake, capsys):
    assert run_live.main(["--input", "mic"]) == 2
    assert "give --output" in capsys.readouterr().err


def test_seconds_cut_the_source(folder, fake):
    assert run_live.main(["--input", SONG, "--seconds", "0.5", "--output", "out.jsonl"]) == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == 16


def test_a_realtime_run_equals_the_file_run(folder, fake, capsys):
    assert run_live.main(["--input", SONG, "--output", "fast.jsonl"]) == 0
    patient = ["--realtime", "--set", "live.margin_ms=400"]  # this machine may be busy
    assert run_live.main(["--input", SONG, "--output", "live.jsonl", *patient]) == 0
    assert Path("fast.jsonl").read_text() == Path("live.jsonl").read_text()
    err = capsys.readouterr().err
    assert "frames   27 (0.9 s)" in err
    assert "lateness p50" in err


REFUSED = [
    (["vcm://localhost"], "unknown output vcm://localhost (did you mean vmc://H:P?)"),
    (["vmc://localhost?model=../songs/song.wav"], "song.wav is not a VRM model"),
    (["stage:TAKEN"], "address already in use; choose another port: --output stage:PORT"),
    (["camera"], "no virtual camera"),
    (["x.wav", "vts://localhost/8001"], "not built yet"),
    (["out.jsonl"], "two outputs would write to the same place"),
]


@pytest.fixture
def refusing(monkeypatch):
    """A machine without virtual cameras, with a port that is taken: TAKEN."""
    monkeypatch.setattr("streaming.stagepage.check_libraries", lambda: None)
    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


@pytest.mark.parametrize(("outputs", "message"), REFUSED, ids=lambda x: " ".join(x)[:40])
def test_a_live_show_goes_on_without_the_outputs_that_are_refused(
    outputs, message, folder, fake, refusing, capsys
):
    arguments = ["--input", SONG, "--realtime", "--set", "live.margin_ms=400"]
    for spec in ["out.jsonl", *outputs]:
        arguments += ["--output", spec.replace("TAKEN", refusing)]
    assert run_live.main(arguments) == 0
    assert len(Path("out.jsonl").read_text().splitlines()) > 20  # this machine may be busy
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if line.endswith("; the show goes on without it")]
    assert len(said) == len(outputs)
    assert message in said[0]
    assert all(line.startswith("cantar: ") for line in said)


def test_a_show_without_any_output_left_is_a_mistake(folder, fake, refusing, capsys):
    arguments = ["--input", SONG, "--output", f"stage:{refusing}", "--output", "camera"]
    assert run_live.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "address already in use" in err
    assert "no virtual camera" in err


def test_a_file_is_not_made_without_an_output_that_was_asked_for(folder, fake, capsys):
    assert run_live.main(["--input", SONG, "--output", "a.jsonl", "--output", "b.mp5"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ([], (1280, 720)),
        (["--size", "640x360"], (640, 360)),
        (["--set", "renderer.width=960"], (960, 720)),
        (["--config", "karaoke"], (720, 720)),
        (["--config", "vtuber"], (1280, 720)),
    ],
)
def test_a_camera_has_the_size_that_every_program_takes(arguments, size):
    for output in ("camera", "camera:Cantar"):
        args = run_live._parse(["--input", "mic", "--output", output, *arguments])
        renderer = run_live._config(args).renderer
        assert (renderer.width, renderer.height) == size
    renderer = run_live._config(run_live._parse(["--output", "preview"])).renderer
    assert (renderer.width, renderer.height) == (512, 512)


def test_a_motion_file_is_played_back(folder, fake):
    assert run_live.main(["--input", SONG, "--output", "a.jsonl"]) == 0
    assert run_live.main(["--input", "a.jsonl", "--output", "b.jsonl", "--output", "b.mp4"]) == 0
    a, b = (Path(name).read_text().splitlines()[1:] for name in ("a.jsonl", "b.jsonl"))
    assert a == b
    assert frames_of("b.mp4") == 27


def test_two_inputs(folder, fake):
    arguments = ["--voice", SONG, "--backing", "../songs/other.wav", "--output", "out.jsonl"]
    assert run_live.main(arguments) == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == 28


def test_flags_reach_the_configuration_and_set_has_the_last_word(folder, fake):
    arguments = ["--avatar", "kai", "--size", "128x96", "--framing", "face", "--mirror"]
    arguments += ["--background", "#00ff00", "--lookahead", "1", "--seed", "7"]
    arguments += ["--set", "seed=9", "--config", "karaoke", "--input", SONG, "--output", "none"]
    assert run_live.main(arguments) == 0
    config = fake.config
    assert (config.avatar, config.lookahead, config.seed) == ("kai", 1, 9)
    renderer = config.renderer
    assert (renderer.width, renderer.height, renderer.framing) == (128, 96, "face")
    assert (renderer.mirror, renderer.background) == (True, "#00ff00")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("realtime", [[], ["--realtime"]], ids=["file", "live"])
def test_an_interrupted_show_leaves_a_playable_file(folder, fake, capsys, number, realtime):
    fake.on_draw = lambda motion: os.kill(os.getpid(), number) if motion.frame == 12 else None
    arguments = ["--input", SONG, "--output", "out.mp4", *realtime]
    assert run_live.main(arguments) == 128 + number
    assert 8 <= frames_of("out.mp4") < 27
    if not realtime:
        assert capsys.readouterr().out.startswith("interrupted: out.mp4")


def test_input_that_breaks_in_the_middle_leaves_nothing(folder, fake, capsys, monkeypatch):
    from streaming.audiofile import AudioFile

    read, count = AudioFile.read, iter(range(100))

    def breaking(self):
        if next(count) == 15:
            raise UserError("song.wav is damaged at 0.50 s")
        return read(self)

    monkeypatch.setattr(AudioFile, "read", breaking)
    arguments = ["--input", SONG, "--output", "out.mp4", "--output", "out.jsonl"]
    assert run_live.main(arguments) == 2
    assert capsys.readouterr().err == "cantar: song.wav is damaged at 0.50 s\n"
    assert list(folder.iterdir()) == []


def test_an_older_file_survives_a_run_that_never_began(folder, fake):
    Path("out.jsonl").write_text("precious")
    (folder.parent / "songs" / "bad.wav").write_bytes(b"RIFFnonsense")
    assert run_live.main(["--input", "../songs/bad.wav", "--output", "out.jsonl"]) == 2
    assert Path("out.jsonl").read_text() == "precious"


def test_a_dead_worker_is_one_line_and_exit_code_1(folder, fake, capsys):
    def no_more_ink(motion):
        if motion.frame > 3:
            raise ZeroDivisionError("no more ink")

    fake.on_draw = no_more_ink
    assert run_live.main(["--input", SONG, "--output", "none", "--realtime"]) == 1
    err = capsys.readouterr().err
    assert err == "cantar: drawing stopped: ZeroDivisionError: no more ink\n"


def test_avatars_are_listed(capsys):
    assert run_live.main(["--list-avatars"]) == 0
    out = capsys.readouterr().out
    assert "lumi   Lumi (puppet)" in out
    assert "aria   Aria (head, neural-lite, neural)" in out


def test_devices_are_listed(capsys, monkeypatch):
    monkeypatch.setattr(schemes, "list_devices", lambda: ["mic:Blue Yeti", "camera:Cantar"])
    assert run_live.main(["--list-devices"]) == 0
    assert capsys.readouterr().out == "mic:Blue Yeti\ncamera:Cantar\n"


def test_every_flag_of_the_design_is_in_the_table():
    flags = (
        "input voice backing output serve token avatar renderer size framing mirror background "
        "lookahead config set seconds seed realtime list-devices list-avatars tls-cert tls-key "
        "json control consent lyrics"
    )
    assert {option.flag for option in run_live.OPTIONS} == {f"--{f}" for f in flags.split()}


def test_help_is_light_and_names_every_scheme():
    """In a process of its own: nothing heavy is imported to say what there is."""
    code = (
        "import sys, run_live\n"
        "try: run_live.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = 'torch numba openvino onnxruntime cv2 av skia pyaudio pyvirtualcam rich scipy'\n"
        "assert not [m for m in heavy.split() if m in sys.modules], sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for word in ("mic[:NAME]", "NAME.mp4", "vmc://H:P", "not built yet", "--lookahead"):
        assert word in done.stdout


def test_the_whole_line_from_file_to_file_imports_no_torch(tmp_path):
    write_wav(tmp_path / "song.wav", np.zeros((1, 4800), np.float32))
    code = (
        "import sys, run_live\n"
        f"arguments = ['--input', {str(tmp_path / 'song.wav')!r}, '--output', 'none']\n"
        "assert run_live.main(arguments) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
