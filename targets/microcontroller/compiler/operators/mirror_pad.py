"""MIRROR_PAD."""

import itertools

from targets.formats.tflite_options import MirrorMode, MirrorPadOptions
from targets.microcontroller.compiler import moves, padding
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class MirrorPad:
    """Any dtype."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        (source,) = moves.checked(node, 0)
        repeated = int(node.options(MirrorPadOptions).mode == MirrorMode.SYMMETRIC)
        paddings = padding.amounts(node, source)
        if any(max(pair) > size - 1 + repeated for size, pair in zip(source.shape, paddings, strict=True)):
            raise node.refuse(f"its padding {paddings} is larger than its input {list(source.shape)}", "export the model again")
        base, whole = moves.canvas(node.output()), moves.canvas(source)
        statements = []
        for parts in itertools.product(*(_parts(size, *pair, repeated) for size, pair in zip(source.shape, paddings, strict=True))):
            made = base[tuple(part[0] for part in parts)]
            taken = whole[tuple(part[1] for part in parts)]
            statements.append(moves.move(node, "x0", moves.block(whole, taken), "y0", moves.block(base, made)))
        return moves.layer(statements)


def _parts(size: int, before: int, after: int, repeated: int) -> list[tuple[slice, slice]]:
    """What fills the parts of an axis that aren't empty: (where in the output, out of where in the input)."""
    edge = 1 - repeated
    pieces = (
        (slice(0, before), _backwards(edge, before)),
        (slice(before, before + size), slice(0, size)),
        (slice(before + size, before + size + after), _backwards(size - edge - after, after)),
    )
    return [piece for piece in pieces if piece[0].start != piece[0].stop]


def _backwards(start: int, count: int) -> slice:
    """The `count` entries from `start` on, last one first."""
    return slice(start + count - 1, start - 1 if start else None, -1)
