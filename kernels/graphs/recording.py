"""From an exported network to the tape that `kernels.tape` plays.

A value of the network is an array of places in memory. So whatever only moves numbers about
(transpose, slice, concatenate, the taps of a convolution) is done to the places, once, and costs
nothing when the tape is played; and so is all that depends on no input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from kernels import tape

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Array = NDArray[Any]

LINE = 16  # numbers in a cache line: everything begins at one
ZEROS = 1024  # at the beginning of memory; what lies around a picture of so many channels at most


class Unsupported(ValueError):
    """A network that cannot be recorded; the message says which of its operations."""


class Port(NamedTuple):
    """part: of memory where its numbers lie, in order."""

    part: slice
    shape: tuple[int, ...]


class Tape(NamedTuple):
    """code, tables, weights, memory: as `tape.play` takes them. inputs, outputs: by port."""

    code: I64
    tables: I32
    weights: F32
    memory: F32
    inputs: dict[str, Port]
    outputs: dict[str, Port]


class Places(NamedTuple):
    """A value that depends on inputs: where each of its numbers lies."""

    at: I32


Value = Places | Array


@dataclass
class _Product:
    """One PRODUCT until the tape is finished, since what follows may go into it."""

    count: int
    to: int
    rows: int
    weights: F32  # [m, width]
    bias: F32  # [m]
    apart: int
    pitch: int
    relu: bool = False

    def instruction(self, weights: int, bias: int) -> tuple[int, ...]:
        m, width = self.weights.shape
        relu = tape.RELU if self.relu else 0
        return (
            tape.PRODUCT, self.count, self.to, self.rows, width, weights, bias, m, self.apart,
            self.pitch, relu,
        )  # fmt: skip


def aligned(x: Array) -> Array:
    """A copy that begins at a cache line: vectors that lie across two take twice as long."""
    room = np.empty(x.nbytes + 64, np.uint8)
    begin = -room.ctypes.data % 64
    out = room[begin : begin + x.nbytes].view(x.dtype)
    out[:] = x
    return out


def bfloat16(x: F32) -> NDArray[np.uint16]:
    """The nearest, ties to even, as the upper half of a float32."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def record(model: onnx.ModelProto) -> Tape:
    """Raises Unsupported. Sizes must be fixed, and inputs and outputs float32."""
    return _Recorder(model).tape()


class _Recorder:
    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.size = ZEROS
        self.known: list[tuple[int, F32]] = []
        self.code: list[tuple[int, ...] | _Product] = []
        self.tables: list[I32] = []
        self.tabled = 0
        self.gathered: dict[bytes, int] = {}
        self.products: dict[str, list[_Product]] = {}  # those that make a value, channel by channel
        self.uses = Counter(name for node in graph.node for name in node.input)
        self.uses.update(port.name for port in graph.output)
        self.values: dict[str, Value | None] = {"": None}
        for tensor in graph.initializer:
            self.values[tensor.name] = onnx.numpy_helper.to_array(tensor)
        self.inputs: dict[str, Port] = {}
        for port in graph.input:
            shape = tuple(dim.dim_value for dim in port.type.tensor_type.shape.dim)
            place = self._room(int(np.prod(shape, dtype=int)))
            self.values[port.name] = _in_order(place, shape)
            self.inputs[port.name] = _port(place, shape)
        for node in graph.node:
            self._take(node)
        self.outputs = {port.name: self._settle(port.name) for port in graph.output}

    def tape(self) -> Tape:
        """What was recorded."""
        code, weights, weighed = [], [], 0
        for step in self.code:
            if isinstance(step, _Product):
                code.append(step.instruction(weighed, self._constant(step.bias)))
                weights.append(step.weights.ravel())
                weighed += step.weights.size
            else:
                code.append(step + (0,) * (tape.COLUMNS - len(step)))
        memory = aligned(np.zeros(self.size, np.float32))
        for place, values in self.known:
            memory[place : place + values.size] = values.ravel()
        return Tape(
            np.array(code, np.int64).reshape(-1, tape.COLUMNS),
            np.concatenate([np.zeros(0, np.int32), *self.tables]),
            aligned(np.concatenate([np.zeros(0, np.float32), *weights])),
            memory,
            self.inputs,
            self.outputs,
        )

    # ---- memory ----------------------------------------------------------------------------------

    def _room(self, count: int) -> int:
        """For so many numbers; zeros follow, of which a row that is filled up to lines may read."""
        place = self.size
        self.size += (-(-count // LINE) + 1) * LINE
        return place

    def _constant(self, values: Array) -> int:
        place = self._room(values.size)
        self.known.append((place, np.asarray(values, np.float32)))
        return place

    def _places(self, value: Value) -> I32:
        """Of a value, also of one that is known."""
        if isinstance(value, Places):
            return value.at
        return _in_order(self._constant(value), value.shape).at

    def _table(self, places: I32) -> int:
        self.tables.append(np.ascontiguousarray(places, np.int32).ravel())
        self.tabled += places.size
        return self.tabled - places.size

    def _straight(self, places: I32) -> int:
        """Where these numbers lie one after another: there, or where they are gathered to."""
        flat = np.ascontiguousarray(places, np.int32).ravel()
        breaks = np.flatnonzero(np.diff(flat) != 1) + 1
        if not len(breaks):
            return int(flat[0])
        key = flat.tobytes()
        if key not in self.gathered:
            to = self._room(flat.size)
            run = int(np.gcd.reduce(np.append(breaks, flat.size)))
            self.code.append((tape.GATHER, flat.size, to, self._table(flat[::run]), run))
            self.gathered[key] = to
        return self.gathered[key]

    def _rows(self, rows: I32) -> tuple[int, int]:
        """Where the first of these rows [n, width] lies, and how far it is from one to the next."""
        first, width = int(rows[0, 0]), rows.shape[1]
        pitch = int(rows[-1, 0] - first) // max(len(rows) - 1, 1)
        even = first + pitch * np.arange(len(rows))[:, None] + np.arange(width)
        if pitch >= 0 and np.array_equal(rows, even):
            return first, pitch
        return self._straight(rows), width

    def _settle(self, name: str) -> Port:
        """An output, its numbers in order."""
        places = self._places(self._value(name))
        return _port(self._straight(places), places.shape)

    # ---- operations ------------------------------------------------------------------------------

    def _value(self, name: str) -> Value:
        value = self.values[name]
        assert value is not None
        return value

    def _take(self, node: onnx.NodeProto) -> None:
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given = [self.values[name] for name in node.input]
        if node.op_type in _MOVES:
            self._move(node, given, options)
        elif not any(isinstance(value, Places) for value in given):
            self.values[node.output[0]] = _evaluate(node.op_type, given, options)
        elif node.op_type in _WAYS:
            name = node.output[0]
            self.values[name] = _WAYS[node.op_type](self, node, given, options)
        else:
            raise Unsupported(f"{node.op_type} of what depends on inputs")

    def _move(self, node: onnx.NodeProto, given: list, options: dict) -> None:
        """What only moves numbers: done to their places, or to themselves."""
        moving = [value for value in given if isinstance(value, Places)]
        if moving and node.op_type == "Concat":
            given = [self._places(value) for value in given]
        else:
            given = [value.at if isinstance(value, Places) else value for value in given]
        made = _MOVES[node.op_type](given, options)
        parts = made if isinstance(made, list) else [made]
        for name, part in zip(node.output, parts, strict=True):
            self.values[name] = Places(part) if moving else part

    def _dense(self, node: onnx.NodeProto, given: list, options: dict) -> Places:
        """MatMul by known weights, and Gemm."""
        x, w = given[:2]
        if not isinstance(x, Places) or isinstance(w, Places) or w.ndim != 2:
            raise Unsupported(f"{node.op_type} of two values that depend on inputs")
        if options.get("alpha", 1) != 1 or options.get("beta", 1) != 1 or options.get("transA"):
            raise Unsupported("Gemm with factors or a transposed input")
        w = w if options.get("transB") else w.T
        bias = given[2] if len(given) > 2 else np.zeros(len(w))
        rows = x.at.reshape(-1, w.shape[1])
        to = self._room(len(rows) * len(w))
        self._product(node, to, rows, w, np.broadcast_to(bias, len(w)), len(w))
        return _in_order(to, (*x.at.shape[:-1], len(w)))

    def _product(
        self, node: onnx.NodeProto, to: int, rows: I32, w: Array, bias: Array, apart: int
    ) -> None:
        begin, pitch = self._rows(rows)
        full = np.pad(w, ((0, 0), (0, -w.shape[1] % LINE)))  # with zeros, up to whole lines
        w, bias = np.array(full, np.float32), np.array(bias, np.float32)
        made = _Product(len(rows), to, begin, w, bias, apart, pitch)
        self.code.append(made)
        self.products.setdefault(node.output[0], []).append(made)

    def _conv(self, node: onnx.NodeProto, given: list, options: dict) -> Places:
        """Each group lies apart, and in it the channels of a position together, as its taps do."""
        x, w = given[:2]
        if isinstance(w, Places) or x.at.shape[1] > ZEROS:
            raise Unsupported(f"Conv by weights that depend on inputs, or of over {ZEROS} channels")
        groups = options.get("group", 1)
        bias = given[2] if len(given) > 2 else np.zeros(len(w))
        made, each = [], len(w) // groups
        for group, channels in enumerate(np.split(_around(x.at[0], options), groups)):
            together = np.moveaxis(channels, 0, -1)
            together = _in_order(self._straight(together), together.shape).at
            taps = _taps(together, w.shape[2:], options)  # [*positions, *kernel, channels]
            outside = taps.shape[: w.ndim - 2]
            rows = taps.reshape(int(np.prod(outside, dtype=int)), -1)
            part = slice(group * each, (group + 1) * each)
            lines = np.moveaxis(w[part], 1, -1).reshape(each, -1)
            made.append((rows, lines, bias[part], outside))
        to = self._room(sum(len(rows) * each for rows, *_ in made))
        places = []
        for group, (rows, lines, offset, outside) in enumerate(made):
            begin = to + group * len(rows) * each
            self._product(node, begin, rows, lines, offset, each)
            places.append(np.moveaxis(_in_order(begin, (*outside, each)).at, -1, 0))
        return Places(np.concatenate(places)[None])

    def _norm(self, node: onnx.NodeProto, given: list, options: dict) -> Places:
        x, gain, bias = given
        if options.get("axis", -1) != -1 or not np.isclose(options["epsilon"], tape.EPSILON):
            raise Unsupported("LayerNormalization but over the last axis with epsilon 1e-5")
        to = self._room(x.at.size)
        rows, gain, bias = self._straight(x.at), self._constant(gain), self._constant(bias)
        self.code.append((tape.NORM, x.at.size, to, rows, x.at.shape[-1], gain, bias))
        return _in_order(to, x.at.shape)

    def _sum(self, node: onnx.NodeProto, given: list, options: dict) -> Places:
        x, axes = given[0].at, [int(axis) % given[0].at.ndim for axis in given[1]]
        left = [axis for axis in range(x.ndim) if axis not in axes]
        shape = tuple(x.shape[axis] for axis in left)
        terms = x.transpose(*left, *axes).reshape(int(np.prod(shape, dtype=int)), -1)
        to = self._room(len(terms))
        self.code.append((tape.SUM, len(terms), to, self._table(terms), terms.shape[1]))
        summed = _in_order(to, shape).at
        return Places(np.expand_dims(summed, axes) if options.get("keepdims", 1) else summed)

    def _unary(self, which: int, node: onnx.NodeProto, x: Places) -> Places:
        name = node.input[0]
        if which == tape.RELU and self._open(name):
            for product in self.products[name]:
                product.relu = True
            return x
        order = np.argsort(x.at, axis=None, kind="stable")
        to = self._room(x.at.size)
        from_ = self._straight(x.at.ravel()[order])
        self.code.append((tape.UNARY, x.at.size, to, from_, which))
        return _ordered(to, order, x.at.shape)

    def _open(self, name: str) -> bool:
        """Whether a value is fresh from products and read only once: more may go into them."""
        return self.uses[name] == 1 and not any(p.relu for p in self.products.get(name, [_CLOSED]))

    def _binary(self, which: int, node: onnx.NodeProto, a: Value, b: Value) -> Places:
        for (name, x), other in zip(zip(node.input, (a, b), strict=False), (b, a), strict=True):
            folds = which in (tape.ADD, tape.MULTIPLY) or (which == tape.SUBTRACT and x is a)
            if not (folds and isinstance(x, Places) and self._open(name)):
                continue
            if not isinstance(other, Places) and self._fold(which, name, x, other):
                self.products[node.output[0]] = self.products[name]
                return x
        given = [x.at if isinstance(x, Places) else x for x in (a, b)]
        shape = np.broadcast_shapes(*(x.shape for x in given))
        count = int(np.prod(shape, dtype=int))
        whole = [x for x in (a, b) if isinstance(x, Places) and x.at.size == count]
        order = np.argsort(whole[0].at.reshape(shape), axis=None, kind="stable") if whole else (
            np.arange(count)
        )  # fmt: skip
        places = []
        for x, given_x in zip((a, b), given, strict=True):
            flat = np.broadcast_to(given_x, shape).ravel()[order]
            places.append(self._straight(flat) if isinstance(x, Places) else self._constant(flat))
        to = self._room(count)
        self.code.append((tape.BINARY, count, to, *places, which))
        return _ordered(to, order, shape)

    def _fold(self, which: int, name: str, x: Places, known: Array) -> bool:
        """Put what is known for each channel into the weights that make a value; whether it is."""
        if np.broadcast_shapes(x.at.shape, known.shape) != x.at.shape:
            return False
        products = self.products[name]
        order = np.argsort(x.at, axis=None, kind="stable")
        sizes = np.cumsum([product.count * len(product.bias) for product in products])
        flat = np.broadcast_to(known, x.at.shape).ravel()[order].astype(np.float32)
        parts = [
            part.reshape(product.count, -1)
            for part, product in zip(np.split(flat, sizes[:-1]), products, strict=True)
        ]
        if any((part != part[0]).any() for part in parts):
            return False
        for (part, *_), product in zip(parts, products, strict=True):
            if which == tape.MULTIPLY:
                product.weights *= part[:, None]
                product.bias *= part
            else:
                product.bias += part if which == tape.ADD else -part
        return True

    def _clip(self, node: onnx.NodeProto, given: list, options: dict) -> Places:
        x: Places = given[0]
        for bound, which in zip(given[1:], (tape.MOST, tape.LEAST), strict=False):
            if bound is not None:
                x = self._binary(which, onnx.NodeProto(input=["", ""]), x, np.asarray(bound))
        return x


_NOTHING = np.zeros((0, 0), np.float32)
_CLOSED = _Product(0, 0, 0, _NOTHING, _NOTHING, 0, 0, relu=True)


def _port(place: int, shape: tuple[int, ...]) -> Port:
    return Port(slice(place, place + int(np.prod(shape, dtype=int))), shape)


def _in_order(place: int, shape: Sequence[int]) -> Places:
    count = int(np.prod(shape, dtype=int))
    return Places(np.arange(place, place + count, dtype=np.int32).reshape(shape))


def _ordered(to: int, order: I64, shape: Sequence[int]) -> Places:
    """Places from `to` on, of numbers that were computed in another order than theirs."""
    at = np.empty(len(order), np.int32)
    at[order] = np.arange(to, to + len(order), dtype=np.int32)
    return Places(at.reshape(shape))


def _around(at: I32, options: dict) -> I32:
    """[C, *sides] with places that hold zeros around it, for each channel its own, so that the
    channels of a position lie in a row there, too."""
    sides = at.ndim - 1
    pads = options.get("pads", [0] * 2 * sides)
    around = [(0, 0), *zip(pads[:sides], pads[sides:], strict=True)]
    padded = np.pad(at, around, constant_values=-1)
    channel = np.arange(len(at), dtype=np.int32).reshape(-1, *[1] * sides)
    return np.where(padded < 0, channel, padded)


def _taps(at: I32, kernel: tuple[int, ...], options: dict) -> I32:
    """[*sides, C] → [*positions, *kernel, C]."""
    sides = len(kernel)
    steps = options.get("strides", [1] * sides)
    wide = options.get("dilations", [1] * sides)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, wide, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(at, reach, tuple(range(sides)))
    chosen = (*(slice(None, None, s) for s in steps), slice(None))
    chosen = (*chosen, *(slice(None, None, d) for d in wide))
    return np.moveaxis(windows[chosen], sides, -1)


# ---- what only moves numbers ---------------------------------------------------------------------


def _sliced(given: list, options: dict) -> Array:
    x, starts, ends = given[:3]
    axes = given[3] if len(given) > 3 and given[3] is not None else range(len(starts))
    steps = given[4] if len(given) > 4 else [1] * len(starts)
    parts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        parts[int(axis)] = slice(int(start), int(end), int(step))
    return np.asarray(x[tuple(parts)])


def _split(given: list, options: dict) -> list[Array]:
    ends = np.cumsum(given[1])[:-1]
    return list(np.split(given[0], ends, options.get("axis", 0)))


def _reshaped(given: list, options: dict) -> Array:
    x, shape = given
    kept = [x.shape[axis] if n == 0 else int(n) for axis, n in enumerate(shape)]
    return np.asarray(x.reshape(kept))


def _squeezed(given: list, options: dict) -> Array:
    axes = None if len(given) < 2 else tuple(int(axis) for axis in given[1])
    return np.asarray(np.squeeze(given[0], axes))


_MOVES: dict[str, Callable[[list, dict], Any]] = {
    "Identity": lambda given, options: given[0],
    "Transpose": lambda given, options: given[0].transpose(options.get("perm")),
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Unsqueeze": lambda given, _: np.expand_dims(given[0], [int(axis) for axis in given[1]]),
    "Slice": _sliced,
    "Split": _split,
    "Gather": lambda given, options: np.take(given[0], given[1], options.get("axis", 0)),
    "Concat": lambda given, options: np.concatenate(given, options["axis"]),
    "Expand": lambda given, _: np.broadcast_to(
        given[0], np.broadcast_shapes(given[0].shape, tuple(map(int, given[1])))
    ),
}


# ---- what depends on no input, or on its shape only ----------------------------------------------


def _cast(given: list, options: dict) -> Array:
    return np.asarray(given[0].astype(onnx.helper.tensor_dtype_to_np_dtype(options["to"])))


def _filled(given: list, options: dict) -> Array:
    value = onnx.numpy_helper.to_array(options["value"])
    return np.full(tuple(map(int, given[0])), value[0], value.dtype)


def _divided(given: list, options: dict) -> Array:
    whole = np.issubdtype(given[0].dtype, np.integer)
    return np.asarray(given[0] // given[1] if whole else given[0] / given[1])


def _widened(given: list, options: dict) -> Array:
    values, scale = given[:2]
    shape = [-1 if axis == options.get("axis", 1) else 1 for axis in range(values.ndim)]
    return np.asarray(values.astype(np.float32) * scale.reshape(shape))


_KNOWN: dict[str, Callable[[list, dict], Any]] = {
    "Constant": lambda given, options: onnx.numpy_helper.to_array(options["value"]),
    "ConstantOfShape": _filled,
    "Cast": _cast,
    "DequantizeLinear": _widened,
    "Add": lambda given, _: given[0] + given[1],
    "Sub": lambda given, _: given[0] - given[1],
    "Mul": lambda given, _: given[0] * given[1],
    "Div": _divided,
    "Mod": lambda given, _: given[0] % given[1],
    "Sqrt": lambda given, _: np.sqrt(given[0]),
    "Equal": lambda given, _: given[0] == given[1],
    "Where": lambda given, _: np.where(*given),
    "Shape": lambda given, _: np.array(given[0].shape, np.int64),
}


def _evaluate(operation: str, given: list, options: dict) -> Array:
    if operation not in _KNOWN:
        raise Unsupported(f"{operation} of what is known")
    return np.asarray(_KNOWN[operation](given, options))


# ---- what is computed at each step ---------------------------------------------------------------


def _unary(which: int) -> Callable[..., Places]:
    return lambda self, node, given, options: self._unary(which, node, given[0])


def _binary(which: int) -> Callable[..., Places]:
    return lambda self, node, given, options: self._binary(which, node, *given)


_WAYS: dict[str, Callable[[_Recorder, onnx.NodeProto, list, dict], Value]] = {
    "MatMul": _Recorder._dense,
    "Gemm": _Recorder._dense,
    "Conv": _Recorder._conv,
    "LayerNormalization": _Recorder._norm,
    "ReduceSum": _Recorder._sum,
    "Clip": _Recorder._clip,
    "Relu": _unary(tape.RELU),
    "Sigmoid": _unary(tape.SIGMOID),
    "Tanh": _unary(tape.TANH),
    "Abs": _unary(tape.ABS),
    "Neg": _unary(tape.NEGATE),
    "Add": _binary(tape.ADD),
    "Sub": _binary(tape.SUBTRACT),
    "Mul": _binary(tape.MULTIPLY),
    "Div": _binary(tape.DIVIDE),
    "Cast": lambda self, node, given, options: given[0],  # to float32, which it is
    "Shape": lambda self, node, given, options: np.array(given[0].at.shape, np.int64),
}
