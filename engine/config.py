"""The one reader of YAML: a file, then overrides, into frozen dataclasses. Strict.

An unknown key, a wrong type or a value that is not a choice is a ConfigError that names its path
and the nearest right spelling. The dataclasses themselves are the schema: their type hints say
what is accepted, their defaults what may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

PRESETS = Path(__file__).resolve().parents[1] / "configs"
T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used. The message names file and key."""


def read(cls: type[T], path: str | Path | None, overrides: Sequence[str] = ()) -> T:
    """Read `cls`, a dataclass, from a YAML file (None: all defaults), then apply overrides.

    path: a file, or the name of a preset in configs/. overrides: `renderer.backend=openvino`; the
    value is read as YAML. Later ones win. Raises ConfigError.
    """
    name = "the defaults" if path is None else str(path)
    data: Any = {} if path is None else _load(_find(str(path)))
    tree = {} if data is None else data
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected keys with values, got {_named(tree)}")
    show = _build(cls, tree, "", f"{name}: ")
    for override in overrides:
        tree = _with_override(cls, tree, override)
        show = _build(cls, tree, "", "")
    return show


def presets() -> list[str]:
    """Names of the shipped presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def _find(path: str) -> Path:
    preset = PRESETS / f"{path}.yaml"
    if path in presets():
        return preset
    if not Path(path).is_file():
        near = get_close_matches(path, presets(), 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; presets are {', '.join(presets())}"
        raise ConfigError(f"no such configuration: {path}{hint}")
    return Path(path)


class _Strict(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                line = node.value[index][0].start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: {key} is given twice")
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    return yaml.load(text, _Strict)


def _load(path: Path) -> Any:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {_one_line(error)}") from None


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())


# ---- overrides ----------------------------------------------------------------------------------


def _with_override(cls: type, tree: Mapping[str, Any], override: str) -> dict[str, Any]:
    """A copy of the tree with `a.b=value` set."""
    path, equals, text = override.partition("=")
    path = path.strip()
    if not equals or not path:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as renderer.width=640")
    if _hint_at(cls, path) is str and text[:1] not in ("'", '"'):
        return _planted(tree, path.split("."), text)  # so that #00ff00 is no comment
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: not a YAML value ({_one_line(error)})") from None
    return _planted(tree, path.split("."), value)


def _planted(tree: Any, keys: Sequence[str], value: Any) -> dict[str, Any]:
    branch = dict(tree) if isinstance(tree, Mapping) else {}
    if len(keys) == 1:
        return branch | {keys[0]: value}
    return branch | {keys[0]: _planted(branch.get(keys[0]), keys[1:], value)}


def _hint_at(cls: type, path: str) -> Any:
    """The type hint of a path's value; None for an unknown one, which `_build` refuses better.

    Raises ConfigError for a path that goes into a single value, or names a whole group.
    """
    hint: Any = cls
    for depth, key in enumerate(path.split(".")):
        if not is_dataclass(hint):
            parent = ".".join(path.split(".")[:depth])
            raise ConfigError(f"{path}: {parent} is a single value, not a group")
        hint = _hints(hint).get(key)
        if hint is None:
            return None
    if is_dataclass(hint):
        some = next(iter(_hints(hint)))
        raise ConfigError(f"{path}: is a group; set one of its values, such as {path}.{some}")
    return hint


# ---- checking -----------------------------------------------------------------------------------


def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls) if f.init}


def _build(cls: Any, tree: Mapping[Any, Any], prefix: str, where: str, root: Any = None) -> Any:
    """A dataclass from a tree of plain values; `prefix` is the path so far, with its dot."""
    root = root or cls
    known = _hints(cls)
    for key in tree:
        if key not in known:
            raise ConfigError(f"{where}{prefix}{key}: unknown key{_nearest(prefix, key, root)}")
    values = {
        key: _value(known[key], value, prefix + key, where, root) for key, value in tree.items()
    }
    for f in fields(cls):
        required = f.default is MISSING and f.default_factory is MISSING and f.init
        if required and f.name not in values:
            raise ConfigError(f"{where}{prefix}{f.name}: is missing")
    try:
        return cls(**values)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{where}{prefix.rstrip('.') or 'configuration'}: {error}") from None


def _value(hint: Any, value: Any, path: str, where: str, root: Any) -> Any:
    """A plain value as what a type hint asks for."""
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}{path}: expected a group of keys, got {_named(value)}")
        return _build(hint, value, f"{path}.", where, root)
    if _fits(hint, value):
        return float(value) if hint is float or _is_optional_float(hint, value) else value
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    near = get_close_matches(str(value), [str(choice) for choice in choices], 1, 0.5)
    suggestion = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{where}{path}: expected {_asked(hint)}, got {_named(value)}{suggestion}")


def _is_optional_float(hint: Any, value: Any) -> bool:
    return value is not None and float in get_args(hint) and not isinstance(value, str)


def _fits(hint: Any, value: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(arg, value) for arg in args)
    if origin is Literal:
        return any(type(value) is type(arg) and value == arg for arg in args)
    if hint is float:
        return type(value) in (int, float) and value == value and abs(value) != float("inf")
    return type(value) is hint


def _asked(hint: Any) -> str:
    """A type hint in the user's words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_asked(arg) for arg in args)
    if origin is Literal:
        return " or ".join(str(arg) for arg in args)
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return "null" if hint is NoneType else words.get(hint, getattr(hint, "__name__", str(hint)))


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value!r}"
    return "null" if value is None else f"{value}"


def _nearest(prefix: str, key: Any, root: Any) -> str:
    """`; did you mean renderer.backend?`: the same name elsewhere, or one spelt like it."""
    paths = _paths(root)
    same = [path for path in paths if path.rpartition(".")[2] == str(key)]
    beside = [path for path in paths if path.rpartition(".")[0] == prefix.rstrip(".")]
    near = get_close_matches(f"{prefix}{key}", beside, 1, 0.6) or same
    near = near or get_close_matches(f"{prefix}{key}", paths, 1, 0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known here: {', '.join(path.rpartition('.')[2] for path in beside)}"


def _paths(cls: Any, prefix: str = "") -> list[str]:
    """Every path of a schema, groups and what is in them."""
    paths = []
    for key, hint in _hints(cls).items():
        paths.append(prefix + key)
        if is_dataclass(hint):
            paths += _paths(hint, f"{prefix}{key}.")
    return paths
