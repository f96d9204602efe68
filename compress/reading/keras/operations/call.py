"""One call of a function: what it is given, as Keras has it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.reading.keras.config import Tree
from compress.reading.keras.layer import Layer, Made
from compress.reading.keras.values import KERAS, Flat, Layout, Value
from compress.reading.modules import Operator


@dataclass(frozen=True)
class Calling:
    """`args` in order with `Value`s for tensors, `options` by name: the function's configuration and what its call says."""

    layer: Layer
    kind: str
    args: Sequence[Tree]
    options: Mapping[str, Any]

    def get(self, name: str, position: int | None = None, default: Any = None) -> Any:
        """What is given by a name, or at a position."""
        found = self.options.get(name)
        if found is None and position is not None and position < len(self.args):
            found = self.args[position]
        return default if found is None else found

    @property
    def values(self) -> tuple[Value, ...]:
        """All tensors, in order."""
        return tuple(_values([*self.args, *self.options.values()]))

    @property
    def value(self) -> Value:
        """The only tensor."""
        values = self.values
        if len(values) != 1:
            raise self.refuse(f"takes {len(values)} tensors, not one")
        return values[0]

    def refuse(self, reason: str) -> Exception:
        """The error for a call that can't be read."""
        return self.layer.refuse(f"{self.kind} {reason}")

    def whole(self, given: Any) -> list[int]:
        """Whole numbers that must stand in the file."""
        found = given.tolist() if isinstance(given, np.ndarray) else given
        listed = list(found) if isinstance(found, list | tuple) else [found]
        if not all(isinstance(each, int) for each in listed):
            raise self.refuse(f"needs whole numbers that stand in the file, not {listed}")
        return listed


Function = Callable[[Calling], Made]


class WithConstant(nn.Module):
    """A function of a tensor and an array that stands in the file."""

    def __init__(self, function: Callable[..., Any], constant: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("constant", constant)

    def forward(self, values: torch.Tensor) -> Any:
        """The call."""
        return self.function(values, self.constant)


def plain(value: Value) -> Layout:
    """A value's layout, but Keras's own for a flattened image."""
    return KERAS if isinstance(value.layout, Flat) else value.layout


def as_keras(call: Calling, function: Callable[..., Any], outputs: int = 1) -> Made:
    """A function of all tensors as Keras lays them out."""
    return Made(Operator(function), (KERAS,) * len(call.values), (KERAS,) * outputs)


def _values(tree: Tree) -> list[Value]:
    if isinstance(tree, Value):
        return [tree]
    if isinstance(tree, Mapping):
        return _values(list(tree.values()))
    return [found for each in tree for found in _values(each)] if isinstance(tree, list | tuple) else []
