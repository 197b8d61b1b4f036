"""Pickles of numpy arrays and nothing else.

A pickle is a program: it may name any function and have it called. Here only the names are known
that numpy writes for an array, and each stands for something of ours that can do no more than hold
the bytes of plain numbers; every other name is refused before anything is called. numpy itself
never sees what the pickle says, only checked bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from engine.training.readers.clip import BadCorpus

CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")  # of numbers
ORDERS = {order: order for order in "<>|="}


class Refused(pickle.UnpicklingError):
    """A pickle asked for something that is not an array of numbers."""


class _Type:
    """Stands for a numpy dtype."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code not in CODES:
            raise Refused(f"holds an array of {str(code)[:40]!r}, which are no numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """(version, byte order, no subarray, no names, no fields, …)."""
        if not isinstance(state, tuple) or len(state) < 5 or any(x is not None for x in state[2:5]):
            raise Refused("describes numbers as numpy does not")
        self.dtype = np.dtype(ORDERS[state[1]] + self.dtype.str[1:])


class _Array:
    """Stands for a numpy array; `values` when its state has come."""

    values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        """(version, shape, dtype, column by column?, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("describes an array as numpy does not")
        _, shape, kind, by_column, data = state
        data = data.encode("latin1") if isinstance(data, str) else data  # by Python 2
        self.values = _numbers(data, kind).reshape(shape, order="F" if by_column else "C")


class _NoArray:
    """Stands for the class `numpy.ndarray`: an argument of other calls, never called."""

    def __new__(cls, *_: Any) -> NoReturn:  # type: ignore[misc]
        raise Refused("calls numpy.ndarray itself")


def _numbers(data: Any, kind: Any) -> NDArray[Any]:
    if not isinstance(kind, _Type) or not isinstance(data, (bytes, bytearray)):
        raise Refused("holds an array without numbers")
    return np.frombuffer(data, kind.dtype)


def _unfilled(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> _Array:
    array = _Array()
    values = _numbers(data, kind)
    if axes is not None:
        array.values = values.reshape(shape).transpose(axes)
    else:
        array.values = values.reshape(shape, order=order)
    return array


def _scalar(kind: Any, data: Any = b"") -> float:
    return _numbers(data, kind)[0].item()


def _bytes(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("encodes what are no bytes")
    return text.encode("latin1")


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _bytes,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _NoArray,
    **{
        (f"numpy.{core}.{module}", name): stands_in
        for core in ("core", "_core")
        for module, name, stands_in in (
            ("multiarray", "_reconstruct", _unfilled),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What stands in for one of numpy's names. Raises Refused for every other name."""
        try:
            return KNOWN[module, name]
        except KeyError:
            raise Refused(f"asks for {module}.{name}") from None

    def persistent_load(self, pid: object) -> NoReturn:
        raise Refused("asks for an object that lies outside it")


def load_arrays(path: Path) -> dict[str, Any]:
    """The dictionary of arrays (and of plain Python values) in a pickle.

    Raises BadCorpus for a missing or truncated file, for anything that is no dictionary, and for a
    pickle that names anything but numpy's arrays of numbers, with that name: nothing of it has run.
    """
    if not path.is_file():
        raise BadCorpus(f"{path} is missing: unpack the corpus's archives beside each other")
    try:
        with path.open("rb") as file:
            value = _Reader(file, encoding="latin1").load()
    except Refused as error:
        raise BadCorpus(
            f"{path} {error}; only numpy arrays of numbers are read from a pickle. "
            "Do not open it in any other way unless you know who made it"
        ) from None
    except Exception as error:  # a damaged pickle can fail in any way
        why = f"{type(error).__name__}: {error}"[:100]
        raise BadCorpus(f"{path} is truncated or no pickle ({why}); download it again") from None
    if not isinstance(value, dict):
        raise BadCorpus(f"{path} holds a {type(value).__name__}, expected a dictionary of arrays")
    return {key: x.values if isinstance(x, _Array) else x for key, x in value.items()}
