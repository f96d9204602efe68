"""Operators that only move numbers. Which number goes where is told by numpy: a view of an array of the tensor's shape has the steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from targets.base import Array
from targets.formats.tflite import Tensor
from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.text import structure

LOOPS = 5


@dataclass(frozen=True)
class Block:
    """A view of a tensor: where it starts in it and its steps, in bytes."""

    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


def canvas(tensor: Tensor) -> Array:
    """An array of a tensor's shape and dtype, to take views of. It has no memory behind it: only its steps mean something."""
    itemsize = np.dtype(tensor.dtype).itemsize
    steps = np.cumprod([itemsize, *tensor.shape[:0:-1]], dtype=np.int64)[::-1]
    return np.lib.stride_tricks.as_strided(np.empty(1, tensor.dtype), tensor.shape, steps[-len(tensor.shape) :] if tensor.shape else ())


def block(base: Array, view: Array) -> Block:
    """The view as a block of `base`, out of which it was made."""
    offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return Block(offset, view.shape, view.strides)


def move(node: Node, source: str, taken: Block, destination: str, made: Block) -> str:
    """The C statement that copies one block to another of the same shape, in the order of their axes."""
    if taken.shape != made.shape:
        raise node.refuse(f"{list(taken.shape)} numbers go to a place for {list(made.shape)}", "export the model again")
    axes = [entry for entry in zip(taken.shape, taken.steps, made.steps, strict=True) if entry[0] != 1]
    run = node.output().elements and np.dtype(node.output().dtype).itemsize
    while axes and axes[-1][1:] == (run, run):
        run *= axes.pop()[0]
    sizes, from_steps, to_steps = (tuple(column) for column in zip(*axes, strict=True)) if axes else ((), (), ())
    nested = loops(node, sizes, (from_steps, to_steps), LOOPS)
    members = {f"size{index}": loop[0] for index, loop in enumerate(nested)}
    members |= {f"from{index}": loop[1] for index, loop in enumerate(nested)}
    members |= {f"to{index}": loop[2] for index, loop in enumerate(nested)}
    start = f"(const int8_t *){source} + {taken.offset}"
    return f"ep_copy({structure('ep_copy_t', run=run, **members)},\n        {start}, (int8_t *){destination} + {made.offset});"


def rearranged(node: Node, taken: Block) -> Layer:
    """A layer whose one output is, in order, a block of input x0."""
    output = node.output()
    whole = canvas(output)
    made = block(whole, whole.reshape(taken.shape)) if whole.size == np.prod(taken.shape, dtype=np.int64) else block(whole, whole)
    return layer([move(node, "x0", taken, "y0", made)])


def scattered(node: Node, parts: Sequence[Block]) -> Layer:
    """A layer whose outputs are, one after the other, blocks of input x0."""
    statements = []
    for position, taken in enumerate(parts):
        whole = canvas(node.output(position))
        node.require_dtype(node.output(position), node.output().dtype)
        statements.append(move(node, "x0", taken, f"y{position}", block(whole, whole)))
    return layer(statements)


def layer(statements: Sequence[str], constants: tuple[Constant, ...] = ()) -> Layer:
    """A layer of copies."""
    return Layer(body="\n    ".join(statements), headers=("edgepress_copy.h",), constants=constants)


def checked(node: Node, *positions: int, constants: bool = False) -> tuple[Tensor, ...]:
    """These inputs, after a check that each has the output's dtype and scale, and that it isn't a constant unless `constants` allows it."""
    tensors = tuple(node.input(position) for position in positions)
    for tensor in tensors:
        node.require_dtype(tensor, node.output().dtype)
        if tensor.data is not None and not constants:
            raise node.refuse(f"its input {tensor.name[:80]!r} is a constant", "compute it in the model before exporting")
        if tensor.quantization is not None and node.output().quantization is not None:
            node.same_scale(tensor, node.output())
    return tensors


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that several make together, None where they don't fit."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def loops(node: Node, shape: Sequence[int], steps: Sequence[Sequence[int]], most: int) -> list[tuple[int, ...]]:
    """Nested loops over a shape: (size, step of each operand), neighbouring axes joined where all go on evenly, filled up in front."""
    made: list[tuple[int, ...]] = []
    for size, *strides in zip(shape, *steps, strict=True):
        if size == 1:
            continue
        if made and list(made[-1][1:]) == [stride * size for stride in strides]:
            made[-1] = (made[-1][0] * size, *strides)
        else:
            made.append((size, *strides))
    if len(made) > most:
        raise node.refuse(f"it goes along {len(made)} axes that can't be joined", f"split it into steps of at most {most}")
    return [(1, *(0,) * len(steps))] * (most - len(made)) + made


def axis(node: Node, value: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= value < rank:
        raise node.refuse(f"its axis {value} isn't one of {rank}", "export the model again")
    return value % rank
