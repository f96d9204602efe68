"""A TFLite file's bytes in LiteRT."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compress.lowering.quiet import quiet
from targets.base import Array, Tensor
from targets.errors import UserError
from targets.registry import first_line


def run(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The file's outputs for samples of its inputs, real numbers [N, …] in the file's layout: float32 [N, …].

    With LiteRT's own choice of kernels, as files are run on this machine; samples one after the other, each from the file's first state.
    Integers that stand for real numbers are made of these, and read as these. UserError where LiteRT fails.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
        ports = zip(interpreter.get_input_details(), inputs, strict=True)
        given = [(entry["index"], _port(entry).encode(values)) for entry, values in ports]
        results = [(entry["index"], _port(entry)) for entry in interpreter.get_output_details()]
        rows: list[list[Array]] = []
        for sample in range(len(inputs[0])):
            interpreter.reset_all_variables()
            for index, values in given:
                interpreter.set_tensor(index, values[sample : sample + 1])
            interpreter.invoke()
            rows.append([port.decode(interpreter.get_tensor(index)).astype(np.float32) for index, port in results])
    except (RuntimeError, ValueError) as error:
        raise UserError(f"LiteRT can't run this file: {first_line(error)}") from error
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _port(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape, dtype = tuple(map(int, details["shape"])), np.dtype(details["dtype"]).name
    return Tensor(details["name"], shape, dtype, scale or None, zero_point if scale else None)
