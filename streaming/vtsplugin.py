"""VTube Studio's public API 1.0 as a plugin speaks it. No socket and no clock: texts and the time
come in, texts go out.

    connected → (token asked once →) authenticated → parameters listed (→ ours made) → data, data …

The API is described at github.com/DenchiSoft/VTubeStudio. Every request is answered; a program that
answers slower than we send gets less, never a pile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.motion.blendshapes import ARKIT
from engine.motion.live2d import PARAMETERS, arkit_parameters, parameters
from engine.signals import Motion
from streaming.peers import PARTS, part_of

API = {"apiName": "VTubeStudioPublicAPI", "apiVersion": "1.0"}
NAME, DEVELOPER = "Cantar", "The Cantar project"  # 3 to 32 characters each
PREFIX = "Cantar"  # of parameters of our own
OWN = tuple(f"{PREFIX}{name[0].upper()}{name[1:]}" for name in ARKIT)  # at most 100 are allowed

KEEP = 0.5  # s after which unchanged data are sent again; after 1 s they would be forgotten
FADE = 0.5  # s in which we take a parameter over from whoever had it
UNDER_WAY = 8  # requests without an answer, beyond which no data are sent
PATIENCE = 10.0  # s that an answer may take (a person who is asked may take longer)
YIELD = 1.0  # s between attempts to take what another plugin holds

ACCESS_OFF, NEEDS_AUTHENTICATION, DENIED, ASKED_ALREADY = 1, 8, 50, 51
NO_SUCH_PARAMETER, HELD_BY_ANOTHER = 453, 454


class Lost(Exception):
    """This connection is of no use any more; another attempt may be."""


class Plugin:
    """One connection. token: to be kept for the next one; None when a new one must be asked for.

    refused: why the user does not want us; nothing is sent any more. ready: data may be sent.
    """

    def __init__(
        self,
        token: str | None,
        say: Callable[[str], None],
        *,
        only: Sequence[str] = PARTS,
        arkit: bool = False,
    ) -> None:
        self.token, self.refused, self.ready = token, "", False
        self._say, self._only, self._arkit = say, tuple(only), arkit
        self._under_way: dict[str, tuple[str, float]] = {}  # id → type, when it was sent
        self._number = 0
        self._allowed: tuple[str, ...] = ()  # parameters that exist and that we send
        self._missing: list[str] = []  # parameters of our own that must be made first
        self._motion: Motion | None = None
        self._sent_at = self._not_before = self._ready_at = 0.0
        self._said: set[int] = set()  # errors that were told

    # -- what the socket tells

    def connected(self, now: float) -> list[str]:
        return [self._authentication(now)]

    def received(self, text: str | bytes, now: float) -> list[str]:
        """Take an answer; return what is to be sent next. Raises Lost."""
        try:
            answer = json.loads(text)
            kind, data = str(answer["messageType"]), answer.get("data") or {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Lost("it does not speak VTube Studio's language") from None
        request, _ = self._under_way.pop(str(answer.get("requestID")), ("", 0.0))
        if kind == "APIError":
            return self._failed(request, int(data.get("errorID", -1)), data, now)
        handler = {
            "AuthenticationTokenResponse": self._given_token,
            "AuthenticationResponse": self._authenticated,
            "InputParameterListResponse": self._listed,
            "ParameterCreationResponse": self._created,
        }.get(kind)
        return handler(data, now) if handler else []

    def show(self, motion: Motion, now: float) -> list[str]:
        """A new motion: the data to send, if it is time. Raises Lost."""
        self._motion = motion
        self._check_patience(now)
        return self._data(now)

    def idle(self, now: float) -> list[str]:
        """No new motion: the last one again, before it would be forgotten. Raises Lost."""
        self._check_patience(now)
        return self._data(now) if now - self._sent_at >= KEEP else []

    # -- one step after the other

    def _authentication(self, now: float) -> str:
        who = {"pluginName": NAME, "pluginDeveloper": DEVELOPER}
        if self.token is None:
            self._say("it asks whether Cantar may move your model: press Allow there")
            return self._request("AuthenticationTokenRequest", now, who)
        return self._request(
            "AuthenticationRequest", now, {**who, "authenticationToken": self.token}
        )

    def _given_token(self, data: Mapping[str, Any], now: float) -> list[str]:
        self.token = str(data.get("authenticationToken", ""))
        return [self._authentication(now)]

    def _authenticated(self, data: Mapping[str, Any], now: float) -> list[str]:
        if data.get("authenticated") is not True:  # revoked, or of another installation
            self.token = None
            return [self._authentication(now)]
        return [self._request("InputParameterListRequest", now)]

    def _listed(self, data: Mapping[str, Any], now: float) -> list[str]:
        listed = [*data.get("defaultParameters", ()), *data.get("customParameters", ())]
        there = {str(parameter.get("name")) for parameter in listed if isinstance(parameter, dict)}
        wanted = [name for name in PARAMETERS if part_of(name) in self._only]
        own = [name for name in OWN if self._arkit and part_of(name) in self._only]
        self._missing = [name for name in own if name not in there]
        self._allowed = (*(name for name in wanted if name in there), *own)
        return self._next(now)

    def _created(self, data: Mapping[str, Any], now: float) -> list[str]:
        return self._next(now)

    def _next(self, now: float) -> list[str]:
        """Make the next missing parameter; with none missing, begin."""
        if self._missing:
            name = self._missing.pop()
            shape = name.removeprefix(PREFIX)
            made = {"parameterName": name, "explanation": f"Cantar: ARKit {shape}, 0 to 1"}
            range_ = {"min": 0, "max": 1, "defaultValue": 0}
            return [self._request("ParameterCreationRequest", now, {**made, **range_})]
        if not self.ready:
            self.ready, self._ready_at = True, now
        return []

    # -- data

    def _data(self, now: float) -> list[str]:
        if not self.ready or self._motion is None or not self._allowed or now < self._not_before:
            return []
        if len(self._under_way) >= UNDER_WAY:
            return []
        self._sent_at = now
        values = parameters(self._motion)
        if self._arkit:
            values |= arkit_parameters(self._motion, PREFIX)
        weight = min(1.0, (now - self._ready_at) / FADE)
        data = {
            "faceFound": True,
            "mode": "set",
            "parameterValues": [
                {"id": name, "value": values[name], "weight": round(weight, 3)}
                for name in self._allowed
            ],
        }
        return [self._request("InjectParameterDataRequest", now, data)]

    # -- what goes wrong

    def _failed(self, request: str, error: int, data: Mapping[str, Any], now: float) -> list[str]:
        if error == DENIED:
            self.token, self.ready = None, False
            self.refused = "it does not let Cantar in (denied there); the show goes on without it"
            return []
        if error == ACCESS_OFF:
            raise Lost("its plugin API is switched off (Settings: Start API (allow plugins))")
        if error == ASKED_ALREADY:
            raise Lost("it is asking for another plugin; answer that first")
        if error == NEEDS_AUTHENTICATION:
            raise Lost("it has forgotten who we are")
        if request == "AuthenticationRequest":
            raise Lost(_words(data))
        if error not in self._said:
            self._said.add(error)
            self._say(_complaint(error, data))
        if request == "ParameterCreationRequest":
            self._allowed = tuple(name for name in self._allowed if name not in OWN)
            self._missing = []
            return self._next(now)
        if request == "InjectParameterDataRequest":
            self._not_before = self._ready_at = now + YIELD
            if error == NO_SUCH_PARAMETER:
                return [self._request("InputParameterListRequest", now)]
        return []

    def _check_patience(self, now: float) -> None:
        for request, sent in self._under_way.values():
            if request != "AuthenticationTokenRequest" and now - sent > PATIENCE:
                raise Lost("it does not answer any more")

    def _request(self, kind: str, now: float, data: Mapping[str, Any] | None = None) -> str:
        self._number += 1
        name = f"cantar-{self._number}"
        self._under_way[name] = (kind, now)
        message: dict[str, Any] = {**API, "requestID": name, "messageType": kind}
        if data is not None:
            message["data"] = data
        return json.dumps(message, allow_nan=False)


def _complaint(error: int, data: Mapping[str, Any]) -> str:
    if error == HELD_BY_ANOTHER:
        return (
            f"another plugin holds parameters that Cantar would move ({_words(data)}); stop it, or "
            "send only some with vts://…?only=mouth"
        )
    return f"{_words(data)} (error {error})"


def _words(data: Mapping[str, Any]) -> str:
    return " ".join(str(data.get("message", "no reason given")).split())[:200]
