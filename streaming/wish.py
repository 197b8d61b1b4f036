"""What a page may choose of its show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.avatar import RendererConfig
from engine.rendering.identity import RENDERERS, list_identities
from streaming.control import check_style
from streaming.line import ShowConfig

OWN = "own"  # the avatar that the server was started with, whatever it is
UNDRAWN = "undrawn"  # the renderer's name where there is none


@dataclass(frozen=True)
class Wish:
    """What a page may choose. None: as the server is configured.

    input: `microphone`, `karaoke` (left channel voice, right channel backing), `demo`, or `song`
    with its id. matte: pictures with their alpha beside them. motion: no pictures but motion, for a
    page that draws an avatar of its own (`motionlane.py`).
    """

    input: str = "microphone"
    song: str | None = None
    avatar: str | None = None
    style: int | None = None
    background: str | None = None
    framing: str | None = None
    renderer: str | None = None
    matte: bool = False
    motion: bool = False

    def __post_init__(self) -> None:
        if self.input not in ("microphone", "karaoke", "demo", "song"):
            raise ValueError("input: expected microphone, karaoke, demo or song")
        if (self.input == "song") != isinstance(self.song, str):
            raise ValueError("song: expected the id of an uploaded song with input song")
        if self.avatar not in (None, OWN, *list_identities()):
            raise ValueError(f"avatar: expected one of {', '.join(list_identities())}, or {OWN}")
        if self.style is not None:
            check_style(self.style)
        if self.framing not in (None, "bust", "face"):
            raise ValueError("framing: expected bust or face")
        if self.renderer not in (None, *RENDERERS):
            raise ValueError(f"renderer: expected one of {', '.join(RENDERERS)}")
        for name in ("matte", "motion"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}: expected true or false")
        if self.matte and self.motion:
            raise ValueError("matte: a show of motion has no pictures")
        if self.background is not None:
            _check_background(self.background)

    def of(self, config: ShowConfig) -> ShowConfig:
        """The configuration of this wish."""
        look = {
            "background": self.background, "framing": self.framing, "name": self.renderer,
        }  # fmt: skip
        if self.matte:
            look["background"] = "transparent"
        who = {"avatar": None if self.avatar == OWN else self.avatar, "style": self.style}
        renderer = replace(config.renderer, **_given(look))
        if self.motion:
            renderer = RendererConfig(name=UNDRAWN)
        return replace(config, renderer=renderer, **_given(who))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _check_background(value: object) -> None:
    hexadecimal = "0123456789abcdefABCDEF"
    text = value if isinstance(value, str) else ""
    colour = len(text) == 7 and text[0] == "#" and all(c in hexadecimal for c in text[1:])
    if text not in ("scene", "transparent") and not colour:
        raise ValueError("background: expected scene, transparent or a colour as #rrggbb")
