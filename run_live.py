"""Cantar's command line: sound in, singing avatar out.

run_live.py                                              a page at http://127.0.0.1:8080
run_live.py --input song.ogg --output out.mp4            as fast as it goes
run_live.py --config vtuber --input mic --output camera  live
run_live.py doctor                                       is everything there?
run_live.py calibrate                                    from loudspeaker to microphone
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:  # nothing heavy is imported before it is needed: --help answers at once
    from engine.motion.lyrics import KnownWords
    from streaming.director import Director
    from streaming.drawing import DrawingProcess
    from streaming.line import ShowConfig
    from streaming.live import Warmth
    from streaming.ports import MotionSource, Sink, Source
    from streaming.schemes import SinkFormat

# What only makes sense at the pace of the clock:
LIVE_OUTPUTS = ("camera", "preview", "speaker", "stage", "vmc", "vts", "ifm")
CAMERA_SIZE = {"width": 1280, "height": 720}  # pixels, where neither a size nor a preset is given
RENDERERS_BUILT = ("auto", "head", "neural", "neural-lite", "portrait", "puppet")
TRAINED = ("neural", "neural-lite")  # renderers that need weights of their own
COMMANDS = ("doctor", "calibrate")
INTERRUPTED = 128  # + the number of the signal is the exit code, as in a shell
TELL_EVERY = 15  # frames between two movements of the progress bar
STATUS_LINES_EVERY = 10  # status lines between two that are printed where there is no terminal


@dataclass(frozen=True)
class Option:
    """One flag. `metavar` None: it takes no value. `sets`: the configuration it is short for."""

    flag: str
    metavar: str | None
    help: str
    sets: str | None = None
    many: bool = False
    built: bool = True


OPTIONS = (
    Option("--input", "WHAT", "what sings (see below; default: demo)"),
    Option("--voice", "FILE|mic", "the voice alone; needs --backing"),
    Option("--backing", "FILE|loopback", "the accompaniment alone, or what the system plays"),
    Option("--lyrics", "FILE", "the song's words with their times (enhanced LRC): exact lips"),
    Option("--output", "WHERE", "where it goes (see below); may be repeated", many=True),
    Option("--avatar", "NAME", "who sings: a name (--list-avatars), folder or photo", "avatar"),
    Option(
        "--renderer",
        "NAME",
        "how it is drawn: head, neural, neural-lite, portrait, puppet, or auto",
        "renderer.name",
    ),
    Option("--consent", None, "confirm, once, that who is in the photo agreed to sing"),
    Option("--size", "WxH", "size of the pictures in pixels, such as 1280x720"),
    Option("--framing", "face|bust", "how much of the avatar is seen", "renderer.framing"),
    Option("--mirror", None, "as in a mirror", "renderer.mirror"),
    Option("--background", "COLOUR", "#rrggbb, scene or transparent", "renderer.background"),
    Option("--lookahead", "N", "frames of future sound a motion hears, 0 to 6", "lookahead"),
    Option("--seed", "N", "of everything random", "seed"),
    Option("--seconds", "N", "stop after so much sound"),
    Option("--realtime", None, "a file at the pace of a show, not as fast as it goes"),
    Option("--config", "FILE", "a preset (cpu, gpu, vtuber, karaoke) or a YAML file"),
    Option("--set", "K=V", "set one value, such as renderer.width=640", many=True),
    Option("--list-avatars", None, "print the avatars that can sing"),
    Option("--list-devices", None, "print microphones, speakers and cameras"),
    Option("--control", "[HOST:]PORT", "direct the live show: a page there, and OSC"),
    Option("--json", None, "doctor: print a list of name, status and fix"),
    Option("--serve", "[HOST:]PORT", "serve the page there (default: 127.0.0.1:8080)"),
    Option("--token", "T", "what a browser must know; needed on any host but this one"),
    Option("--tls-cert", "FILE", "certificate, for HTTPS; needs --tls-key"),
    Option("--tls-key", "FILE", "the certificate's key"),
)


class UsageError(Exception):
    """Something on the command line that the user can mend; told in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 (ours), 2 (yours), 128 + signal."""
    try:
        return _run(_parse(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return INTERRUPTED + 2
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"cantar: {_in_a_line(error)}", file=sys.stderr)
        return code


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _exit_code(error: Exception) -> int | None:
    """2 for what the user can mend, 1 for a worker that died, None for a bug."""
    from engine.config import ConfigError
    from engine.rendering.identity import BadIdentity, UnknownIdentity
    from engine.weights import BadWeights
    from kernels.graphs.opening import BackendUnavailable
    from streaming.drawing import DrawingEnded
    from streaming.live import WorkerError
    from streaming.ports import UserError

    if isinstance(error, (WorkerError, DrawingEnded)):
        return 1
    yours = (UsageError, UserError, ConfigError, UnknownIdentity, BadIdentity, BackendUnavailable)
    return 2 if isinstance(error, (*yours, BadWeights)) else None


# ---- reading the command line -------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="run_live.py",
        description="A live singing avatar.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    for option in OPTIONS:
        text = option.help if option.built else f"{option.help} (not built yet)"
        if option.metavar is None:
            parser.add_argument(option.flag, action="store_true", help=text)
        else:
            action = "append" if option.many else "store"
            parser.add_argument(option.flag, metavar=option.metavar, action=action, help=text)
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    if "-h" in argv or "--help" in argv:
        parser.epilog = _schemes_help()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = [option.flag for option in OPTIONS]
        near = get_close_matches(unknown[0].partition("=")[0], flags, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else " (see --help)"
        raise UsageError(f"unknown option {unknown[0]}{hint}")
    for option in OPTIONS:
        if not option.built and getattr(args, _name(option)) is not None:
            raise UsageError(f"{option.flag} is not built yet")
    if args.json and args.command != "doctor":
        raise UsageError("--json is for doctor: run_live.py doctor --json")
    if args.command not in (None, *COMMANDS):
        near = get_close_matches(args.command, COMMANDS, 1, 0.6)
        hint = f"; did you mean {near[0]}?" if near else f"; for a song: --input {args.command}"
        raise UsageError(f"unknown command {args.command}{hint}")
    return args


def _name(option: Option) -> str:
    return option.flag.strip("-").replace("-", "_")


def _schemes_help() -> str:
    from streaming.schemes import describe_schemes

    inputs, outputs = describe_schemes()
    tables = (("inputs:", inputs), ("outputs:", outputs))
    return "\n\n".join("\n  ".join([title, *lines]) for title, lines in tables)


def _scheme(spec: str) -> str:
    """What stands before the colon: `camera` of `camera:OBS`."""
    return spec.partition(":")[0]


def _overrides(args: argparse.Namespace) -> list[str]:
    """The flags that are short for configuration, then --set, which has the last word."""
    overrides = []
    if args.config is None and any(_scheme(spec) == "camera" for spec in args.output or ()):
        overrides += [f"renderer.{side}={pixels}" for side, pixels in CAMERA_SIZE.items()]
    for option in OPTIONS:
        value = getattr(args, _name(option))
        if option.sets and value not in (None, False):
            overrides.append(f"{option.sets}={'true' if value is True else value}")
    if args.size is not None:
        width, x, height = args.size.lower().partition("x")
        if not (x and width.isdecimal() and height.isdecimal()):
            raise UsageError(
                f"--size {args.size}: expected WIDTHxHEIGHT in pixels, such as 512x512"
            )
        overrides += [f"renderer.width={int(width)}", f"renderer.height={int(height)}"]
    return overrides + (args.set or [])


def _config(args: argparse.Namespace) -> ShowConfig:
    """The whole configuration, checked as far as that goes without loading anything."""
    from engine.config import read
    from engine.rendering.identity import load_identity
    from engine.timeline import check_lookahead
    from streaming.line import ShowConfig

    config = read(ShowConfig, args.config, _overrides(args))
    name = config.renderer.name
    if name not in RENDERERS_BUILT:
        near = get_close_matches(name, RENDERERS_BUILT, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(RENDERERS_BUILT)}"
        raise UsageError(f"unknown renderer {name}; {hint}")
    try:
        check_lookahead(config.lookahead)
    except ValueError as error:
        raise UsageError(str(error)) from None
    identity = load_identity(config.avatar)
    if name not in ("auto", *identity.renderers):
        there = ", ".join(identity.renderers)
        train = "; to train it: python -m engine.training.renderer" if name in TRAINED else ""
        raise UsageError(f"avatar {identity.name} has no {name}; its renderers are {there}{train}")
    if "portrait" in (name, identity.renderers[0]) and name in ("auto", "portrait"):
        from engine.rendering.portrait.landmarks import landmarks_of

        landmarks_of(identity, args.consent)  # whatever is wrong with a photo is said first
    return config


def _seconds(args: argparse.Namespace) -> float | None:
    try:
        return None if args.seconds is None else float(args.seconds)
    except ValueError:
        raise UsageError(f"--seconds {args.seconds}: expected a number of seconds") from None


# ---- the show -----------------------------------------------------------------------------------


def _run(args: argparse.Namespace) -> int:
    if args.list_avatars:
        return _list_avatars()
    if args.list_devices:
        from streaming.schemes import list_devices

        print("\n".join(list_devices()))
        return 0
    config, seconds = _config(args), _seconds(args)
    if args.command == "doctor":
        return _doctor(args, config)
    if args.command == "calibrate":
        return _calibrate(args)
    if _is_page(args):
        return _serve(args, config)
    specs = args.output or [_default_output(args)]
    control = _address(args.control, "--control") if args.control else None
    live = _is_live(args, specs)
    specs = _checked(specs, _format(args, config), live)
    if control is not None and not live:
        raise UsageError("--control directs a live show: give --realtime, or a live output")
    if not live and args.input == "silence" and seconds is None:
        raise UsageError("silence never ends: give --seconds N, or --realtime and Ctrl-C")
    with _drawing(config) as drawing:  # its child loads what it needs while we load the rest
        return _perform(args, config, specs, drawing, live)


def _doctor(args: argparse.Namespace, config: ShowConfig) -> int:
    """Look at everything that a show needs; 1 when something would prevent it."""
    import json

    from streaming.doctor import examine, succeeded

    if args.input is not None and not _is_microphone(args.input):
        raise UsageError(f"doctor: expected --input mic[:NAME], got {args.input}")
    checks = []
    for check in examine(config, (args.input or "").partition(":")[2]):
        checks.append(check)
        if not args.json:
            print(check, flush=True)
    if args.json:
        print(json.dumps([{"name": c.name, "status": c.status, "fix": c.fix} for c in checks]))
    return 0 if succeeded(checks) else 1


def _calibrate(args: argparse.Namespace) -> int:
    from streaming.calibration import calibrate

    if args.output is not None and len(args.output) > 1:
        raise UsageError("calibrate takes one --output speaker:NAME")
    say = functools.partial(print, file=sys.stderr, flush=True)
    print(calibrate(args.input, args.output[0] if args.output else None, say))
    return 0


SHOW = (
    "input",
    "voice",
    "backing",
    "lyrics",
    "output",
    "seconds",
    "realtime",
    "control",
)  # not with the page


def _is_page(args: argparse.Namespace) -> bool:
    """Whether the page is to be served: when asked for, or when nothing else was."""
    show = [name for name in SHOW if getattr(args, name) not in (None, False)]
    page = [name for name in ("serve", "token", "tls_cert", "tls_key") if getattr(args, name)]
    if args.control and "token" in page:  # it is for the control page
        page.remove("token")
    if show and page:
        raise UsageError(f"--{page[0].replace('_', '-')} and --{show[0]} do not go together")
    return not show


def _address(text: str, option: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; this machine's own host where none is given."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise UsageError(f"{option} {text}: expected PORT or HOST:PORT, such as 8080")
    if int(port) > 65535:
        raise UsageError(f"{option} {text}: the port must be 0 to 65535")
    return host.strip("[]") or "127.0.0.1", int(port)


def _serve(args: argparse.Namespace, config: ShowConfig) -> int:
    """Serve the page until Ctrl-C; open it where there is a desktop and nothing was asked for."""
    from streaming.server import Address, serve

    where, port = _address(args.serve or "8080", "--serve")
    address = Address(where, port, args.token, args.tls_cert, args.tls_key)

    def say(line: str) -> None:
        print(line, flush=True)
        if args.serve is None:
            _open_page(address.url)

    logging.getLogger().addHandler(_Status())
    return serve(config, address, say)


def _open_page(url: str) -> None:
    """Show the page, on a desktop only: a browser in a terminal would take the terminal away."""
    import os
    import webbrowser

    if sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        webbrowser.open(url)


def _perform(
    args: argparse.Namespace,
    config: ShowConfig,
    specs: Sequence[str],
    drawing: DrawingProcess,
    live: bool,
) -> int:
    """Open everything in the order that its kind of source asks for, and run the show."""
    words = _words(args)
    if _has_microphone(args):  # it records from the moment it is opened: load everything first
        avatar = _avatar(config, drawing, words)
        warmth = _warm_up(avatar)
        source = _open_source(args, config)
    else:
        source = _open_source(args, config)
        avatar, warmth = _closing(source, lambda: _avatar(config, drawing, words)), None
    sinks = _closing(source, lambda: _open_sinks(specs, _format(args, config, source), live))
    if live:
        control = _address(args.control, "--control") if args.control else None
        return _show_live(avatar, drawing, source, sinks, config, warmth, control, args.token)
    return _render(avatar, drawing, source, sinks, specs)


def _is_live(args: argparse.Namespace, specs: Sequence[str]) -> bool:
    """Whether the show runs at the pace of the clock: by an option, an output or its input."""
    at_once = any(_scheme(spec) in LIVE_OUTPUTS for spec in specs)
    return bool(args.realtime) or at_once or _has_microphone(args)


def _has_microphone(args: argparse.Namespace) -> bool:
    return _is_microphone(args.input) or _is_microphone(args.voice)


def _is_microphone(spec: str | None) -> bool:
    return spec is not None and _scheme(spec) == "mic"


def _open_source(args: argparse.Namespace, config: ShowConfig) -> Source | MotionSource:
    from streaming.schemes import open_source

    given = (args.input, args.voice, args.backing)
    return open_source(*given, seconds=_seconds(args), microphone=config.microphone)


def _warm_up(avatar: Any) -> Warmth:
    from streaming.live import warm_up

    return warm_up(avatar, channels=1, pictures=True)


T = TypeVar("T")


def _closing(source: Source | MotionSource, make: Callable[[], T]) -> T:
    """What `make` gives; when it fails, the source is closed first."""
    try:
        return make()
    except BaseException:
        source.close()
        raise


def _list_avatars() -> int:
    from engine.rendering.identity import list_identities, load_identity

    identities = [load_identity(name) for name in list_identities()]
    width = max((len(identity.name) for identity in identities), default=0)
    for identity in identities:
        print(f"{identity.name:<{width}}  {identity.title} ({', '.join(identity.renderers)})")
    return 0


def _default_output(args: argparse.Namespace) -> str:
    """A window where there is a display, else a file in the current folder."""
    from streaming.ports import UserError
    from streaming.schemes import check_sink

    try:
        check_sink("preview")
        return "preview"
    except UserError as error:
        song = args.voice or args.input or "demo"
        if _is_microphone(song):
            raise UsageError(f"{error}; give --output") from None
        return f"cantar-{Path(song).stem}.mp4"


def _format(
    args: argparse.Namespace, config: ShowConfig, source: Source | MotionSource | None = None
) -> SinkFormat:
    from streaming.line import channels_of
    from streaming.schemes import SinkFormat

    return SinkFormat(
        width=config.renderer.width,
        height=config.renderer.height,
        channels=channels_of(source),
        lookahead=int(getattr(source, "lookahead", config.lookahead)),
        source=args.input or (f"{args.voice} + {args.backing}" if args.voice else "demo"),
        transparent=config.renderer.background == "transparent",
        samples=source.length if source is not None and hasattr(source, "realtime") else None,
        reads=tuple(filter(None, (args.input, args.voice, args.backing, args.lyrics))),
        backend=config.backend,
        precision=config.precision,
        models=config.web.models,
    )


def _drawing(config: ShowConfig) -> DrawingProcess:
    from streaming.drawing import DrawingProcess

    return DrawingProcess(config)


def _words(args: argparse.Namespace) -> KnownWords | None:
    """What is sung and when, where the user knows it."""
    if args.lyrics is None:
        return None
    if _is_microphone(args.input) or args.backing == "loopback":
        raise UsageError("--lyrics needs a song that begins with the show: a file or --backing")
    from engine.motion.lyrics import KnownWords
    from streaming.lyrics import known_phones

    phones = known_phones(Path(args.lyrics))
    return KnownWords(phones) if phones else None


def _avatar(config: ShowConfig, drawing: DrawingProcess, words: KnownWords | None) -> Any:
    """Load the avatar; whatever it refuses about its configuration is the user's to mend."""
    from engine.avatar import Avatar

    try:
        avatar = Avatar(config, drawing, words)
        drawing.ready()
        return avatar
    except ValueError as error:
        raise UsageError(str(error)) from error


def _checked(specs: Sequence[str], fmt: SinkFormat, live: bool) -> list[str]:
    """The outputs that can be had, looked at before anything is loaded. Raises UserError."""
    from streaming.schemes import check_sinks

    checked: list[str] = []

    def check(spec: str) -> None:
        check_sinks([*checked, spec], fmt)
        checked.append(spec)

    _for_each(specs, check, live)
    return checked


def _for_each(specs: Sequence[str], do: Callable[[str], None], live: bool) -> None:
    """`do` it for every output. A live show goes on without those that refuse, each told in a line,
    while there are others. Raises UserError."""
    from streaming.ports import UserError

    refused: list[UserError] = []
    for spec in specs:
        try:
            do(spec)
        except UserError as error:
            refused.append(error)
            if not live or len(refused) == len(specs):
                raise UserError("; ".join(map(str, refused))) from error
    for reason in map(_in_a_line, refused):
        print(f"cantar: {reason}; the show goes on without it", file=sys.stderr)


def _open_sinks(specs: Sequence[str], fmt: SinkFormat, live: bool) -> list[Sink]:
    """Every output, open; what is open is closed again when one refuses and the show cannot go on
    without it."""
    from streaming.schemes import open_sink

    sinks: list[Sink] = []
    try:
        _for_each(specs, lambda spec: sinks.append(open_sink(spec, fmt)), live)
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _render(
    avatar: Any,
    drawing: DrawingProcess,
    source: Source | MotionSource,
    sinks: Sequence[Sink],
    specs: Sequence[str],
) -> int:
    """To file, as fast as it goes, with a progress bar; says where it went."""
    from streaming.live import run_file, stop_on_signals
    from streaming.schemes import written_by

    files = [path for spec in specs for path in written_by(spec)]
    folders = [path.parent for path in map(Path, files) if not path.parent.exists()]
    began = time.monotonic()
    with stop_on_signals() as stopped, _progress(_frames_of(source)) as progress:
        frames = run_file(
            avatar,
            source,
            sinks,
            stopped=stopped,
            progress=progress,
            undo=functools.partial(_remove, files, folders),
            drawing=drawing,
        )
    took, seconds = time.monotonic() - began, frames / 30
    cut = "interrupted: " if stopped() else ""
    where = ", ".join(files) or "nothing kept"
    print(
        f"{cut}{where}: {frames} frames, {seconds:.1f} s of song in {took:.1f} s "
        f"({seconds / max(took, 1e-3):.1f} × real time)"
    )
    return 0 if stopped.signal is None else INTERRUPTED + stopped.signal


def _remove(files: Sequence[str], folders: Sequence[Path]) -> None:
    """Leave nothing half-written: these files, and the folders that were made for them."""
    for file in files:
        Path(file).unlink(missing_ok=True)
    for folder in set(folders):
        with suppress(OSError):  # somebody else's file is in it by now
            folder.rmdir()


def _frames_of(source: Source | MotionSource) -> int | None:
    """How many frames a source will fill, if it knows."""
    from engine.timeline import frames_in

    if source.length is None or not hasattr(source, "realtime"):
        return source.length
    return frames_in(source.length)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr that is told the frames done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("singing"), BarColumn(), MofNCompleteColumn(), Remaining())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("singing", total=total)

        def tell(frames: int) -> None:
            if frames % TELL_EVERY == 0 or frames == total:
                bar.update(task, completed=frames)

        yield tell


class _Status(logging.Handler):
    """One line that is rewritten in a terminal (elsewhere: a line now and then), and log messages
    that do not tear it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._terminal = sys.stderr.isatty()
        self._lines = 0

    def show(self, line: str) -> None:
        """The status now."""
        if self._terminal:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        elif self._lines % STATUS_LINES_EVERY == 0:
            print(line, file=sys.stderr, flush=True)
        self._lines += 1

    def emit(self, record: logging.LogRecord) -> None:
        self.clear()
        print(f"cantar: {record.getMessage()}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._terminal and self._lines:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _controlled(
    director: Director, control: tuple[str, int] | None, token: str | None
) -> Iterator[None]:
    """While the show runs, serve the control page and listen for OSC at the same port, if asked."""
    if control is None:
        yield
        return
    from streaming.control import ControlPage
    from streaming.osccontrol import OscControl

    with closing(ControlPage(director, *control, token)) as page:
        print(f"control page: {page.url}", file=sys.stderr)
        with closing(OscControl(director, control[0], page.port)):
            yield


def _show_live(
    avatar: Any,
    drawing: DrawingProcess,
    source: Source | MotionSource,
    sinks: Sequence[Sink],
    config: ShowConfig,
    warmth: Warmth | None,
    control: tuple[str, int] | None,
    token: str | None,
) -> int:
    """Live, with one status line, and a summary at the end. control: where it is directed from."""
    from streaming.director import Director
    from streaming.live import run_live, stop_on_signals

    director = Director(avatar.face.wear if control else None, config.style)
    status = _Status()
    logging.getLogger().addHandler(status)
    for page in filter(None, (getattr(sink, "url", None) for sink in sinks)):
        print(f"stage: {page}?model=NAME.vrm", file=sys.stderr)
    try:
        with _controlled(director, control, token), stop_on_signals() as stopped:
            stats = run_live(
                avatar,
                source,
                sinks,
                config.live,
                stopped=stopped,
                status=status.show,
                warmth=warmth,
                draw_small=drawing.draw_small,
                director=director,
            )
    finally:
        status.clear()
        logging.getLogger().removeHandler(status)
    print(stats.summary(), file=sys.stderr)
    return 0 if stopped.signal is None else INTERRUPTED + stopped.signal


if __name__ == "__main__":
    sys.exit(main())
