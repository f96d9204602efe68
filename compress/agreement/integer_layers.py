"""The layers of an `.onnx` file that ONNX Runtime computes on x86 as unsigned 8-bit activations times signed 8-bit weights.

Which they are is ONNX Runtime's own choice, so it is asked: its optimizer makes integer operators of what it can, and of int8 activations
uint8 ones, as its x86 kernels want them (`session.qdqisint8allowed` 0, what it has there without being told).
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from targets.base import Array, Artifact
from targets.errors import UserError
from targets.formats import onnx
from targets.registry import first_line

OPERATORS = {
    "QLinearConv": (0, 1, 2, 3, 4, 6),
    "QLinearMatMul": (0, 1, 2, 3, 4, 6),
    "QGemm": (0, 1, 2, 3, 4, 7),
    "MatMulInteger": (0, -1, 2, 1, -1, -1),
}
"""Where each has activations, their scale and zero point, weights, their scale, and the output's scale; -1 where it has none.

ConvInteger is not among them: ONNX Runtime has the weights first there, and no kernel that sums in pairs."""
FUSIONS = ["DynamicQuantizeMatMulFusion", "MatMulIntegerToFloatFusion"]
"""Left out, since they hide the integers."""


@dataclass(frozen=True)
class IntegerLayer:
    """A layer and its integers.

    `weights` is [outputs, factors] int8: the factors in the order in which products are summed, the channels of one position of the
    kernel beside each other. `integers` names the tensor of the activations, uint8, with this zero point. `step` [outputs] is how much
    of the integer sum is one integer step of the layer's output; None where that is no 8-bit integer.
    """

    name: str
    operator: str
    weights: Array
    integers: str
    zero_point: int
    step: Array | None
    kernel: tuple[int, ...]
    """Sizes of a convolution's kernel; none for a product of matrices."""
    attributes: dict[str, Any]

    @property
    def groups(self) -> int:
        """Of a convolution."""
        return int(self.attributes.get("group", 1))


@dataclass(frozen=True)
class Optimized:
    """A file as ONNX Runtime would run it on x86: `model` is its ModelProto, `layers` those that are meant here, in its order."""

    artifact: Artifact
    model: Any
    layers: tuple[IntegerLayer, ...]


def optimize(artifact: Artifact) -> Optimized:
    """The file after ONNX Runtime's optimizer. UserError where it can't be loaded there.

    Depthwise convolutions are no such layers: their kernels widen every factor to 16 bits first.
    """
    with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
        saved = Path(name) / "optimized.onnx"
        _session(artifact, str(artifact.path), "ORT_ENABLE_EXTENDED", str(saved))
        model = onnx.load(saved)
    return Optimized(artifact, model, tuple(_layers(model.graph)))


class Watch:
    """An optimized file in ONNX Runtime, with the activations of its layers as outputs."""

    def __init__(self, optimized: Optimized) -> None:
        model = type(optimized.model)()
        model.CopyFrom(optimized.model)
        self.names = [layer.integers for layer in optimized.layers]
        known = {value.name for value in [*model.graph.output, *model.graph.input]}
        model.graph.output.extend(type(model.graph.output[0])(name=name) for name in dict.fromkeys(self.names) if name not in known)
        self.inputs = [tensor.name for tensor in optimized.artifact.inputs]
        self.session = _session(optimized.artifact, model.SerializeToString(), "ORT_DISABLE_ALL")

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The activations of each layer for one sample, [1, …], from inputs as the file takes them."""
        given = dict(zip(self.inputs, inputs, strict=True))
        found = iter(self.session.run([name for name in self.names if name not in given], given))
        return [given[name] if name in given else next(found) for name in self.names]


def _session(artifact: Artifact, content: str | bytes, level: str, saved: str = "") -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.add_session_config_entry("session.qdqisint8allowed", "0")
    if saved:
        options.optimized_model_filepath = saved
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], disabled_optimizers=FUSIONS)
    except Exception as error:  # noqa: BLE001  ONNX Runtime's errors are classes of its extension module
        raise UserError(f"{artifact.path}: ONNX Runtime can't load it: {first_line(error)}") from None


def _layers(graph: Any) -> Iterator[IntegerLayer]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute}
    for node in graph.node:
        layer = _layer(node, constants) if node.op_type in OPERATORS else None
        if layer is not None:
            yield layer


def _layer(node: Any, constants: dict[str, Any]) -> IntegerLayer | None:
    given = dict(enumerate(node.input))
    names = [given.get(position, "") for position in OPERATORS[node.op_type]]
    scale, zero, stored, weight_scale, output_scale = (onnx.numbers(constants[name]) if name in constants else None for name in names[1:])
    if stored is None or stored.dtype != np.int8 or (zero is not None and zero.dtype != np.uint8):
        return None
    attributes = {entry.name: _value(entry) for entry in node.attribute}
    convolution = node.op_type == "QLinearConv"
    if convolution and stored.shape[1] == 1 and len(stored) == attributes.get("group", 1):
        return None
    weights = _ordered(stored, convolution, bool(attributes.get("transB")))
    step = None
    if scale is not None and weight_scale is not None and output_scale is not None:
        step = np.broadcast_to(output_scale / (scale * weight_scale.reshape(-1)), len(weights))
    return IntegerLayer(
        name=node.name or node.output[0],
        operator=node.op_type,
        weights=weights,
        integers=names[0],
        zero_point=0 if zero is None else int(zero.reshape(-1)[0]),
        step=step,
        kernel=stored.shape[2:] if convolution else (),
        attributes=attributes,
    )


def _ordered(stored: Array, convolution: bool, transposed: bool) -> Array:
    if convolution:
        return np.moveaxis(stored, 1, -1).reshape(len(stored), -1)
    return stored if transposed else stored.swapaxes(-1, -2).reshape(-1, stored.shape[-2])


def _value(attribute: Any) -> Any:
    if attribute.ints:
        return tuple(attribute.ints)
    return attribute.s.decode() if attribute.s else attribute.i
