"""SELECT and SELECT_V2: numbers of one of two tensors, as truths say."""

import numpy as np

from targets.microcontroller.compiler import moves, operands
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

LOOPS = 4


def lower(node: Node, truths: tuple[int, ...] | None = None) -> Layer:
    """Takes input 1 where input 0, in shape `truths`, holds, else input 2."""
    condition, output = node.input(0), node.output()
    node.require_dtype(condition, "bool")
    chosen = [node.input(1), node.input(2)]
    for tensor in chosen:
        node.require_dtype(tensor, output.dtype)
        if tensor.quantization is not None and output.quantization is not None:
            node.same_scale(tensor, output)
    canvases = [moves.canvas(condition).reshape(condition.shape if truths is None else truths), *map(moves.canvas, chosen)]
    if moves.broadcast(*(canvas.shape for canvas in canvases)) != output.shape:
        raise node.refuse(f"its inputs don't make {list(output.shape)}", "export the model again")
    loops = moves.loops(node, output.shape, [np.broadcast_to(canvas, output.shape).strides for canvas in canvases], LOOPS)
    members = {f"size{index}": size for index, (size, *_) in enumerate(loops)}
    for position, name in enumerate(("truth", "first", "second"), 1):
        members |= {f"{name}{index}": loop[position] for index, loop in enumerate(loops)}
    names, constants = operands.named(node, 0, 1, 2)
    shape = structure("ep_select_t", **members, run=np.dtype(output.dtype).itemsize)
    return Layer(body=f"ep_select({shape},\n        {', '.join(names)}, y0);", headers=("edgepress_select.h",), constants=constants)
