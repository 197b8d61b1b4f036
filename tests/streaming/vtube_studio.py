"""A stand-in for VTube Studio that holds plugins to every rule of its published API.

`Studio` is the rules alone: text and time in, text out. `serve` puts it behind a real WebSocket,
`announce` behind the UDP announcements. Whatever a plugin does against the rules is answered with
the error that the API names, and kept in `broken`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from tests.streaming.peers import repeating

FORGET = 1.0  # s after which a parameter that is not sent again goes back to its owner
MOST = 1_000_000.0
DEFAULTS = (
    "FacePositionX", "FacePositionY", "FacePositionZ", "FaceAngleX", "FaceAngleY", "FaceAngleZ",
    "MouthSmile", "MouthOpen", "Brows", "MousePositionX", "MousePositionY", "TongueOut",
    "EyeOpenLeft", "EyeOpenRight", "EyeLeftX", "EyeLeftY", "EyeRightX", "EyeRightY", "CheekPuff",
    "FaceAngry", "BrowLeftY", "BrowRightY", "MouthX", "VoiceVolume", "VoiceFrequency",
)  # fmt: skip


class Refusal(Exception):
    """An API error: its number (ErrorID.cs) and its message."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


@dataclass
class Session:
    """One connection."""

    plugin: str = ""  # whose session it is, once authenticated


@dataclass
class Studio:
    """The program. allow: what the user answers (None: the popup stays open)."""

    allow: bool | None = True
    active: bool = True
    defaults: tuple[str, ...] = DEFAULTS
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)  # token → name, developer
    custom: dict[str, str] = field(default_factory=dict)  # parameter → the plugin that made it
    held: dict[str, str] = field(default_factory=dict)  # parameter → another plugin that sets it
    values: dict[str, tuple[float, float]] = field(default_factory=dict)  # value, when it came
    weights: dict[str, float] = field(default_factory=dict)
    asked: int = 0  # popups shown
    broken: list[str] = field(default_factory=list)
    forgotten: int = 0  # times that a parameter was not sent again in time
    requests: Counter[str] = field(default_factory=Counter)

    def answer(self, text: str | bytes, session: Session, now: float) -> str | None:
        """The answer to one request; None while the user has not decided."""
        request: dict[str, Any] = {}
        try:
            request = self._checked(text)
            kind, data = request["messageType"], request.get("data")
            self.requests[kind] += 1
            made = self._made(kind, data, session, now)
        except Refusal as refusal:
            self.broken.append(f"{refusal.number} {refusal}")
            error = {"errorID": refusal.number, "message": str(refusal)}
            return _reply(request, "APIError", error)
        if made is None:
            return None
        return _reply(request, kind.removesuffix("Request") + "Response", made)

    # -- the envelope

    def _checked(self, text: str | bytes) -> dict[str, Any]:
        if isinstance(text, bytes):
            self.broken.append("binary messages are not recommended")
            text = text.decode("utf-8")
        try:
            request = json.loads(text)
        except ValueError:
            raise Refusal(2, "JSON invalid") from None
        if not isinstance(request, dict):
            raise Refusal(2, "JSON invalid")
        if not self.active:
            raise Refusal(1, "API access is deactivated")
        if request.get("apiName") != "VTubeStudioPublicAPI":
            raise Refusal(3, "apiName invalid")
        if request.get("apiVersion") != "1.0":
            raise Refusal(4, "apiVersion invalid")
        name = request.get("requestID", "x")
        if not (isinstance(name, str) and 1 <= len(name) <= 64 and name.isascii()):
            raise Refusal(5, "requestID invalid")
        if not request.get("messageType"):
            raise Refusal(6, "messageType missing")
        return request

    def _made(self, kind: str, data: Any, session: Session, now: float) -> dict[str, Any] | None:
        open_to_all = {
            "APIStateRequest": lambda: {"active": True},
            "AuthenticationTokenRequest": lambda: self._token(data),
            "AuthenticationRequest": lambda: self._authentication(data, session),
        }  # fmt: skip
        if kind in open_to_all:
            return open_to_all[kind]()
        known: dict[str, Callable[[], dict[str, Any]]] = {
            "InputParameterListRequest": self._list,
            "ParameterCreationRequest": lambda: self._creation(data, session),
            "InjectParameterDataRequest": lambda: self._injection(data, session, now),
        }
        if kind not in known:
            raise Refusal(7, f"messageType unknown: {kind}")
        if not session.plugin:
            raise Refusal(8, "this request requires authentication")
        if session.plugin not in {name for name, _ in self.tokens.values()}:
            raise Refusal(50, "User has revoked API access for your plugin.")
        return known[kind]()

    # -- authentication

    def _token(self, data: Any) -> dict[str, Any] | None:
        name, developer = data.get("pluginName"), data.get("pluginDeveloper")
        if not (isinstance(name, str) and 3 <= len(name) <= 32):
            raise Refusal(52, "pluginName must have 3 to 32 characters")
        if not (isinstance(developer, str) and 3 <= len(developer) <= 32):
            raise Refusal(53, "pluginDeveloper must have 3 to 32 characters")
        self.asked += 1
        if self.allow is None:
            return None
        if not self.allow:
            raise Refusal(50, "User has denied API access for your plugin.")
        token = f"token-{len(self.tokens) + 1}-of-{self.asked}"
        self.tokens[token] = (name, developer)
        return {"authenticationToken": token}

    def _authentication(self, data: Any, session: Session) -> dict[str, Any]:
        for number, key in enumerate(("authenticationToken", "pluginName", "pluginDeveloper"), 100):
            if not data.get(key):
                raise Refusal(number, f"{key} is missing")
        who = (data["pluginName"], data["pluginDeveloper"])
        fits = self.tokens.get(data["authenticationToken"]) == who
        session.plugin = data["pluginName"] if fits else ""
        return {"authenticated": fits, "reason": "Token valid." if fits else "Token invalid."}

    # -- parameters

    def _list(self) -> dict[str, Any]:
        def listed(name: str, by: str) -> dict[str, Any]:
            return {"name": name, "addedBy": by, "value": 0, "min": -1, "max": 1, "defaultValue": 0}

        return {
            "modelLoaded": False, "modelName": "", "modelID": "",
            "customParameters": [listed(name, by) for name, by in self.custom.items()],
            "defaultParameters": [listed(name, "VTube Studio") for name in self.defaults],
        }  # fmt: skip

    def _creation(self, data: Any, session: Session) -> dict[str, Any]:
        name = data.get("parameterName")
        if not (isinstance(name, str) and 4 <= len(name) <= 32 and name.isalnum()):
            raise Refusal(350, "parameterName must be alphanumeric, 4 to 32 characters")
        if not all(_is_number(data.get(key)) for key in ("min", "max", "defaultValue")):
            raise Refusal(351, "min, max and defaultValue must be numbers")
        if self.custom.get(name, session.plugin) != session.plugin:
            raise Refusal(352, "created by another plugin")
        if len(data.get("explanation", "")) >= 256:
            raise Refusal(353, "explanation too long")
        if name in DEFAULTS:
            raise Refusal(354, "that is the name of a default parameter")
        own = sum(by == session.plugin for by in self.custom.values())
        if name not in self.custom and own >= 100:
            raise Refusal(355, "at most 100 custom parameters for a plugin")
        if name not in self.custom and len(self.custom) >= 300:
            raise Refusal(356, "at most 300 custom parameters in all")
        self.custom[name] = session.plugin
        return {"parameterName": name}

    def _injection(self, data: Any, session: Session, now: float) -> dict[str, Any]:
        values = data.get("parameterValues")
        if not values:
            raise Refusal(450, "no data provided")
        if data.get("mode", "set") not in ("set", "add"):
            raise Refusal(455, "mode unknown")
        if type(data.get("faceFound", False)) is not bool:
            raise Refusal(450, "faceFound must be true or false")
        for value in values:
            if not _is_number(value.get("value")):
                raise Refusal(451, f"value invalid: {value}")
            if not (_is_number(value.get("weight", 1)) and 0 <= value.get("weight", 1) <= 1):
                raise Refusal(452, f"weight invalid: {value}")
            if value.get("id") not in self.defaults and value.get("id") not in self.custom:
                raise Refusal(453, f"parameter {value.get('id')} not found")
            if data.get("mode", "set") == "set" and value["id"] in self.held:
                raise Refusal(454, f"{value['id']} is controlled by {self.held[value['id']]}")
        for value in values:
            _, before = self.values.get(value["id"], (0.0, now))
            self.forgotten += now - before > FORGET
            self.values[value["id"]] = (float(value["value"]), now)
            self.weights[value["id"]] = value.get("weight", 1)
        return {}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MOST


def _reply(request: dict[str, Any], kind: str, data: dict[str, Any]) -> str:
    return json.dumps({
        "apiName": "VTubeStudioPublicAPI", "apiVersion": "1.0", "timestamp": 1625405710728,
        "messageType": kind, "requestID": request.get("requestID", "made-up"), "data": data,
    })  # fmt: skip


# ---- behind real sockets ------------------------------------------------------------------------


@dataclass
class Served:
    """A studio behind a WebSocket."""

    studio: Studio
    port: int
    connections: list[ServerConnection] = field(default_factory=list)
    injected: threading.Event = field(default_factory=threading.Event)

    def hang_up(self) -> None:
        """As when VTube Studio is closed."""
        for connection in self.connections:
            connection.close()


@contextmanager
def serving(studio: Studio, port: int = 0) -> Iterator[Served]:
    lock = threading.Lock()

    def talk(connection: ServerConnection) -> None:
        session = Session()
        served.connections.append(connection)
        try:
            for text in connection:
                with lock:
                    answer = studio.answer(text, session, time.monotonic())
                if answer is not None:
                    connection.send(answer)
                if studio.values:
                    served.injected.set()
        except ConnectionClosed:
            pass

    with serve_websocket(talk, "127.0.0.1", port, compression=None) as server:
        served = Served(studio, server.socket.getsockname()[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            served.hang_up()
            server.shutdown()
            thread.join()


def announcement(port: int, active: bool = True) -> bytes:
    """What VTube Studio sends to UDP 47779 every two seconds."""
    return json.dumps({
        "apiName": "VTubeStudioPublicAPI", "apiVersion": "1.0", "timestamp": 1630159656406,
        "messageType": "VTubeStudioAPIStateBroadcast",
        "requestID": "VTubeStudioAPIStateBroadcast",
        "data": {"active": active, "port": port, "instanceID": "93aa0d0494304fddb057ae8a295c4e59",
                 "windowTitle": "VTube Studio"},
    }).encode()  # fmt: skip


@contextmanager
def announcing(text: bytes, port: int) -> Iterator[None]:
    """Announce, faster than the real one does."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        repeating(lambda _: mouth.sendto(text, ("127.0.0.1", port)), 0.02),
    ):
        yield
