"""Small QDQ files of one layer whose weights are known: where sums of two products leave int16 follows from them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES = 8, 4
INPUT_SCALE = np.float32(1 / 127)
"""Samples of up to 1 fill the upper half of int8, so a kernel for uint8 sees 128 to 255."""


def samples(number: int) -> np.ndarray:
    """Numbers near the upper end of the range."""
    return np.random.default_rng(0).uniform(0.8, 1.0, (number, FEATURES)).astype(np.float32)


def images(number: int) -> np.ndarray:
    """The same as images of 8 channels."""
    return np.random.default_rng(0).uniform(0.8, 1.0, (number, FEATURES, 4, 4)).astype(np.float32)


def dense(path: Path, weight: int, activations: str = "int8", classes: int = CLASSES) -> Path:
    """A MatMul; every weight of the first output is `weight`, of the others 1."""
    weights = np.ones((FEATURES, classes), np.int8)
    weights[:, 0] = weight
    return _write(path, helper.make_node("MatMul", ["real", "weights"], ["sums"], name="classify"), weights, activations, [1, FEATURES])


def convolution(path: Path, weight: int, depthwise: bool = False) -> Path:
    """A 3x3 convolution with padding; every weight of the first output channel is `weight`, of the others 1."""
    weights = np.ones((FEATURES if depthwise else CLASSES, 1 if depthwise else FEATURES, 3, 3), np.int8)
    weights[0] = weight
    group = FEATURES if depthwise else 1
    node = helper.make_node("Conv", ["real", "weights"], ["sums"], name="stem", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=group)
    return _write(path, node, weights, "int8", [1, FEATURES, 4, 4])


def _write(path: Path, layer: onnx.NodeProto, weights: np.ndarray, activations: str, shape: list[int]) -> Path:
    zero = np.array(0 if activations == "int8" else 128, activations)
    constants = {
        "input scale": INPUT_SCALE,
        "zero": zero,
        "stored": weights,
        "weight scale": np.float32(0.01),
        "no zero": np.int8(0),
        "output scale": np.float32(0.5),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "input scale", "zero"], ["integers"]),
        helper.make_node("DequantizeLinear", ["integers", "input scale", "zero"], ["real"]),
        helper.make_node("DequantizeLinear", ["stored", "weight scale", "no zero"], ["weights"]),
        layer,
        helper.make_node("QuantizeLinear", ["sums", "output scale", "zero"], ["answers"]),
        helper.make_node("DequantizeLinear", ["answers", "output scale", "zero"], ["y"]),
    ]
    answer = [*shape[:-1], weights.shape[1]] if layer.op_type == "MatMul" else [1, len(weights), *shape[2:]]
    graph = helper.make_graph(
        nodes,
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, answer)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
