"""TFLite files as objects (the schema's own, from ai_edge_litert), read, changed and written again."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

IDENTIFIER = b"TFL3"
ALIGNMENT = 16
"""What the schema asks of buffers; kernels of small cores read them as wider integers."""


FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # generated code without types
    """A buffer whose bytes start where the schema wants them, which the generated code forgets."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802  the generated code's name
        """Writes the buffer."""
        data = None if self.data is None else np.asarray(self.data, np.uint8).tobytes()
        vector = None
        if data is not None:
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def read(content: bytes) -> Any:
    """The file as a `ModelT`."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def write(model: Any) -> bytes:
    """The bytes of a `ModelT`."""
    for position, buffer in enumerate(model.buffers):
        aligned = AlignedBuffer()
        aligned.data = buffer.data
        model.buffers[position] = aligned
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def operator_names(model: Any) -> list[str]:
    """The schema's name of each operator of the main graph, in order."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [names.get(codes[operator.opcodeIndex], "CUSTOM") for operator in model.subgraphs[0].operators]


def text(name: Any) -> str:
    """A name of the file as text."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
