"""The page and its HTTP API: aiohttp in front of `Sessions`.

    GET  /  /stage            pages            POST   /offer          offer → answer, session
    GET  /config              what there is    PATCH  /sessions/ID    another avatar, style, scene
    GET  /avatars/NAME.png    portraits        DELETE /sessions/ID    the end
    POST /login               token → pass     POST   /songs          a file → {song, seconds}
    GET  /motion              WebSocket: PCM in, motion out (`motionsocket.py`)
    GET  /models/NAME  /vendor/…  a user's VRM models, what draws them in a page (`models.py`)
    GET  /control  /direction a page that directs all shows, and what it asks for: PATCH /direction
    GET  /healthz /readyz /metrics

Every error is JSON, `{"error": "…"}`, with its HTTP code (`answers.py`).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from engine.avatar import open_renderer
from engine.motion.resting import neutral
from engine.rendering.identity import list_identities, load_identity
from streaming.answers import (
    SMALL,
    Refused,
    error_answer,
    guarded,
    read_json,
    serve_pages,
)
from streaming.casts import Wings
from streaming.control import REQUESTS, STYLES, direction_of
from streaming.gate import Gate, Rate
from streaming.line import ShowConfig
from streaming.meters import ShowCollector
from streaming.models import FETCH, Models, answer_model, libraries_there, serve_libraries
from streaming.motionlane import NAMES
from streaming.motionsocket import Motions
from streaming.ports import Source, UserError
from streaming.schemes import open_source
from streaming.sessions import Sessions
from streaming.songs import Songs, TooLarge
from streaming.tuning import keep_to_ports, set_bitrates
from streaming.webrtc import BadOffer
from streaming.wish import OWN, Wish

log = logging.getLogger("cantar")
wire = logging.getLogger(
    "cantar.wire"
)  # what is no HTTP at all: anybody could fill the log with it
wire.setLevel(logging.CRITICAL)

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LOADING_S = 10.0  # s that a show may wait for the first singer
UPLOAD_S = 300.0  # s that a song may take
IDLE_S = 15.0  # s that a connection may take for a request's head, or be idle
LINGER_S = 2.0  # s that the rest of a refused body is taken, so that its sender reads why
PORTRAIT = 512  # pixels


@dataclass(frozen=True)
class Address:
    """Where to serve. token: needed on any host but loopback. cert, key: files, for HTTPS."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"--serve: the port must be 0 to 65535, got {self.port}")
        if not self.on_loopback and not self.token:
            raise UserError(
                f"--serve {self.host}: anyone in the network could sing here; give --token T"
            )
        if (self.cert is None) != (self.key is None):
            raise UserError("--tls-cert and --tls-key belong together; give both")

    @property
    def on_loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.cert else 'http'}://{host}:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, or None without a certificate. Raises UserError for unusable files."""
        if self.cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise UserError(f"--tls-cert {self.cert}: {error}") from None
        return context


class Server:
    """The application. `opened` is set when the first singer is ready, or cannot be: `failure`."""

    def __init__(
        self, config: ShowConfig, token: str | None = None, wings: Wings | None = None
    ) -> None:
        self.config = config
        self.gate = Gate(token, time.time, config.web.origins)
        self.songs = Songs(config.web.upload_mb)
        self.sessions = Sessions(config, open_song=self._open_song, wings=wings)
        self.models = Models(config.web.models)
        self.motions = Motions(config, busy=lambda: len(self.sessions) > 0)
        self.opened = asyncio.Event()
        self.errors: Counter[int] = Counter()  # answers by HTTP status
        self.failure: Exception | None = None
        self._portraits: dict[str, bytes] = {}
        self._drawing = asyncio.Lock()
        clock = time.monotonic
        self._rates = {
            "offer": Rate(config.web.offers_per_minute, 60, clock), "login": Rate(10, 60, clock),
            "song": Rate(20, 60, clock), "motion": Rate(30, 60, clock),
            "model": Rate(60, 60, clock), "direction": Rate(REQUESTS, 60, clock),
        }  # fmt: skip
        self._metrics = CollectorRegistry()
        self._metrics.register(ShowCollector(self.sessions, self.errors, self.motions))

    def app(self) -> web.Application:
        """The routes; `opened` follows once the application has started."""
        guard = guarded(self.gate, self._failed)
        app = web.Application(middlewares=[guard], client_max_size=SMALL)
        serve_pages(app)
        serve_libraries(app)
        routes = app.router
        routes.add_get("/config", self._config)
        routes.add_get("/avatars/{name}.png", self._portrait)
        routes.add_post("/login", self._login)
        routes.add_post("/ticket", self._ticket)
        routes.add_post("/offer", self._offer)
        routes.add_patch("/sessions/{id}", self._change)
        routes.add_delete("/sessions/{id}", self._end)
        routes.add_get("/direction", self._asked)
        routes.add_patch("/direction", self._direct)
        routes.add_post("/songs", self._song)
        routes.add_get("/motion", self._motion)
        routes.add_get("/models/{name}", self._model)
        routes.add_get("/healthz", self._healthz)
        routes.add_get("/readyz", self._readyz)
        routes.add_get("/metrics", self._show_metrics)
        app.on_shutdown.append(self._hang_up)
        app.cleanup_ctx.append(self._lifetime)
        return app

    async def _hang_up(self, app: web.Application) -> None:
        """Sockets are open for as long as they like: they must not hold up the end."""
        self.motions.close()

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        opening = asyncio.ensure_future(self._open())
        yield
        await asyncio.gather(opening, return_exceptions=True)
        await self.sessions.close()
        self.songs.close()

    async def _open(self) -> None:
        try:
            await self.sessions.open()
        except Exception as error:  # whatever an avatar raises: `_serve` ends with it
            self.failure = error
        self.opened.set()

    # -- every request

    def _failed(self, status: int) -> None:
        self.errors[status] += 1

    def _let_in(self, request: web.Request, kind: str) -> None:
        """Raise Denied for too many requests of a kind, or one without a pass."""
        self._rates[kind].check(request.remote or "")
        self.gate.check_pass(request.headers)

    # -- what there is

    async def _config(self, request: web.Request) -> web.Response:
        """What a page needs to know before it asks for a show."""
        self.gate.check_pass(request.headers)
        identities = {name: load_identity(name) for name in list_identities()}
        if self.config.avatar not in identities:  # a folder or a picture: no page learns where
            identities = {OWN: load_identity(self.config.avatar), **identities}
        renderer = self.config.renderer
        return web.json_response(
            {
                "avatars": [
                    {"name": name, "title": x.title, "renderers": x.renderers}
                    for name, x in identities.items()
                ],
                "styles": STYLES,
                "avatar": OWN if OWN in identities else self.config.avatar,
                "style": self.config.style,
                "renderer": renderer.name,
                "background": renderer.background,
                "width": renderer.width,
                "height": renderer.height,
                "lookahead": self.config.lookahead,
                "iceServers": self.config.web.ice_servers,
                "uploadMb": self.config.web.upload_mb,
                "capacity": self.sessions.capacity,
                "sessions": len(self.sessions),
                "motion": NAMES,
            }
        )

    async def _portrait(self, request: web.Request) -> web.Response:
        """An avatar at rest, with a transparent background."""
        asked = request.match_info["name"]
        name = self.config.avatar if asked == OWN else asked
        if asked not in (OWN, *list_identities()):
            raise web.HTTPNotFound
        async with self._drawing:
            if name not in self._portraits:
                draw = functools.partial(_portrait, self.config, name)
                loop = asyncio.get_running_loop()
                self._portraits[name] = await loop.run_in_executor(None, draw)
        return web.Response(body=self._portraits[name], content_type="image/png")

    async def _healthz(self, request: web.Request) -> web.Response:
        if self.failure is not None:
            return error_answer(500, f"no avatar can sing: {self.failure}")
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        """Whether another show would be let in."""
        if not self.opened.is_set() or self.sessions.draining:
            return error_answer(503, "not now", 5)
        if len(self.sessions) >= self.sessions.capacity:
            return error_answer(503, "all places are taken", 30)
        return web.json_response({"status": "ready"})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        self.gate.check_pass(request.headers)
        body = generate_latest(self._metrics)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    # -- who may

    async def _login(self, request: web.Request) -> web.Response:
        self._rates["login"].check(request.remote or "")
        body = await read_json(request)
        return web.json_response({"pass": self.gate.login(body.get("token"))})

    async def _ticket(self, request: web.Request) -> web.Response:
        self._let_in(request, "motion")
        return web.json_response({"ticket": self.gate.ticket()})

    # -- shows

    async def _offer(self, request: web.Request) -> web.Response:
        self._let_in(request, "offer")
        body = await read_json(request)
        sdp, kind = body.pop("sdp", None), body.pop("type", None)
        if kind != "offer" or not isinstance(sdp, str):
            raise BadOffer('expected {"type": "offer", "sdp": "…"}')
        await self._ready()
        known = body.pop("session", None)
        if known is not None:
            session, answer = await self.sessions.resume(str(known), sdp)
        else:
            session, answer = await self.sessions.offer(sdp, _wish(body))
        made = {"sdp": answer, "type": "answer", "session": session.id}
        place = {"Location": f"/sessions/{session.id}"}
        return web.json_response(made, status=201, headers=place)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(LOADING_S):
                await self.opened.wait()
        except TimeoutError:
            raise Refused(503, "the avatar is still getting ready", retry_after=5) from None
        if self.failure is not None:
            raise Refused(500, f"no avatar can sing: {self.failure}")

    async def _change(self, request: web.Request) -> web.Response:
        self._let_in(request, "offer")
        wish = _wish(await read_json(request))
        await self.sessions.change(request.match_info["id"], wish)
        return web.Response(status=204)

    async def _end(self, request: web.Request) -> web.Response:
        self.gate.check_pass(request.headers)
        if not await self.sessions.end(request.match_info["id"]):
            raise Refused(404, "that show is over")
        return web.Response(status=204)

    async def _asked(self, request: web.Request) -> web.Response:
        self._let_in_operator(request)
        return web.json_response(direction_of(self.sessions.direction))

    async def _direct(self, request: web.Request) -> web.Response:
        """All shows that run, and those to come, as somebody in the control room asks."""
        self._let_in_operator(request)
        self.sessions.direct(await read_json(request))
        return web.json_response(direction_of(self.sessions.direction))

    def _let_in_operator(self, request: web.Request) -> None:
        """Raise Denied for whoever has but a pass: that is for a show of one's own."""
        self._rates["direction"].check(request.remote or "")
        self.gate.check_token(request.headers)

    async def _song(self, request: web.Request) -> web.Response:
        self._let_in(request, "song")
        if (request.content_length or 0) > self.config.web.upload_mb * 1_000_000:
            raise TooLarge(f"a song may have at most {self.config.web.upload_mb} MB")
        if not request.body_exists:
            raise ValueError("expected a sound file as the body")
        async with asyncio.timeout(UPLOAD_S):
            song = await self.songs.take(request.content.iter_chunked(SMALL))
        return web.json_response({"song": song.id, "seconds": song.seconds}, status=201)

    def _open_song(self, wish: Wish) -> Source:
        if wish.input == "demo":
            source = open_source("demo")
            assert isinstance(source, Source)
            return source
        return self.songs.open(wish.song or "")

    async def _motion(self, request: web.Request) -> web.StreamResponse:
        self._rates["motion"].check(request.remote or "")
        if self.gate.needs_token:
            self.gate.check_ticket(request.query.get("ticket", ""))
        await self._ready()
        return await self.motions.answer(request)

    async def _model(self, request: web.Request) -> web.StreamResponse:
        self._let_in(request, "model")
        return await answer_model(self.models, request)


def _wish(body: dict[str, Any]) -> Wish:
    known = Wish.__dataclass_fields__
    unknown = [name for name in body if name not in known]
    if unknown:
        raise ValueError(f"{unknown[0]}: unknown key; known here: {', '.join(known)}")
    return Wish(**body)


def _portrait(config: ShowConfig, name: str) -> bytes:
    """An avatar at rest as PNG, [512, 512, 4]."""
    look = replace(config.renderer, width=PORTRAIT, height=PORTRAIT, background="transparent")
    picture = open_renderer(replace(config, avatar=name, renderer=look)).draw(neutral(0))
    _, png = cv2.imencode(".png", cv2.cvtColor(picture.rgba, cv2.COLOR_RGBA2BGRA))
    return png.tobytes()


# ---- running it ---------------------------------------------------------------------------------


def serve(config: ShowConfig, address: Address, say: Callable[[str], None] = print) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code. Raises UserError, e.g. for a port that
    is taken. `say` gets the line that tells where."""
    return asyncio.run(_serve(config, address, say))


@asynccontextmanager
async def opened(
    config: ShowConfig, address: Address, wings: Wings | None = None
) -> AsyncIterator[tuple[Server, Address]]:
    """A server that answers at once (the first show waits until a singer is loaded), and where.

    Port 0 picks a free one. wings: where its singers come from, if not `prepare`d here.
    Raises UserError for a port or a certificate that cannot be used.
    """
    tls = address.tls()
    set_bitrates(config.web.kbps, config.web.kbps_least, config.web.kbps_most)
    ports = config.web.port_range()
    if ports is not None:
        keep_to_ports(asyncio.get_running_loop(), *ports)
    server = Server(config, address.token, wings)
    runner = web.AppRunner(
        server.app(), access_log=None, keepalive_timeout=IDLE_S, lingering_time=LINGER_S,
        shutdown_timeout=LINGER_S, logger=wire,
    )  # fmt: skip
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or error
            another = "another port: --serve PORT"
            raise UserError(f"cannot serve at {address.url}: {reason}; {another}") from None
        yield server, replace(address, port=runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _serve(config: ShowConfig, address: Address, say: Callable[[str], None]) -> int:
    async with opened(config, address) as (server, bound):
        if server.models.names() and not libraries_there():
            log.warning("there are VRM models here, and nothing to draw them with: %s", FETCH)
        asked = asyncio.ensure_future(_until_signal(asyncio.get_running_loop()))
        await asyncio.sleep(0)  # now signals are heard: who is told where it is may stop it at once
        say(f"Cantar sings at {bound.url} (Ctrl-C ends it)")
        if not bound.on_loopback and not bound.cert:
            log.warning("without --tls-cert, browsers elsewhere give no microphone to this page")
        ready = asyncio.ensure_future(server.opened.wait())
        await asyncio.wait({asked, ready}, return_when=asyncio.FIRST_COMPLETED)
        if server.failure is not None:
            raise server.failure
        return await asked


async def _until_signal(loop: asyncio.AbstractEventLoop) -> int:
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if stopped.done():
            raise KeyboardInterrupt
        stopped.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, int(number))
    asked = await stopped
    return 0 if asked == signal.SIGTERM else 128 + asked
