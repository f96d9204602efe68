"""What an operator is lowered to: a layer, the C body of one function with its constants and its needs of memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from targets.base import Array
from targets.microcontroller.compiler.node import Node


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in flash. `guard` is the preprocessor's condition under which it is compiled in; empty for always."""

    name: str
    values: Array
    guard: str = ""


@dataclass(frozen=True, eq=False)
class Kernel:
    """The call `function((structure){members}, arguments)`, whose code layers of one kind may share (see `sharing`).

    `arguments` are names of pointers, as a layer's body has them, or literals. `kind` are the members that choose the kernel's loops:
    layers that share its code agree in them, and in the literals.
    """

    function: str
    structure: str
    members: Mapping[str, int]
    arguments: tuple[str, ...]
    kind: tuple[str, ...] = ()

    @property
    def pointers(self) -> tuple[str, ...]:
        """The arguments that are pointers."""
        return tuple(argument for argument in self.arguments if argument.isidentifier())


@dataclass(frozen=True)
class Rows:
    """How a layer's rows lie over its input's: each needs `extent` of them, `stride` further down than the one above, the first `pad`
    above the input."""

    input: int
    output: int
    extent: int
    stride: int
    pad: int

    def needed(self, start: int, end: int) -> tuple[int, int]:
        """The input's rows for the output's, from `start` to `end` without it."""
        return max(start * self.stride - self.pad, 0), min((end - 1) * self.stride - self.pad + self.extent, self.input)


@dataclass(frozen=True, eq=False)
class Layer:
    """One function of the generated C: a call of `kernel`, or `body` where there is none.

    `body` is C: `x0`, `x1`, … are the operator's computed inputs in their order in the file, `y0`, … its outputs, `scratch` is int8_t
    memory of `scratch_bytes`, and constants go by the names they have here. `headers` are kernels of `kernels/`.

    `in_place` allows output 0 to share memory with input x<key>: it must start at least that many bytes after the output, or, where
    the value is `planner.SAME_PLACE`, at the same byte.
    `rows` is for a layer of one input and one output, [1, height, width, channels], whose kernel takes any part of the height by its
    members input_height, output_height and pad_top.
    `is_view` says that the output is the input under another shape: no code at all.
    """

    body: str = ""
    kernel: Kernel | None = None
    headers: tuple[str, ...] = ()
    constants: tuple[Constant, ...] = ()
    macs: int = 0
    scratch_bytes: int = 0
    in_place: Mapping[int, int] = field(default_factory=dict)
    rows: Rows | None = None
    is_view: bool = False


class Lowering(Protocol):
    """What a module of `operators/` defines, as a class in CamelCase: `conv_2d.py` has `Conv2d` for CONV_2D."""

    def __call__(self, node: Node) -> Layer:
        """The operator as a layer. Raises ExportError, by `node.refuse`, for an option or dtype that isn't supported."""
