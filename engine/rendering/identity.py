"""Identity packs: one folder per avatar, `identity.yaml` read strictly."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

IDENTITIES = Path(__file__).resolve().parents[1] / "identities"
RENDERERS = ("head", "neural", "portrait", "puppet")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class UnknownIdentity(ValueError):  # noqa: N818
    """No identity of that name or path; the message offers the nearest name."""


class BadIdentity(ValueError):  # noqa: N818
    """An identity.yaml that does not say what it must; the message names file and key."""


@dataclass(frozen=True)
class Palette:
    """Colours of one character, each `#rrggbb`."""

    hair_light: str
    hair: str
    hair_deep: str
    hair_tip: str
    hair_line: str
    hair_shine: str
    brow: str
    skin: str
    skin_shade: str
    skin_line: str
    blush: str
    lip: str
    mouth: str
    tongue: str
    lash: str
    eye_dark: str
    eye: str
    eye_light: str
    outfit: str
    outfit_dark: str
    outfit_line: str
    collar: str
    trim: str
    shirt: str
    accent: str
    headset: str
    glow: str
    scene_top: str
    scene_bottom: str
    scene_light: str


@dataclass(frozen=True)
class PuppetLook:
    """Proportions of the drawn character. hair: `long` or `short`; outfit: `sailor` or `hoodie`.

    The others are factors around 1: how tall the eyes are, how thick lashes and brows, how strong
    the blush, how square the jaw, how wide neck and shoulders.
    """

    hair: str = "long"
    outfit: str = "sailor"
    eye_height: float = 1.0
    eye_width: float = 1.0
    lash: float = 1.0
    brow: float = 1.0
    blush: float = 1.0
    jaw: float = 1.0
    neck: float = 1.0
    shoulders: float = 1.0


CHOICES = {"hair": ("long", "short"), "outfit": ("sailor", "hoodie")}


@dataclass(frozen=True)
class Identity:
    """One avatar. folder: where its pack lies. renderers: those that can draw it.

    palette and puppet are None for an identity without a puppet; assets: further files of the pack,
    relative to the folder, by what they are for.
    """

    name: str
    title: str
    renderers: tuple[str, ...]
    origin: str
    licence: str
    folder: Path
    palette: Palette | None = None
    puppet: PuppetLook | None = None
    assets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


KEYS = tuple(f.name for f in fields(Identity) if f.name != "folder")
REQUIRED = ("name", "title", "renderers", "origin", "licence")


def list_identities(root: Path = IDENTITIES) -> list[str]:
    """Names of the identities under a folder, sorted."""
    return sorted(path.parent.name for path in root.glob("*/identity.yaml"))


def load_identity(name_or_path: str | Path) -> Identity:
    """Load a shipped identity by name, or a user's by the path of its folder.

    Raises UnknownIdentity when there is none, BadIdentity when its yaml is wrong.
    """
    shipped = IDENTITIES / str(name_or_path)
    if str(name_or_path) in list_identities():
        return read_identity(shipped / "identity.yaml")
    path = Path(name_or_path).expanduser()
    if path.name != "identity.yaml":
        path = path / "identity.yaml"
    if path.is_file():
        return read_identity(path)
    names = list_identities()
    near = difflib.get_close_matches(str(name_or_path), names, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UnknownIdentity(
        f"no identity {str(name_or_path)!r}: neither a shipped name ({', '.join(names)}) "
        f"nor a folder with an identity.yaml{hint}"
    )


def read_identity(path: Path) -> Identity:
    """Read one identity.yaml. Raises BadIdentity naming the file and the key."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadIdentity(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadIdentity(f"{path}: must be a mapping of keys, got {type(data).__name__}")
    _keys(path, "", data, KEYS, REQUIRED)
    for key in ("name", "title", "origin", "licence"):
        _require(path, key, isinstance(data[key], str) and bool(data[key]), "some text", data[key])
    return Identity(
        name=data["name"],
        title=data["title"],
        renderers=_renderers(path, data),
        origin=data["origin"],
        licence=data["licence"],
        folder=path.parent,
        palette=_palette(path, data["palette"]) if "palette" in data else None,
        puppet=_look(path, data["puppet"]) if "puppet" in data else None,
        assets=_assets(path, data.get("assets", {})),
    )


def _renderers(path: Path, data: dict[str, Any]) -> tuple[str, ...]:
    names = data["renderers"]
    _require(path, "renderers", isinstance(names, list) and bool(names), "a list of names", names)
    for name in names:
        _require(path, "renderers", name in RENDERERS, f"one of {', '.join(RENDERERS)}", name)
    for needed in ("palette", "puppet"):
        if "puppet" in names and needed not in data:
            raise BadIdentity(f"{path}: the puppet renderer needs the key {needed!r}")
    return tuple(names)


def _palette(path: Path, data: Any) -> Palette:
    names = tuple(f.name for f in fields(Palette))
    _keys(path, "palette.", data, names, names)
    for key, value in data.items():
        good = isinstance(value, str) and COLOUR.fullmatch(value) is not None
        _require(path, f"palette.{key}", good, "a colour '#rrggbb' in quotes", value)
    return Palette(**data)


def _look(path: Path, data: Any) -> PuppetLook:
    names = tuple(f.name for f in fields(PuppetLook))
    _keys(path, "puppet.", data, names, ())
    for key, value in data.items():
        if key in CHOICES:
            _require(path, f"puppet.{key}", value in CHOICES[key], " or ".join(CHOICES[key]), value)
        else:
            good = isinstance(value, int | float) and 0.3 <= value <= 3.0
            _require(path, f"puppet.{key}", good, "a factor from 0.3 to 3", value)
    return PuppetLook(**data)


def _assets(path: Path, data: Any) -> Mapping[str, str]:
    good = isinstance(data, dict) and all(isinstance(v, str) for kv in data.items() for v in kv)
    _require(path, "assets", good, "a mapping from purpose to file name", data)
    return MappingProxyType(dict(data))


def _keys(
    path: Path, prefix: str, data: Any, known: tuple[str, ...], required: tuple[str, ...]
) -> None:
    if not isinstance(data, dict):
        raise BadIdentity(f"{path}: {prefix[:-1]} must be a mapping, got {type(data).__name__}")
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
            raise BadIdentity(f"{path}: unknown key {prefix}{key}; did you mean {prefix}{near[0]}?")
    for key in required:
        if key not in data:
            raise BadIdentity(f"{path}: the key {prefix}{key} is missing")


def _require(path: Path, key: str, good: bool, expected: str, got: Any) -> None:
    if not good:
        raise BadIdentity(f"{path}: {key} must be {expected}, got {got!r}")
