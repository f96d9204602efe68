"""BATCH_MATMUL."""

import numpy as np

from targets.base import Array
from targets.formats.tflite import Tensor
from targets.formats.tflite_options import BatchMatMulOptions
from targets.microcontroller.compiler import moves, operands
from targets.microcontroller.compiler.fixed_point import quantize_multiplier
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure


class BatchMatmul:
    """int8 [..., rows, depth] times [..., depth, columns], either transposed first; the axes in front are broadcast."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        options = node.options(BatchMatMulOptions)
        first, second, output = node.input(0), node.input(1), node.output()
        for tensor in (first, second, output):
            node.require_dtype(tensor, "int8")
            node.require_rank(tensor, *range(2, 6))
        left = _matrices(first, options.adjoint_x)
        right = _matrices(second, options.adjoint_y)
        batch = moves.broadcast(left.shape[:-2], right.shape[:-2])
        rows, depth = left.shape[-2:]
        columns = right.shape[-1]
        if batch is None or right.shape[-2] != depth or output.shape != (*batch, rows, columns):
            raise node.refuse(f"{list(left.shape)} times {list(right.shape)} isn't {list(output.shape)}", "export the model again")
        if depth * 255**2 >= 2**31:
            raise node.refuse(f"its sums of {depth} products may leave 32 bits", "split it into smaller products")
        steps = [np.broadcast_to(matrices, (*(1,) * (3 - len(batch)), *batch, *matrices.shape[-2:])).strides for matrices in (left, right)]
        members = dict(zip(("batch0", "batch1", "batch2"), (*(1,) * (3 - len(batch)), *batch), strict=True))
        for name, values in zip(("first", "second"), steps, strict=True):
            members |= {f"{name}{index}": value for index, value in enumerate(values)}
        product = float(np.float32(node.scale(first)[0]) * np.float32(node.scale(second)[0]))
        multiplier, shift = quantize_multiplier(product / node.scale(output)[0])
        names, constants = operands.named(node, 0, 1)
        shape = structure(
            "ep_batch_matmul_t",
            **members,
            rows=rows,
            columns=columns,
            depth=depth,
            first_zero_point=node.scale(first)[1],
            second_zero_point=node.scale(second)[1],
            output_zero_point=node.scale(output)[1],
            multiplier=multiplier,
            shift=shift,
        )
        return Layer(
            body=f"ep_batch_matmul({shape},\n        {', '.join(names)}, y0);",
            headers=("edgepress_batch_matmul.h",),
            constants=constants,
            macs=output.elements * depth,
        )


def _matrices(tensor: Tensor, transposed: bool) -> Array:
    matrices = moves.canvas(tensor)
    return matrices.swapaxes(-1, -2) if transposed else matrices
