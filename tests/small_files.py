"""Small exported files whose answers are known: one dense layer as .tflite and .onnx, float32 and int8, made in milliseconds."""

from pathlib import Path

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.integers(-20, 21, (4, 6)).astype(np.int8)
BIAS = RANDOM.integers(-300, 301, 4).astype(np.int32)
INPUT_SCALE, INPUT_ZERO, WEIGHT_SCALE, OUTPUT_SCALE, OUTPUT_ZERO = 0.25, -3, 0.125, 2.0, 5
FLOAT_WEIGHTS, FLOAT_BIAS = WEIGHTS.astype(np.float32) / 16, BIAS.astype(np.float32) / 16


def float_answer(samples):
    return samples @ FLOAT_WEIGHTS.T + FLOAT_BIAS


def int8_answer(samples):
    sums = (samples.astype(np.int32) - INPUT_ZERO) @ WEIGHTS.T.astype(np.int32) + BIAS
    steps = np.floor(sums * (INPUT_SCALE * WEIGHT_SCALE / OUTPUT_SCALE) + 0.5) + OUTPUT_ZERO
    return np.clip(steps, -128, 127).astype(np.int8)


def float_samples(number):
    return np.random.default_rng(1).normal(size=(number, 6)).astype(np.float32)


def int8_samples(number):
    return np.random.default_rng(2).integers(-128, 128, (number, 6)).astype(np.int8)


def dense_tflite(path: Path, quantized: bool = False, batch: int = 1) -> Path:
    """One FULLY_CONNECTED, by the flatbuffer schema that ships with LiteRT."""

    def tensor(name, shape, kind, buffer=0, scale=None, zero=0):
        entry = schema.TensorT()
        entry.name, entry.shape, entry.type, entry.buffer = name, list(shape), kind, buffer
        if scale is not None:
            entry.quantization = schema.QuantizationParametersT()
            entry.quantization.scale, entry.quantization.zeroPoint = [scale], [zero]
        return entry

    def buffer(values):
        entry = schema.BufferT()
        entry.data = None if values is None else np.frombuffer(values.tobytes(), np.uint8)
        return entry

    real, byte, word = schema.TensorType.FLOAT32, schema.TensorType.INT8, schema.TensorType.INT32
    if quantized:
        stored = [WEIGHTS, BIAS]
        tensors = [
            tensor("x", (batch, 6), byte, 0, INPUT_SCALE, INPUT_ZERO),
            tensor("weights", (4, 6), byte, 1, WEIGHT_SCALE),
            tensor("bias", (4,), word, 2, INPUT_SCALE * WEIGHT_SCALE),
            tensor("y", (batch, 4), byte, 0, OUTPUT_SCALE, OUTPUT_ZERO),
        ]
    else:
        stored = [FLOAT_WEIGHTS, FLOAT_BIAS]
        tensors = [
            tensor("x", (batch, 6), real),
            tensor("weights", (4, 6), real, 1),
            tensor("bias", (4,), real, 2),
            tensor("y", (batch, 4), real),
        ]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [3], [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 4 if quantized else 1
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [buffer(None), *map(buffer, stored)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def dense_onnx(path: Path, quantized: bool = False, batch: int | str = "N", integer_ends: bool = False, metadata=None) -> Path:
    """One Gemm; quantized, between QuantizeLinear and DequantizeLinear, with int8 in and out where `integer_ends`."""
    constants = {"weights": FLOAT_WEIGHTS, "bias": FLOAT_BIAS}
    nodes = [helper.make_node("Gemm", ["x", "weights", "bias"], ["y"], name="dense", transB=1)]
    kind = TensorProto.FLOAT
    if quantized:
        constants |= {"s_in": np.float32(INPUT_SCALE), "z_in": np.int8(INPUT_ZERO), "s_w": np.float32(WEIGHT_SCALE), "z_w": np.int8(0)}
        constants |= {"weights": WEIGHTS, "bias": BIAS.astype(np.float32) * np.float32(INPUT_SCALE * WEIGHT_SCALE)}
        constants |= {"s_out": np.float32(OUTPUT_SCALE), "z_out": np.int8(OUTPUT_ZERO)}
        nodes = [
            helper.make_node("DequantizeLinear", ["x" if integer_ends else "x_int8", "s_in", "z_in"], ["x_real"]),
            helper.make_node("DequantizeLinear", ["weights", "s_w", "z_w"], ["weights_real"]),
            helper.make_node("Gemm", ["x_real", "weights_real", "bias"], ["y_real"], name="dense", transB=1),
            helper.make_node("QuantizeLinear", ["y_real", "s_out", "z_out"], ["y" if integer_ends else "y_int8"]),
        ]
        if integer_ends:
            kind = TensorProto.INT8
        else:
            nodes.insert(0, helper.make_node("QuantizeLinear", ["x", "s_in", "z_in"], ["x_int8"]))
            nodes.append(helper.make_node("DequantizeLinear", ["y_int8", "s_out", "z_out"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", kind, [batch, 6])],
        [helper.make_tensor_value_info("y", kind, [batch, 4])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path
