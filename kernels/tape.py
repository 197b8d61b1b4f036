"""Hot loop of small networks: a tape of instructions over one memory, played by one compiled loop.

A network of a few million multiplications is computed in a tenth of a millisecond. Where it runs
thirty times a second among other work, most of its time goes into finding it again: the code and
the objects of some fifty layers, each behind a cold cache. Here all layers share a few loops.

`play` has a plain numpy twin, `play_plain`; tests hold them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Weights = NDArray[np.float32] | NDArray[np.uint16]  # uint16: the upper half of a float32, bfloat16

GATHER, PRODUCT, NORM, SUM, UNARY, BINARY = range(6)
RELU, SIGMOID, TANH, ABS, NEGATE = range(1, 6)  # of UNARY, and (the first) of PRODUCT
ADD, SUBTRACT, MULTIPLY, DIVIDE, LEAST, MOST = range(6)  # of BINARY
COLUMNS = 11  # of an instruction; `play` tells them for each
EPSILON = np.float32(1e-5)  # of NORM


def _widening(context: Any, weight: Any) -> Any:
    """A stored weight as a float32."""

    def from_bf16(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.shl(builder.zext(arguments[0], word), ir.Constant(word, 16))
        return builder.bitcast(bits, ir.FloatType())

    def as_is(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return types.float32(weight), from_bf16 if weight == types.uint16 else as_is


def _reading(context: Any, bits: Any) -> Any:
    """The float32 of these bits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), code


_wide: Any = intrinsic(_widening)
_float_of_bits: Any = intrinsic(_reading)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _exp(x: np.float32) -> np.float32:
    """e to the x, nearly to the last bit, by what a loop can do for several x at once (Cephes)."""
    x = min(max(x, np.float32(-87.0)), np.float32(87.0))
    whole = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    x = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * x + np.float32(1.3981999507e-3)
    y = y * x + np.float32(8.3334519073e-3)
    y = y * x + np.float32(4.1665795894e-2)
    y = y * x + np.float32(1.6666665459e-1)
    y = y * x + np.float32(5.0000001201e-1)
    y = y * x * x + x + np.float32(1.0)
    return y * _float_of_bits(np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _product(
    x: F32, n: int, pitch: int, weights: Weights, bias: F32, relu: bool, apart: int, out: F32
) -> None:
    """out[r · apart + j] = row r · weights[j] + bias[j]; row r of n begins at x[r · pitch].

    Rows are taken by four, which read each weight once. All four go through the same additions, so
    what comes of a row does not depend on where among them it is.
    """
    m, zero = bias.shape[0], np.float32(0.0)
    width = weights.shape[0] // m
    least = zero if relu else np.float32(-3.4e38)
    if n % 4 == 1:
        a, end = x[(n - 1) * pitch : (n - 1) * pitch + width], (n - 1) * apart
        for j in range(m):
            line = weights[j * width : (j + 1) * width]
            sa = zero
            for i in range(width):
                sa += _wide(line[i]) * a[i]
            out[end + j] = max(sa + bias[j], least)
        n -= 1
    for first in range(0, n, 4):  # of two or three that are left, the last fills up
        p, q = first, min(first + 1, n - 1)
        r, s = min(first + 2, n - 1), min(first + 3, n - 1)
        a, b = x[p * pitch : p * pitch + width], x[q * pitch : q * pitch + width]
        c, d = x[r * pitch : r * pitch + width], x[s * pitch : s * pitch + width]
        for j in range(m):
            line = weights[j * width : (j + 1) * width]
            sa = sb = sc = sd = zero
            for i in range(width):
                w = _wide(line[i])
                sa += w * a[i]
                sb += w * b[i]
                sc += w * c[i]
                sd += w * d[i]
            out[p * apart + j] = max(sa + bias[j], least)
            out[q * apart + j] = max(sb + bias[j], least)
            out[r * apart + j] = max(sc + bias[j], least)
            out[s * apart + j] = max(sd + bias[j], least)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _norm(x: F32, gain: F32, bias: F32, out: F32) -> None:
    """Rows of x to mean 0 and variance 1, times gain, plus bias."""
    width = gain.shape[0]
    share = np.float32(1.0) / np.float32(width)
    for r in range(x.shape[0] // width):
        row, made = x[r * width : (r + 1) * width], out[r * width : (r + 1) * width]
        mean = np.float32(0.0)
        for i in range(width):
            mean += row[i]
        mean *= share
        square = np.float32(0.0)
        for i in range(width):
            square += (row[i] - mean) * (row[i] - mean)
        scale = np.float32(1.0) / np.sqrt(square * share + EPSILON)
        for i in range(width):
            made[i] = (row[i] - mean) * scale * gain[i] + bias[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _unary(what: int, x: F32, out: F32) -> None:
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    if what == RELU:
        for i in range(out.shape[0]):
            out[i] = max(x[i], zero)
    elif what == SIGMOID:
        for i in range(out.shape[0]):
            out[i] = one / (one + _exp(-x[i]))
    elif what == TANH:
        for i in range(out.shape[0]):
            out[i] = two / (one + _exp(-two * x[i])) - one
    elif what == ABS:
        for i in range(out.shape[0]):
            out[i] = abs(x[i])
    else:
        for i in range(out.shape[0]):
            out[i] = -x[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _binary(what: int, x: F32, y: F32, out: F32) -> None:
    if what == ADD:
        for i in range(out.shape[0]):
            out[i] = x[i] + y[i]
    elif what == SUBTRACT:
        for i in range(out.shape[0]):
            out[i] = x[i] - y[i]
    elif what == MULTIPLY:
        for i in range(out.shape[0]):
            out[i] = x[i] * y[i]
    elif what == DIVIDE:
        for i in range(out.shape[0]):
            out[i] = x[i] / y[i]
    elif what == LEAST:
        for i in range(out.shape[0]):
            out[i] = min(x[i], y[i])
    else:
        for i in range(out.shape[0]):
            out[i] = max(x[i], y[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(memory: F32, table: I32, run: int, out: F32) -> None:
    """Runs of numbers from where the table says, one after another."""
    if run == 1:
        for i in range(table.shape[0]):
            out[i] = memory[table[i]]
        return
    for i in range(table.shape[0]):
        source, made = memory[table[i] : table[i] + run], out[i * run : (i + 1) * run]
        for k in range(run):
            made[k] = source[k]


@njit(cache=True, nogil=True, error_model="numpy")
def play(code: I64, tables: I32, weights: Weights, memory: F32) -> None:
    """Play a tape over `memory`, in which everything lies that it reads and writes, in float32.

    code: [n, COLUMNS], each what to do, how many numbers (of rows, for PRODUCT), where to put them,
    and then
      GATHER   table of where runs come from, a run's length
      PRODUCT  where rows lie, a row's width, weights, bias, outputs, how far it is from row to row
               of outputs, and of inputs, RELU or not
      NORM     where rows lie, a row's width, gain, bias
      SUM      table [n, k], k
      UNARY    where they come from, which
      BINARY   where the first and where the second come from, which
    """
    for step in range(code.shape[0]):
        what, n, to = code[step, 0], code[step, 1], code[step, 2]
        p, q, s, t, u = code[step, 3], code[step, 4], code[step, 5], code[step, 6], code[step, 7]
        if what == PRODUCT:
            apart, pitch = code[step, 8], code[step, 9]
            _product(
                memory[p : p + (n - 1) * pitch + q], n, pitch, weights[s : s + u * q],
                memory[t : t + u], code[step, 10] == RELU, apart,
                memory[to : to + (n - 1) * apart + u],
            )  # fmt: skip
        elif what == GATHER:
            _gather(memory, tables[p : p + n // q], q, memory[to : to + n])
        elif what == NORM:
            _norm(memory[p : p + n], memory[s : s + q], memory[t : t + q], memory[to : to + n])
        elif what == SUM:
            for i in range(n):
                total = np.float32(0.0)
                for k in range(q):
                    total += memory[tables[p + i * q + k]]
                memory[to + i] = total
        elif what == UNARY:
            _unary(q, memory[p : p + n], memory[to : to + n])
        else:
            _binary(s, memory[p : p + n], memory[q : q + n], memory[to : to + n])


# ---- plain twin ----------------------------------------------------------------------------------

_UNARY: dict[int, Callable[..., Any]] = {
    RELU: lambda x: np.maximum(x, 0),
    SIGMOID: lambda x: 1 / (1 + np.exp(-np.clip(x, -87, 87))),
    TANH: np.tanh,
    ABS: np.abs,
    NEGATE: np.negative,
}
_BINARY: dict[int, Callable[..., Any]] = {
    ADD: np.add,
    SUBTRACT: np.subtract,
    MULTIPLY: np.multiply,
    DIVIDE: np.divide,
    LEAST: np.minimum,
    MOST: np.maximum,
}


def play_plain(code: I64, tables: I32, weights: Weights, memory: F32) -> None:
    """As `play`."""
    wide = weights
    if weights.dtype == np.uint16:
        wide = (weights.astype(np.uint32) << 16).view(np.float32)
    for what, n, to, p, q, s, t, u, apart, pitch, relu in code.tolist():
        out = memory[to : to + n]
        if what == PRODUCT:
            rows = memory[p + pitch * np.arange(n)[:, None] + np.arange(q)]
            y = rows @ wide[s : s + u * q].reshape(u, q).T + memory[t : t + u]
            places = to + apart * np.arange(n)[:, None] + np.arange(u)
            memory[places] = np.maximum(y, 0) if relu else y
        elif what == GATHER:
            out[:] = memory[tables[p : p + n // q, None] + np.arange(q)].ravel()
        elif what == NORM:
            x = memory[p : p + n].reshape(-1, q)
            x = x - x.mean(1, keepdims=True)
            x = x / np.sqrt((x * x).mean(1, keepdims=True) + EPSILON)
            out[:] = (x * memory[s : s + q] + memory[t : t + q]).ravel()
        elif what == SUM:
            out[:] = memory[tables[p : p + n * q].reshape(n, q)].sum(1)
        elif what == UNARY:
            out[:] = _UNARY[q](memory[p : p + n])
        else:
            out[:] = _BINARY[s](memory[p : p + n], memory[q : q + n])
