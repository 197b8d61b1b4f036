"""Export a stateful torch module as ONNX of few steps: state ports and weights keep their names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OPSET = 18
SMALL = 1024  # numbers; less is not worth narrowing
MANY = 1 << 15  # numbers; more are worth a single byte each
SCALE = ".scale"  # what a weight of 8 bits is multiplied with


def names_of(tree: Any, prefix: str) -> list[str]:
    """Port names of a nested NamedTuple of tensors: `state.memory.h`, in order."""
    if isinstance(tree, Tensor):
        return [prefix]
    return [
        leaf for name in tree._fields for leaf in names_of(getattr(tree, name), f"{prefix}.{name}")
    ]


def leaves_of(tree: Any) -> list[Tensor]:
    """Tensors of a nested NamedTuple, in order."""
    return (
        [tree] if isinstance(tree, Tensor) else [leaf for part in tree for leaf in leaves_of(part)]
    )


def rebuild(tree: Any, leaves: list[Tensor]) -> Any:
    """A tree like `tree` with `leaves` in place of its tensors; consumes the list."""
    if isinstance(tree, Tensor):
        return leaves.pop(0)
    return type(tree)(*(rebuild(part, leaves) for part in tree))


class Flat(nn.Module):
    """A module `(inputs…, state) → outputs, state` with every tensor a positional port.

    inputs: names of its inputs, in the order of the ports.
    """

    def __init__(self, module: nn.Module, inputs: Iterable[str]) -> None:
        super().__init__()
        self.module, self.inputs = module, tuple(inputs)
        self.template = module.initial_state(1)  # type: ignore[operator]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(self.inputs, tensors, strict=False))
        state = rebuild(self.template, list(tensors[len(inputs) :]))
        outputs, after = self.module(**inputs, state=state)
        return (*leaves_of(outputs), *leaves_of(after))


def export(
    module: nn.Module,
    examples: dict[str, Tensor],
    path: Path,
    config: dict[str, Any],
    bits: int = 32,
) -> None:
    """Write `module` for batch 1 and as many steps as its examples have.

    examples: one tensor per input port, by the name of `forward`'s argument. config: what
    `Module.from_config` rebuilds it from. Weights become initialisers under their own names, so the
    file is also the checkpoint.
    bits: each large weight is stored in, 32, 16 (float16) or 8 (of each output channel's largest;
    but those of up to MANY numbers in 16); backends still compute in float32. Raises ValueError for
    other numbers.
    """
    if bits not in (32, 16, 8):
        raise ValueError(f"bits must be 32, 16 or 8, got {bits}")
    flat = Flat(module, examples).eval()
    with torch.no_grad():
        outputs, after = module(**examples, state=flat.template)
    arguments = (*examples.values(), *leaves_of(flat.template))
    output_names = outputs._fields if hasattr(outputs, "_fields") else ("output",)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            flat,
            arguments,
            str(path),
            input_names=[*examples, *names_of(flat.template, "state")],
            output_names=[*output_names, *names_of(after, "next_state")],
            opset_version=OPSET,
            do_constant_folding=False,
            keep_initializers_as_inputs=False,
            dynamo=False,
        )
    model = onnx.load(str(path))
    _strip_prefix(model, "module.")
    if bits < 32:
        _narrow(model, bits)
    kind = type(module)
    cantar = {"module": f"{kind.__module__}:{kind.__qualname__}", "config": config}
    onnx.helper.set_model_props(model, {"cantar": json.dumps(cantar)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _narrow(model: onnx.ModelProto, bits: int) -> None:
    """Store large weights in few bits, under their names, and widen them before use."""
    graph = model.graph
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        wide = f"{tensor.name}.wide"
        users = [node for node in graph.node if tensor.name in node.input]
        for node in users:
            names = [wide if name == tensor.name else name for name in node.input]
            node.ClearField("input")
            node.input.extend(names)
        narrow: NDArray
        if bits == 16 or values.size <= MANY:
            narrow = values.astype(np.float16)
            widen = onnx.helper.make_node("Cast", [tensor.name], [wide], to=onnx.TensorProto.FLOAT)
        else:
            axis = 1 if users[0].op_type == "ConvTranspose" else 0  # where output channels are
            narrow, scale = rounded(values, axis)
            names = [tensor.name, tensor.name + SCALE]
            widen = onnx.helper.make_node("DequantizeLinear", names, [wide], axis=axis)
            graph.initializer.append(onnx.numpy_helper.from_array(scale, tensor.name + SCALE))
        tensor.CopyFrom(onnx.numpy_helper.from_array(narrow, tensor.name))
        graph.node.insert(0, widen)


def rounded(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights in 8 bits, and the step [n] of each channel along `axis`."""
    others = tuple(k for k in range(values.ndim) if k != axis)
    most = np.maximum(np.abs(values).max(others), np.float32(1e-12))
    scale = (most / np.float32(127)).astype(np.float32)
    return np.rint(values / spread(scale, values.ndim, axis)).astype(np.int8), scale


def spread(scale: NDArray[np.float32], axes: int, axis: int) -> NDArray[np.float32]:
    """[n] as an array of `axes` axes that lies along one of them."""
    return scale.reshape([-1 if k == axis else 1 for k in range(axes)])


def widened(model: onnx.ModelProto) -> dict[str, NDArray]:
    """Every weight of an exported network by name, as wide as it is computed with."""
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    found = {}
    narrow = {name for name, values in stored.items() if values.dtype == np.int8}
    for name, values in stored.items():
        if name.removesuffix(SCALE) in narrow - {name}:
            continue
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        elif name in narrow:
            users = [node for node in model.graph.node if name in node.input]
            axis = int(users[0].attribute[0].i)
            values = values * spread(stored[name + SCALE], values.ndim, axis)
        found[name] = values
    return found


def _strip_prefix(model: onnx.ModelProto, prefix: str) -> None:
    """Give weights the names they have in the module itself.

    The exporter keeps one copy of equal weights and an Identity for the others: each gets its own.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Identity"]:
        if node.input[0] in weights and node.output[0].startswith(prefix):
            copy = graph.initializer.add()
            copy.CopyFrom(weights[node.input[0]])
            copy.name = node.output[0]
            graph.node.remove(node)
    for tensor in graph.initializer:
        tensor.name = tensor.name.removeprefix(prefix)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = name.removeprefix(prefix)
