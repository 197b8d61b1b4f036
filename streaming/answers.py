"""What all answers of our HTTP servers have in common: errors as JSON, security headers, and pages
that are read at the start, so that no path of a request ever becomes the path of a file."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import web

from streaming.gate import Denied, Gate, Rate
from streaming.ports import UserError
from streaming.songs import TooLarge

log = logging.getLogger("cantar")

WEB = Path(__file__).parent / "web"
PAGES = {"/": "index.html", "/stage": "stage.html", "/control": "control.html"}
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
SMALL = 65536  # bytes: the most that a JSON body may have
MOST_WRONG = 20  # tokens a minute from one address that are not ours
BODY_S = 10.0  # s that a JSON body may take to come


def _import_map() -> str:
    """The hash of the one script that stands in a page: browsers read no import map from a file."""
    page = (WEB / "stage.html").read_text(encoding="utf-8")
    text = page.partition('<script type="importmap">')[2].partition("</script>")[0]
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


SECURITY = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'self' {_import_map()}; "
    "style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self' blob:; "  # blob: textures that a model brings along
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """Something that cannot be had: HTTP `status`, and when to ask again (seconds) if ever."""

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.retry_after = status, retry_after


def guarded(gate: Gate, failed: Callable[[int], object] = lambda status: None) -> Any:
    """Middleware: origin first; then errors as JSON, and the headers that every answer carries.

    failed: called with the HTTP status of each answer that is an error. Who shows a wrong token or
    pass too often is not even asked for it for a while: one at a time, tokens could be guessed.
    """
    wrong = Rate(MOST_WRONG, 60, time.monotonic)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        shared: dict[str, str] = {}
        try:
            gate.check_origin(request.headers)
            if "Authorization" in request.headers or request.method == "POST":
                wrong.refuse_full(request.remote or "")
            shared = gate.sharing(request.headers)
            asked_before = request.method == "OPTIONS" and shared
            response = web.Response(status=204) if asked_before else await handler(request)
        except Denied as error:
            if error.status == 401:
                with suppress(Denied):
                    wrong.check(request.remote or "")
            response = error_answer(error.status, str(error), error.retry_after)
        except Refused as error:
            response = error_answer(error.status, str(error), error.retry_after)
        except (ValueError, TypeError) as error:
            response = error_answer(400, str(error))
        except UserError as error:
            response = error_answer(422, str(error))
        except TooLarge as error:
            response = error_answer(413, str(error))
        except TimeoutError:
            response = error_answer(408, "the request took too long to come")
        except ConnectionError as error:
            response = error_answer(503, str(error), 30)
        except web.HTTPException as error:
            response = error_answer(error.status, error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Exception:  # a bug: its traceback is for the log, not for the network
            log.exception("a request failed")
            response = error_answer(500, "something went wrong here; the log says what")
        if response.status >= 400:
            failed(response.status)
        if not response.prepared:
            response.headers.update(SECURITY | shared)
        return response

    return guard


def error_answer(status: int, reason: str, retry_after: int | None = None) -> web.Response:
    response = web.json_response({"error": reason}, status=status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object. Raises ValueError, TooLarge, TimeoutError, and 415."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    if (request.content_length or 0) > SMALL:
        raise TooLarge(f"a request may have at most {SMALL} bytes")
    async with asyncio.timeout(BODY_S):
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"a request may have at most {SMALL} bytes") from None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


def serve_pages(app: web.Application, pages: dict[str, str] | None = None) -> None:
    """Add `pages` (path → file of `web/`; all by default) and everything that they load."""
    files = {path.name: path for path in sorted(WEB.iterdir()) if path.suffix in TYPES}
    named = {f"/{name}": name for name in files} | (PAGES if pages is None else pages)
    for path, name in named.items():
        app.router.add_get(path, _page(files[name].read_bytes(), TYPES[files[name].suffix]))


def _page(body: bytes, kind: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer
