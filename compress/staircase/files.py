"""TFLite files that hold nothing but operators to be timed, with random weights."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compress.staircase.operation import Operation

Precision = Literal["int8", "float"]

SCALE = 0.05


def write(operations: Iterable[Operation], precision: Precision) -> bytes:
    """A file with these operators side by side, in their order; those whose inputs are alike read the same one."""
    writer = _Writer(precision)
    for operation in operations:
        writer.add(operation)
    return writer.content()


class _Writer:
    def __init__(self, precision: Precision) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.integer = precision == "int8"
        self.file = schema.ModelT()
        self.graph = schema.SubGraphT()
        self.file.version, self.file.operatorCodes, self.file.subgraphs, self.file.buffers = 3, [], [self.graph], [schema.BufferT()]
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.inputs: dict[tuple[int, ...], int] = {}
        self.random = np.random.default_rng(0)

    def add(self, operation: Operation) -> None:
        """One more operator."""
        from compress.lowering import flatbuffer_parts

        linear = operation.kind == "fully_connected"
        rows = (operation.size[1],) if linear else (1, *operation.size)
        copies = {"add": 2, "concatenation": operation.outputs // operation.inputs}.get(operation.kind, 1)
        inputs = [self._input((*rows, operation.inputs))] * copies
        made = (*rows, operation.outputs) if linear else (1, *operation.output_size, operation.outputs)
        inputs += self._weights(operation)
        if operation.kind == "mean":
            inputs.append(flatbuffer_parts.add_tensor(self.file, "axes", (2,), self.schema.TensorType.INT32, np.array([1, 2], np.int32)))
        output = self._activation(f"made_{len(self.graph.operators)}", made)
        code = getattr(self.schema.BuiltinOperator, operation.kind.upper())
        version = {"conv_2d": 3, "depthwise_conv_2d": 3, "fully_connected": 4}.get(operation.kind, 2) if self.integer else 1
        operator = flatbuffer_parts.operator(self.file, code, inputs, output, version)
        operator.builtinOptionsType, operator.builtinOptions = self._options(operation)
        self.graph.operators.append(operator)
        self.graph.outputs.append(output)

    def content(self) -> bytes:
        """The file."""
        from targets.formats import tflite_objects

        return tflite_objects.write(self.file)

    def _input(self, shape: tuple[int, ...]) -> int:
        if shape not in self.inputs:
            self.inputs[shape] = self._activation(f"input_{len(self.inputs)}", shape)
            self.graph.inputs.append(self.inputs[shape])
        return self.inputs[shape]

    def _activation(self, name: str, shape: tuple[int, ...]) -> int:
        from compress.lowering import flatbuffer_parts

        kind = self.schema.TensorType.INT8 if self.integer else self.schema.TensorType.FLOAT32
        tensor = flatbuffer_parts.add_tensor(self.file, name, shape, kind)
        if self.integer:
            self._scale(tensor, np.array([SCALE]), 0)
        return tensor

    def _weights(self, operation: Operation) -> list[int]:
        """Weights and bias, where the operator has them."""
        shapes = {
            "conv_2d": (operation.outputs, *operation.kernel, operation.inputs),
            "depthwise_conv_2d": (1, *operation.kernel, operation.outputs),
            "fully_connected": (operation.outputs, operation.inputs),
        }
        if operation.kind not in shapes:
            return []
        shape, axis = shapes[operation.kind], 3 if operation.kind == "depthwise_conv_2d" else 0
        bias = np.zeros(operation.outputs, np.int32 if self.integer else np.float32)
        values = self.random.integers(-127, 128, shape, np.int8)
        return [
            self._constant("weights", values if self.integer else np.float32(0.01) * values.astype(np.float32), axis, SCALE / 10),
            self._constant("bias", bias, 0, SCALE * SCALE / 10),
        ]

    def _constant(self, name: str, values: NDArray[Any], axis: int, scale: float) -> int:
        from compress.lowering import flatbuffer_parts

        kind = getattr(self.schema.TensorType, str(values.dtype).upper())
        tensor = flatbuffer_parts.add_tensor(self.file, name, values.shape, kind, values)
        if self.integer:
            self._scale(tensor, np.full(values.shape[axis], scale), axis)
        return tensor

    def _scale(self, tensor: int, scales: NDArray[Any], axis: int) -> None:
        parameters = self.schema.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint = scales.astype(np.float32), np.zeros(len(scales), np.int64)
        parameters.quantizedDimension = axis
        self.graph.tensors[tensor].quantization = parameters

    def _options(self, operation: Operation) -> tuple[int, Any]:
        """The schema's table of options of an operator."""
        names = {"conv_2d": "Conv2D", "depthwise_conv_2d": "DepthwiseConv2D", "fully_connected": "FullyConnected"}
        names |= {"add": "Add", "mean": "Reducer", "concatenation": "Concatenation"}
        name = names.get(operation.kind, "Pool2D") + "Options"
        options: Any = getattr(self.schema, f"{name}T")()
        given = {"padding": int(not operation.padded), "strideH": operation.stride[0], "strideW": operation.stride[1]}
        given |= {"dilationHFactor": operation.dilation[0], "dilationWFactor": operation.dilation[1], "depthMultiplier": 1}
        given |= {"filterHeight": operation.kernel[0], "filterWidth": operation.kernel[1], "keepDims": True, "keepNumDims": True}
        given |= {"axis": 3}
        for key, value in given.items():
            if hasattr(options, key):
                setattr(options, key, value)
        return getattr(self.schema.BuiltinOptions, name), options
