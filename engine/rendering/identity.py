"""Identity packs: one folder per avatar, `identity.yaml` read strictly."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from engine.config import ConfigError, read

IDENTITIES = Path(__file__).resolve().parents[1] / "identities"
RENDERERS = ("head", "neural", "neural-lite", "portrait", "puppet")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")  # that sing by themselves
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
SMALLEST, LARGEST = 0.3, 3.0  # factors of a PuppetLook


class UnknownIdentity(ValueError):
    """No identity of that name or path; the message offers the nearest name."""


class BadIdentity(ValueError):
    """An identity.yaml that does not say what it must; the message names file and key."""


@dataclass(frozen=True)
class Palette:
    """Colours of one character, each `#rrggbb`; what a pack leaves out is Lumi's."""

    hair_light: str = "#ffc4da"
    hair: str = "#ff93bd"
    hair_deep: str = "#d765ab"
    hair_tip: str = "#7a4bb0"
    hair_line: str = "#6d2f6f"
    hair_shine: str = "#fff3f8"
    brow: str = "#a0447f"
    skin: str = "#ffeadd"
    skin_shade: str = "#f5b9a8"
    skin_line: str = "#a0524f"
    blush: str = "#ff7a86"
    lip: str = "#e0707c"
    mouth: str = "#7d1c33"
    tongue: str = "#f0808a"
    lash: str = "#3b1a3c"
    eye_dark: str = "#1d2a66"
    eye: str = "#2f86cf"
    eye_light: str = "#8ff0ee"
    outfit: str = "#3b4a8f"
    outfit_dark: str = "#232a5e"
    outfit_line: str = "#1d1b45"
    collar: str = "#f4f2ff"
    trim: str = "#4fd3dd"
    shirt: str = "#ffffff"
    accent: str = "#ff6fa5"
    headset: str = "#f1f2ff"
    glow: str = "#5ff0ea"
    scene_top: str = "#4a3f86"
    scene_bottom: str = "#17142f"
    scene_light: str = "#ff8fc6"

    def __post_init__(self) -> None:
        for f in fields(self):
            if not COLOUR.fullmatch(getattr(self, f.name)):
                raise ValueError(f"{f.name}: expected '#rrggbb', got {getattr(self, f.name)!r}")


@dataclass(frozen=True)
class PuppetLook:
    """Proportions of the drawn character: styles, and factors around 1.

    eye_height, eye_width: size of the eyes. lash, brow: thickness. blush: strength. jaw: how
    square. neck, shoulders: width.
    """

    hair: Literal["long", "short"] = "long"
    outfit: Literal["sailor", "hoodie"] = "sailor"
    eye_height: float = 1.0
    eye_width: float = 1.0
    lash: float = 1.0
    brow: float = 1.0
    blush: float = 1.0
    jaw: float = 1.0
    neck: float = 1.0
    shoulders: float = 1.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, str) and not SMALLEST <= value <= LARGEST:
                raise ValueError(f"{f.name}: expected {SMALLEST} to {LARGEST}, got {value}")


@dataclass(frozen=True)
class Pack:
    """What identity.yaml says. title: for people. renderers: those that can draw it. origin: where
    the looks come from. assets: further files of the pack by purpose, relative to its folder."""

    name: str
    title: str
    renderers: list
    origin: str
    licence: str
    palette: Palette = field(default_factory=Palette)
    puppet: PuppetLook = field(default_factory=PuppetLook)
    assets: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "title", "origin", "licence"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: expected some text")
        unknown = [name for name in self.renderers if name not in RENDERERS]
        if unknown or not self.renderers:
            raise ValueError(f"renderers: expected some of {', '.join(RENDERERS)}, got {unknown}")


@dataclass(frozen=True)
class Identity(Pack):
    """One avatar: its pack and the folder it lies in."""

    folder: Path = Path()


def list_identities(root: Path = IDENTITIES) -> list[str]:
    """Names of the identities under a folder, sorted."""
    return sorted(path.parent.name for path in root.glob("*/identity.yaml"))


def load_identity(name_or_path: str | Path) -> Identity:
    """Load a shipped identity by name, or a user's by the path of its folder or of one picture.

    Raises UnknownIdentity when there is none, BadIdentity when its yaml is wrong.
    """
    wanted, names = str(name_or_path), list_identities()
    if Path(wanted).suffix.lower() in PICTURES and wanted not in names:
        return _of_picture(Path(wanted).expanduser())
    folder = IDENTITIES / wanted if wanted in names else Path(wanted).expanduser()
    path = folder if folder.name == "identity.yaml" else folder / "identity.yaml"
    if path.is_file():
        return _read(path)
    near = difflib.get_close_matches(wanted, names, 1, 0.0)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UnknownIdentity(
        f"no identity {wanted!r}: neither a shipped name ({', '.join(names)}) "
        f"nor a folder with an identity.yaml{hint}"
    )


def _of_picture(path: Path) -> Identity:
    """The identity that one picture is: it has a portrait and nothing else."""
    if not path.is_file():
        raise UnknownIdentity(f"no picture {str(path)!r}")
    return Identity(
        name=path.name,
        title=path.stem,
        renderers=["portrait"],
        origin="a picture of the user's",
        licence="the user's own",
        assets={"portrait": path.name},
        folder=path.parent,
    )


def _read(path: Path) -> Identity:
    try:
        pack = read(Pack, path)
    except ConfigError as error:
        raise BadIdentity(str(error)) from None
    said = {f.name: getattr(pack, f.name) for f in fields(pack)}
    return Identity(**said, folder=path.parent)
