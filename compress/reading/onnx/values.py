"""What flows through a file's graph: tensors, and sizes that are known while the network is captured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from targets.errors import UserError

Sizes = NDArray[Any]
"""Whole numbers (int64), or with a free batch axis numbers and torch's symbols for them (object): shapes, axes, pads, indices."""

Value = torch.Tensor | Sizes


@dataclass(frozen=True)
class Call:
    """One operator of the file: its name there, ONNX's name of the operator, its attributes and the version of the operator set."""

    name: str
    operator: str
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 13
    outputs: int = 1

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(attribute, default)

    def refuse(self, reason: str) -> UserError:
        """The error for a call that is in ONNX's specification but not here."""
        return UserError(f"operator '{self.name}' ({self.operator}): {reason}")

    def integers(self, attribute: str, value: Value | None, default: Sequence[int] | None = None) -> list[Any] | None:
        """Axes or the like that newer operator sets give as an input and older ones as an attribute."""
        if value is not None:
            return self.sizes(value).reshape(-1).tolist()
        given = self.attributes.get(attribute, default)
        return None if given is None else list(given) if isinstance(given, Sequence) else [given]

    def sizes(self, value: Value) -> Sizes:
        """A value that must be known while the network is captured."""
        if isinstance(value, torch.Tensor):
            raise self.refuse("its sizes are computed from the data; only networks of fixed structure can be read")
        return value


@dataclass(frozen=True)
class Step:
    """A call, the names of what it reads ("" where an optional input is left out) and of what it makes."""

    call: Call
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def tensor(value: Value) -> torch.Tensor:
    """A value as a tensor. Sizes that depend on the batch become a tensor too."""
    if isinstance(value, torch.Tensor):
        return value
    if value.dtype != object:
        return torch.from_numpy(np.array(value))  # a copy, since a file's arrays can't be written to
    return torch.stack([torch.as_tensor(each) for each in value.reshape(-1)]).reshape(value.shape)
