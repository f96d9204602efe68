"""Integers of 4 bits in an ONNX file: two a byte (INT4), which ONNX has since opset 21."""

from collections.abc import Collection
from typing import Any

from targets.formats import nibbles


def pack_weights(file: Any, names: Collection[str]) -> None:
    """Stores, in place, the int8 initializers with these names two a byte.

    The nodes that read them do without a zero point, which would need 4 bits too and is 0.
    """
    import onnx

    for stored in file.graph.initializer:
        if stored.name in names:
            packed = nibbles.pack(onnx.numpy_helper.to_array(stored)).tobytes()
            stored.CopyFrom(onnx.helper.make_tensor(stored.name, onnx.TensorProto.INT4, stored.dims, packed, raw=True))
    for value in file.graph.value_info:
        if value.name in names:
            value.type.tensor_type.elem_type = onnx.TensorProto.INT4
    for node in file.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in names:
            del node.input[2:]
    read = {name for node in file.graph.node for name in node.input} | {value.name for value in file.graph.output}
    kept = [stored for stored in file.graph.initializer if stored.name in read]
    del file.graph.initializer[:]
    file.graph.initializer.extend(kept)
