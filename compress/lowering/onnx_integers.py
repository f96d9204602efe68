"""How integers lie in an ONNX file: those of 4 bits two a byte (INT4), which ONNX has since opset 21, and each weight's zero point."""

from collections.abc import Collection
from typing import Any

from targets.formats import nibbles


def separate_zero_points(file: Any) -> None:
    """Gives, in place, each int8 weight a zero point of its own.

    Where two share one, ONNX Runtime refuses the file as soon as it is told to be precise on x86 (`session.x64quantprecision`).
    """
    import onnx

    stored, taken = {entry.name: entry for entry in file.graph.initializer}, set()
    for node in file.graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) > 2 and {node.input[0], node.input[2]} <= stored.keys():
            if node.input[2] in taken and stored[node.input[0]].data_type == onnx.TensorProto.INT8:
                own = file.graph.initializer.add()
                own.CopyFrom(stored[node.input[2]])
                own.name = node.input[2] = f"{node.output[0]}_zero_point"
            taken.add(node.input[2])


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
