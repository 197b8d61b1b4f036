"""A user's own VRM models for `/stage?model=NAME`, and the libraries a page draws them with.

three.js and three-vrm (both MIT) come from npm, pinned by their hashes in `web/package-lock.json`;
`make stage` fetches them. What a request asks for is only ever compared with the names in one
folder: no part of it becomes part of a path.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from aiohttp import web

from streaming.answers import WEB, Handler, Refused
from streaming.ports import UserError
from streaming.userfolder import config_folder
from streaming.vrmfile import check_vrm

LIBRARIES = WEB / "node_modules"
SCRIPTS = (
    "three/build/three.module.min.js",
    "three/build/three.core.min.js",
    "three/examples/jsm/loaders/GLTFLoader.js",
    "three/examples/jsm/utils/BufferGeometryUtils.js",
    "@pixiv/three-vrm/lib/three-vrm.module.min.js",
)
FETCH = "run `make stage` once (without make: npm ci --ignore-scripts --prefix streaming/web)"
MOST_MB = 200  # of one model
MOST_TOLD = 10  # names of models in a refusal


class Models:
    """The models of one folder, looked through anew for each request."""

    def __init__(self, folder: str = "") -> None:
        """folder: `models` in the user's own folder if empty. It need not exist."""
        self.folder = Path(folder).expanduser() if folder else config_folder() / "models"

    def names(self) -> list[str]:
        """Of all plain files that are called models; links lead elsewhere and are none."""
        try:
            with os.scandir(self.folder) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if entry.name.lower().endswith(".vrm") and entry.is_file(follow_symlinks=False)
                )
        except OSError:
            return []

    def find(self, name: str) -> Path:
        """Where the model of this name is. Raises Refused, and UserError for what is no VRM."""
        names = self.names()
        if name not in names:
            there = f"there are {', '.join(names[:MOST_TOLD])}" if names else "there is none yet"
            raise Refused(
                404, f"no such model in its folder (`run_live.py doctor` says where): {there}"
            )
        path = self.folder / name
        if path.stat().st_size > MOST_MB * 1_000_000:
            raise UserError(f"{name} is larger than {MOST_MB} MB; give it smaller textures")
        check_vrm(path)
        return path


def libraries_there() -> bool:
    """Whether `make stage` was run."""
    return all((LIBRARIES / script).is_file() for script in SCRIPTS)


def check_libraries() -> None:
    """Raise Refused unless a page can draw models."""
    if not libraries_there():
        raise Refused(501, f"nothing is here yet to draw a VRM model with: {FETCH}")


async def answer_model(models: Models, request: web.Request) -> web.StreamResponse:
    """A model as it is, for a page that draws it."""
    check_libraries()
    loop = asyncio.get_running_loop()
    path = await loop.run_in_executor(None, models.find, request.match_info["name"])
    return web.FileResponse(path, headers={"Content-Type": "model/gltf-binary"})


def serve_libraries(app: web.Application) -> None:
    """Add the scripts, each at `/vendor/` and its own path."""
    for script in SCRIPTS:
        app.router.add_get(f"/vendor/{script}", _script(LIBRARIES / script))


def _script(path: Path) -> Handler:
    """Answers with one file, which may be fetched while the server runs."""

    async def answer(request: web.Request) -> web.StreamResponse:
        check_libraries()
        return web.FileResponse(path, headers={"Content-Type": "text/javascript"})

    return answer
