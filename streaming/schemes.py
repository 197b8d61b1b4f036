"""The one table of what can stand left and right of the avatar, and how each is spelt.

`--help`, the checks and the openers all read INPUTS and OUTPUTS, so a new source or sink is one
row here and one file beside it. Openers import their file, and the device library behind it, only
when they are called: the table works without PyAudio, OpenCV or pyvirtualcam.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from streaming.ports import MotionSource, Sink, Source, UserError

if TYPE_CHECKING:
    from streaming.audiofile import AudioFile
    from streaming.microphone import MicrophoneConfig
    from streaming.silence import Silence

DEMO = Path(__file__).parent / "demo" / "demo.ogg"
Opener = TypeVar("Opener")
STEM_FILES = ("voice.wav", "accompaniment.wav")
LEAST_FREE = 1 << 20  # bytes; with less than this left no output file is begun


@dataclass(frozen=True, slots=True)
class SinkFormat:
    """What a show will deliver, known before its first frame.

    width, height: pixels. fps: pictures per second. channels: of the full-band sound, 1 or 2.
    lookahead: frames of future sound each motion heard. source: what sings, as the user typed it.
    transparent: the pictures' alpha means something. samples: of the sound in all, at 48 kHz, None
    when not known. reads: files that are being read. backend, precision: for a sink that runs a
    network, as the avatar runs it. models: a folder of VRM models, for a sink that shows them;
    empty: the user's own.
    """

    width: int
    height: int
    fps: int = 30
    channels: int = 2
    lookahead: int = 2
    source: str = ""
    transparent: bool = False
    samples: int | None = None
    reads: tuple[str, ...] = ()
    backend: str = "auto"
    precision: str = "auto"
    models: str = ""


Check = Callable[[str, SinkFormat | None], None]


@dataclass(frozen=True, slots=True)
class Scheme(Generic[Opener]):
    """One row: `pattern` as the user types it, `what` it is, `opener`, or None when not built yet.

    A pattern is a WORD, `WORD[:X]` (X may be left out), `WORD:X`, `WORD://X`, a suffix `NAME.ext`,
    or FILE (anything else).
    """

    pattern: str
    what: str
    opener: Opener | None
    check: Check | None = None

    @property
    def built(self) -> bool:
        return self.opener is not None

    def argument(self, spec: str) -> str | None:
        """What `spec` gives this scheme ("" if nothing); None when it is not of this scheme."""
        pattern = self.pattern
        if pattern == "FILE":
            return spec
        if pattern.startswith("NAME."):
            is_file = "://" not in spec and Path(spec).suffix.lower() == pattern[4:]
            return spec if is_file else None
        if "://" in pattern:
            head = pattern.split("://")[0] + "://"
            return spec[len(head) :] if spec.startswith(head) else None
        word, colon, rest = spec.partition(":")
        if word != self.word:
            return None
        if not colon:
            return "" if ":" not in pattern or "[:" in pattern else None
        return rest if "[:" in pattern or (":" in pattern and rest) else None

    @property
    def word(self) -> str:
        """What must be spelt right: `mic`, `.mp4`, `vmc://`; empty for FILE."""
        if self.pattern == "FILE":
            return ""
        if "://" in self.pattern:
            return self.pattern.split("://")[0] + "://"
        return re.split(r"[\[:]", self.pattern.removeprefix("NAME"))[0]


SourceOpener = Callable[[str, float | None], Source | MotionSource]
SinkOpener = Callable[[str, SinkFormat], Sink]


def open_source(
    input: str | None = None,
    voice: str | None = None,
    backing: str | None = None,
    *,
    seconds: float | None = None,
    microphone: MicrophoneConfig | None = None,
) -> Source | MotionSource:
    """Open what sings: `input` (default `demo`), or `voice` and `backing` together.

    seconds: stop after so much sound (exactly round(seconds · 48,000) samples), None for all of it.
    microphone: what is done to its sound, if there is one.
    Every source here also has `channels`, 1 or 2 (a MotionSource has not: it carries no sound).

    Raises UserError for an unknown, missing or unusable input, and for one not built yet.
    """
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UserError(f"--seconds must be a number above 0, got {seconds:g}")
    if voice is None and backing is None:
        scheme, argument = _find(INPUTS, "input", "demo" if input is None else input)
        assert scheme.opener is not None  # _find refuses what is not built
        if scheme.word == "mic":
            return _open_microphone(argument, seconds, microphone)
        return scheme.opener(argument, seconds)
    if input is not None:
        raise UserError("give either --input or --voice with --backing, not both")
    if voice is None or backing is None:
        given, absent = ("--voice", "--backing") if backing is None else ("--backing", "--voice")
        raise UserError(f"{given} needs {absent} too: a FILE, or `{absent} silence`")
    if re.match(r"mic(:|$)", voice):
        return _open_karaoke(voice.partition(":")[2], backing, seconds, microphone)
    from streaming.twoinputs import TwoInputs

    return TwoInputs(
        _open_part(voice, "--voice", seconds), _open_part(backing, "--backing", seconds), seconds
    )


def check_sink(spec: str, fmt: SinkFormat | None = None) -> None:
    """Raise UserError if `spec` cannot be an output; opens and creates nothing.

    Sees unknown spellings, what is not built yet, a folder that is missing or not writable, a full
    disk, an absent device library; with `fmt` also sizes that a video cannot have and an output
    that would overwrite its own input.
    """
    scheme, argument = _find(OUTPUTS, "output", spec)
    if scheme.check is not None:
        scheme.check(argument, fmt)


def check_sinks(specs: Iterable[str], fmt: SinkFormat | None = None) -> None:
    """`check_sink` for all outputs of a show, which also must not write to the same place twice."""
    seen: dict[str, str] = {}
    for spec in specs:
        check_sink(spec, fmt)
        for place in [os.path.realpath(path) for path in written_by(spec)] or [spec]:
            if place in seen and spec != "none":
                raise UserError(
                    f"two outputs would write to the same place: {seen[place]} and {spec}"
                )
            seen[place] = spec


def written_by(spec: str) -> list[str]:
    """The files that an output writes; none for devices and the network. Raises as `check_sink`."""
    scheme, argument = _find(OUTPUTS, "output", spec)
    if scheme.word == "stems":
        return [os.path.join(argument, name) for name in STEM_FILES]
    return [spec] if scheme.pattern.startswith("NAME.") else []


def open_sink(spec: str, fmt: SinkFormat) -> Sink:
    """Open one output, checked first. Files appear with their first frame, not here.

    Raises UserError as `check_sink` does, and when the device refuses.
    """
    check_sink(spec, fmt)
    scheme, argument = _find(OUTPUTS, "output", spec)
    assert scheme.opener is not None
    return scheme.opener(argument, fmt)


def list_devices() -> list[str]:
    """One line per microphone, speaker and virtual camera, spelt as `--input`/`--output` take it.

    A kind of device that cannot be listed gives one line that says why.
    """
    from streaming.camera import list_cameras
    from streaming.microphone import list_microphones
    from streaming.speaker import list_speakers

    return list_microphones() + list_speakers() + list_cameras()


def describe_schemes() -> tuple[list[str], list[str]]:
    """Help lines for inputs and for outputs, marked where something is not built yet."""

    def lines(table: Sequence[Scheme[Any]]) -> list[str]:
        width = max(len(scheme.pattern) for scheme in table)
        return [
            f"{scheme.pattern:<{width}}  {scheme.what}{'' if scheme.built else ' (not built yet)'}"
            for scheme in table
        ]

    return lines(INPUTS), lines(OUTPUTS)


# ---- inputs -------------------------------------------------------------------------------------


def _open_demo(_: str, seconds: float | None) -> AudioFile:
    if not DEMO.exists():
        raise UserError(f"the demo song is missing ({DEMO}); give your own with --input FILE")
    return _open_file(str(DEMO), seconds)


def _open_file(path: str, seconds: float | None) -> AudioFile:
    from streaming.audiofile import AudioFile

    if not os.path.lexists(path):
        _refuse_unknown_input(path)
    return AudioFile(path, seconds=seconds)


def _open_microphone(
    name: str, seconds: float | None, config: MicrophoneConfig | None = None
) -> Source:
    from streaming.microphone import Microphone

    return Microphone(name, config=config, seconds=seconds)


def _open_silence(_: str, seconds: float | None) -> Silence:
    from streaming.silence import Silence

    return Silence(seconds)


def _open_motion(path: str, seconds: float | None) -> MotionSource:
    from streaming.motionfile import MotionReader

    return MotionReader(path, seconds=seconds)


def _open_part(spec: str, option: str, seconds: float | None) -> AudioFile | Silence:
    """One half of a two-input show: a file, or silence (which ends when the other half does)."""
    from streaming.silence import Silence

    if spec == "silence":
        return Silence(0)
    if spec == "loopback" or re.match(r"mic(:|$)", spec):
        raise UserError(f"{option} {spec} is live: it needs --voice mic")
    return _open_file(spec, seconds)


def _open_karaoke(
    name: str, backing: str, seconds: float | None, config: MicrophoneConfig | None
) -> Source:
    """A microphone over a backing, which its singer hears from the monitor."""
    from streaming.calibration import kept_delay
    from streaming.karaoke import Karaoke
    from streaming.microphone import Microphone, MicrophoneConfig
    from streaming.speaker import Speaker

    config = config or MicrophoneConfig()
    if backing == "loopback" or re.match(r"mic(:|$)", backing):
        return _open_loopback(name, backing, seconds, config)
    with ExitStack() as opened:  # closed again when the next one refuses
        band = opened.enter_context(closing(_open_part(backing, "--backing", None)))
        monitor = None
        if config.monitor != "none":
            monitor = opened.enter_context(closing(Speaker(config.monitor or "", SinkFormat(0, 0))))
        microphone = Microphone(name, config=config)
        opened.pop_all()
    delay = None if monitor is None else kept_delay(microphone.device, monitor.device)
    return Karaoke(microphone, band, monitor, delay or 0.0, seconds)


def _open_loopback(
    name: str, backing: str, seconds: float | None, config: MicrophoneConfig
) -> Source:
    """A microphone over what the system plays, or over what comes in by another device."""
    from streaming.loopback import Loopback, SystemSound
    from streaming.microphone import Microphone
    from streaming.portaudio import SoundSystem

    device = backing.partition(":")[2]
    system = SystemSound if backing == "loopback" else SoundSystem
    band = Microphone(device, system=system, patience=0.0, what="backing")
    try:
        microphone = Microphone(name, config=config)
    except BaseException:
        band.close()
        raise
    return Loopback(microphone, band, config.loopback_ms / 1000, seconds)


def _refuse_unknown_input(path: str) -> NoReturn:
    """Say that there is no such file, with the nearest scheme or the nearest file beside it."""
    word = path.partition(":")[0]
    near = get_close_matches(word, [s.word for s in INPUTS if s.word], 1, 0.7)
    if near:
        hint = f"; did you mean {near[0]}{path[len(word) :]}?"
    else:
        folder = Path(path).parent
        names = os.listdir(folder) if folder.is_dir() else []
        files = get_close_matches(Path(path).name, names, 1, 0.7)
        hint = f"; did you mean {folder / files[0]}?" if files else ""
    if not Path(path).suffix or "://" in path:
        hint += f"; inputs are {_patterns(INPUTS)}"
    raise UserError(f"no such file or input: {path}{hint}")


# ---- outputs ------------------------------------------------------------------------------------


def _sink(module: str, name: str) -> SinkOpener:
    """Opens the class `name` of `streaming/module.py`, which is imported only then."""

    def open_it(argument: str, fmt: SinkFormat) -> Sink:
        opened: Sink = getattr(import_module(f"streaming.{module}"), name)(argument, fmt)
        return opened

    return open_it


def _check(module: str, name: str) -> Check:
    """Asks the function `name` of `streaming/module.py`, which is imported only then."""
    return lambda argument, fmt: getattr(import_module(f"streaming.{module}"), name)(argument, fmt)


def _check_file(path: str, fmt: SinkFormat | None) -> None:
    """Raise UserError unless a file of this name could be written now."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UserError(f"cannot write {path}: it is a folder")
    if not os.path.isdir(folder):
        raise UserError(f"cannot write {path}: there is no folder {folder} (create it first)")
    target = path if os.path.exists(path) else folder
    if not os.access(target, os.W_OK):
        raise UserError(f"cannot write {path}: no permission to write to {target}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"cannot write {path}: it is not a plain file")
    if shutil.disk_usage(folder).free < LEAST_FREE:
        raise UserError(f"cannot write {path}: the disk of {folder} is full")
    for source in (fmt.source, *fmt.reads) if fmt else ():
        if source and os.path.exists(source) and os.path.realpath(source) == os.path.realpath(path):
            raise UserError(f"cannot write {path}: it is the input; give the output another name")


def _check_stems(folder: str, fmt: SinkFormat | None) -> None:
    """Raise UserError unless both files could be written now; the folder itself may be missing."""
    if folder.startswith("//"):
        raise UserError(f"stems:{folder} is not a folder; did you mean stems:{folder[2:]}?")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"cannot write stems to {folder}: it is not a folder")
    if not os.path.exists(folder):
        return _check_file(folder.rstrip(os.sep), fmt)
    for name in STEM_FILES:
        _check_file(os.path.join(folder, name), fmt)
    return None


def _check_video(path: str, fmt: SinkFormat | None) -> None:
    _check_file(path, fmt)
    if fmt:
        from streaming.videofile import check_size

        check_size(fmt.width, fmt.height)


# ---- the table ----------------------------------------------------------------------------------

INPUTS: tuple[Scheme[SourceOpener], ...] = (
    Scheme("demo", "a song of about 40 s that comes with Cantar (the default)", _open_demo),
    Scheme("FILE", "any file with sound in it, at any rate and channel count", _open_file),
    Scheme("mic[:NAME]", "a microphone, by name or number (--list-devices)", _open_microphone),
    Scheme("silence", "no sound, endless or --seconds long", _open_silence),
    Scheme("NAME.jsonl", "a motion file, played back", _open_motion),
)

_video = _sink("videofile", "VideoFile")

OUTPUTS: tuple[Scheme[SinkOpener], ...] = (
    Scheme("NAME.mp4", "video with sound: H.264 and AAC", _video, _check_video),
    Scheme("NAME.webm", "video with sound: VP9 and Opus, can be transparent", _video, _check_video),
    Scheme("NAME.mkv", "video with sound: H.264 and Opus in Matroska", _video, _check_video),
    Scheme("NAME.jsonl", "the motion, frame by frame, in a public format",
           _sink("motionfile", "MotionWriter"), _check_file),
    Scheme("camera[:NAME]", "a virtual camera, 1280x720 where no size is given",
           _sink("camera", "VirtualCamera"), _check("camera", "check_camera")),
    Scheme("preview", "a window on this screen", _sink("preview", "Preview"),
           _check("preview", "check_display")),
    Scheme("stems:DIR", "what the separator hears: DIR/voice.wav and DIR/accompaniment.wav, 16 kHz",
           _sink("stemfiles", "StemFiles"), _check_stems),
    Scheme("none", "everything is made and nothing kept: for measuring",
           _sink("nothing", "Nothing")),
    Scheme("NAME.wav", "the sound alone", None),
    Scheme("speaker[:NAME]", "the sound, played in time with the pictures",
           _sink("speaker", "Speaker"), _check("speaker", "check_speaker")),
    Scheme("stage[:PORT]", "motion to a page where your own VRM model wears it, for OBS",
           _sink("stagepage", "Stage"), _check("stagepage", "check_stage")),
    Scheme("vmc://H:P", "motion to VMC programs: VSeeFace, Warudo …", _sink("vmc", "Vmc"),
           _check("vmc", "check_vmc")),
    Scheme("vts://H:P", "motion to VTube Studio", _sink("vtubestudio", "VTubeStudio"),
           _check("vtubestudio", "check_vtube_studio")),
    Scheme("ifm://H:P", "motion as iFacialMocap sends it", _sink("ifacialmocap", "IFacialMocap"),
           _check("ifacialmocap", "check_ifacialmocap")),
)  # fmt: skip


def _patterns(table: Sequence[Scheme[Any]]) -> str:
    return ", ".join(scheme.pattern for scheme in table)


def _find(table: Sequence[Scheme[Opener]], kind: str, spec: str) -> tuple[Scheme[Opener], str]:
    """The scheme that `spec` belongs to and its argument; FILE, if listed, only as a last resort.

    Raises UserError for no match and for a scheme that is not built yet.
    """
    if not spec:
        raise UserError(f"--{kind} is empty; {kind}s are {_patterns(table)}")
    for scheme in sorted(table, key=lambda scheme: scheme.pattern == "FILE"):
        argument = scheme.argument(spec)
        if argument is not None:
            if not scheme.built:
                raise UserError(f"{kind} {spec} is not built yet: {scheme.what}")
            return scheme, argument
    raise UserError(f"unknown {kind} {spec}{_nearest(table, spec)}; {kind}s are {_patterns(table)}")


def _nearest(table: Sequence[Scheme[Any]], spec: str) -> str:
    """` (did you mean …?)` for the scheme spelt most like `spec`, or nothing."""
    words = {scheme.word.removesuffix("://"): scheme for scheme in table if scheme.word}
    suffix = "" if ":" in spec else Path(spec).suffix.lower()
    if suffix:
        built = [word for word, scheme in words.items() if word[0] == "." and scheme.built]
        close = get_close_matches(suffix, built, 1, 0.6)
        return f" (did you mean {Path(spec).with_suffix(close[0])}?)" if close else ""
    close = get_close_matches(re.split("[:/]", spec)[0].lower(), list(words), 1, 0.6)
    return f" (did you mean {words[close[0]].pattern}?)" if close else ""
