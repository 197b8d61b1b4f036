"""An identity of your own from a video: python -m engine.training.identity my_video.mp4 --name me

The same command goes on where it was stopped. `progress.html` in the work folder shows how far.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import date
from pathlib import Path

from engine.config import ConfigError
from engine.rendering.identity import UnknownIdentity
from engine.rendering.portrait.finding import FinderFailed, FinderMissing, finder_python
from engine.training.identity.making import CONSENT, CannotMake, Request, begin, make
from engine.training.identity.page import PAGE
from engine.training.identity.video import BadVideo, check

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SIZES = range(128, 1025, 64)
PROBLEMS = (
    CannotMake,
    BadVideo,
    ConfigError,
    UnknownIdentity,
    FinderMissing,
    FinderFailed,
    OSError,
)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code."""
    options = _options(arguments)
    request = Request(
        video=options.video,
        name=options.name,
        base=options.base,
        size=options.size,
        out=options.out or Path(options.name),
        work=options.work or Path("runs") / f"identity-{options.name}",
        settings=tuple(options.settings),
    )
    try:
        check(request.video)
        finder_python()
        begin(request, lambda: options.consent or _asked(request.video), date.today().isoformat())
        print(f"progress: {request.work / PAGE}", flush=True)
        out = make(request, lambda line: print(line, flush=True))
    except FinderMissing as error:
        return _refuse(f"{error}; run `make portrait` once to have faces found")
    except PROBLEMS as error:
        return _refuse(str(error))
    print(f"{out} can sing: run_live.py --avatar {out} --renderer neural-lite")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m engine.training.identity",
        description=__doc__.splitlines()[0] if __doc__ else None,
    )
    parser.add_argument("video", type=Path, help="one face, from the front, singing or talking")
    parser.add_argument("--name", required=True, help="of the identity: letters, digits, - and _")
    parser.add_argument("--base", default="aria", help="the identity whose head is bent")
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the picture")
    parser.add_argument("--out", type=Path, help="folder of the pack; default: the name")
    parser.add_argument("--work", type=Path, help="folder of the work; default: runs/identity-NAME")
    parser.add_argument("--consent", action="store_true", help=f"confirms that {CONSENT}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="one value of the training, such as loop.steps=4000",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not NAME.fullmatch(options.name):
        parser.error(f"--name: expected letters, digits, - and _, got {options.name!r}")
    if options.size not in SIZES:
        parser.error(f"--size: expected a multiple of 64 from 128 to 1024, got {options.size}")
    return options


def _asked(video: Path) -> bool:
    """Ask a person who sits there; nobody who does not."""
    print(f"{video.name} shows a face. Portrait rights: confirm that {CONSENT}.", file=sys.stderr)
    if not sys.stdin.isatty():
        return False
    return input("yes or no? ").strip().lower() in ("y", "yes")


def _refuse(reason: str) -> int:
    print(f"cantar: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
