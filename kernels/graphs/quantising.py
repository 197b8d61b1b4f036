"""Int8 by NNCF: a network calibrated on examples, with what it lost written into the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx

from kernels.graphs.exporting import widened
from kernels.graphs.opening import Array, open_graph

HELD_OUT = 4  # one example in so many is not calibrated on, but compared
WIDENING = ("Cast", "DequantizeLinear")  # of stored weights
Likeness = Callable[[dict[str, Array], dict[str, Array]], float]


def quantise(
    path: Path,
    examples: Sequence[dict[str, Array]],
    likeness: Likeness,
    out: Path,
    like: Path | None = None,
) -> float:
    """Write an int8 version of an exported network; the mean likeness to what it does in fp32.

    examples: inputs by port, such as it will see. likeness: of two answers, 1 when equal; it is
    measured on every HELD_OUT-th example and recorded, and `open_graph` refuses what lost too much.
    like: what it is compared with, where that is another: weights may have been made ready for it.
    Raises ImportError without nncf, ValueError for too few examples.
    """
    import nncf

    held = [example for k, example in enumerate(examples) if k % HELD_OUT == 0]
    known = [example for k, example in enumerate(examples) if k % HELD_OUT]
    if not known:
        raise ValueError(f"expected at least {HELD_OUT} examples to calibrate on and to compare")
    model = onnx.load(str(path))
    meta = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    small = nncf.quantize(
        _widened(model),
        nncf.Dataset(known),
        subset_size=len(known),
        preset=nncf.QuantizationPreset.MIXED,
        # all eight bits of weights: `open_graph` asks for a processor that they do not overflow
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.DISABLE
        ),
    )
    _save(small, meta, 1.0, out)  # let in, to be measured
    whole, rounded = open_graph(like or path, "openvino"), open_graph(out, "openvino", "int8")
    found = float(np.mean([likeness(rounded(example), whole(example)) for example in held]))
    _save(small, meta, found, out)
    return found


def _save(model: onnx.ModelProto, meta: dict, found: float, out: Path) -> None:
    cantar = {**meta["cantar"], "quantised": {"likeness": round(found, 5)}}
    onnx.helper.set_model_props(model, {"cantar": json.dumps(cantar)})
    onnx.save(model, str(out))


def _widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights that were stored in few bits as float32 again: NNCF looks for them beside their
    convolutions."""
    graph, wide = model.graph, widened(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in [n for n in graph.node if n.op_type in WIDENING]:
        tensor = stored.get(node.input[0])
        if tensor is None:
            continue
        values = np.asarray(wide[tensor.name], np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        for user in graph.node:
            for index, name in enumerate(user.input):
                if name == node.output[0]:
                    user.input[index] = tensor.name
        graph.node.remove(node)
    return model
