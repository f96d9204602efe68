"""An `.onnx` file in ONNX Runtime with its inner tensors as outputs: integers where it has them, real numbers elsewhere."""

from typing import Any

import numpy as np

from compress.comparing.opened import Traced
from targets.base import Array, Artifact
from targets.errors import UserError

ACTIVATIONS = {"Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish"}
"""Operators that other formats compute as part of the one before, whose name the result keeps."""


class OnnxFile:
    """Runs the file in ONNX Runtime as it is shipped, its fused integer kernels included."""

    runtime = "ONNX Runtime"

    def __init__(self, artifact: Artifact) -> None:
        import onnx
        import onnxruntime

        self.artifact = artifact
        model = onnx.load(str(artifact.path))
        self._names, named = _watched(model)
        outputs = {value.name for value in model.graph.output}
        self.output = self._names.index(_integers_of(model, model.graph.output[0].name))
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._names if name not in outputs)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            first = self._run([np.zeros(tensor.shape, tensor.dtype) for tensor in artifact.inputs])
        except Exception as error:  # noqa: BLE001  ONNX Runtime's errors are classes of its extension module
            raise UserError(f"{artifact.path}: ONNX Runtime can't run it: {str(error).splitlines()[0]}") from None
        parameters = _parameters(model)
        self.tensors = [
            Traced(named[name], values.shape, values.dtype.name, *parameters.get(name, (None, None)))
            for name, values in zip(self._names, first, strict=True)
        ]

    def run(self, inputs: tuple[Array, ...]) -> list[Array]:
        """The values of all tensors for one sample."""
        return self._run(list(inputs))

    def _run(self, inputs: list[Array]) -> list[Array]:
        names = [tensor.name for tensor in self.artifact.inputs]
        return [np.asarray(values) for values in self._session.run(self._names, dict(zip(names, inputs, strict=True)))]


def _watched(model: Any) -> tuple[list[str], dict[str, str]]:
    """The tensors to look at, each with the name of the layer that makes it.

    What only leads to an activation or to integers is left out, since the tensor after it is the one that other formats have.
    """
    nodes = model.graph.node
    makers = {name: node for node in nodes for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    named: dict[str, str] = {}
    for node in nodes:
        computed = [name for name in node.input if name in makers and name not in constants]
        if node.op_type in ("DequantizeLinear", "Constant") or not (computed or set(node.input) - constants):
            continue
        following = [reader.op_type for reader in readers.get(node.output[0], [])]
        if node.op_type != "QuantizeLinear" and following and set(following) <= {"QuantizeLinear"}:
            continue
        if len(following) == 1 and following[0] in ACTIVATIONS:
            continue
        named[node.output[0]] = _layer(node, makers, readers)
    return list(named), named


def _integers_of(model: Any, output: str) -> str:
    """The integers that an output is made of, or the output itself."""
    maker = next((node for node in model.graph.node if output in node.output), None)
    return str(maker.input[0]) if maker is not None and maker.op_type == "DequantizeLinear" else output


def _layer(node: Any, makers: dict[str, Any], readers: dict[str, list[Any]]) -> str:
    while node.op_type == "QuantizeLinear" or node.op_type in ACTIVATIONS:
        source = makers.get(node.input[0])
        if source is None:
            return str(node.input[0])
        if node.op_type in ACTIVATIONS and len(readers[node.input[0]]) > 1:
            break
        if source.op_type == "DequantizeLinear":
            break
        node = source
    return str(node.name)


def _parameters(model: Any) -> dict[str, tuple[float, int]]:
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant" and node.attribute}
    found = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[1] in constants:
            zero = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(1)
            found[node.output[0]] = (float(numpy_helper.to_array(constants[node.input[1]]).item()), int(zero.item()))
    return found
