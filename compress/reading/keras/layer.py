"""What a rule for a kind of layer is given and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress.reading.keras.values import FIRST, KERAS, Layout, Value
from targets.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """One layer of the file: its name and class there, its configuration, and its weights in Keras's order.

    `version` is the Keras generation that wrote it (2 or 3); `custom` makes a module of a class or function that the user stands
    in for; `inner` plans a layer that this one wraps, of which it is given the configuration, the name that v3 files have for
    the place, and the input. Of its call, `roles` are the names that its inputs were given by ("" for those without), and
    `options` what else was given.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    weights: Sequence[Array]
    version: int = 3
    custom: "Mapping[str, Callable[[Mapping[str, Any], Sequence[Array]], nn.Module]]" = field(default_factory=dict)
    inner: "Callable[[Mapping[str, Any], str, Value], Made] | None" = None
    roles: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """An entry of the configuration."""
        return self.config.get(key, default)

    def refuse(self, reason: str) -> UserError:
        """The error for a layer that can't be read."""
        return UserError(f"layer '{self.name}' ({self.kind}): {reason}")

    def weight(self, index: int, *shape: int | None) -> torch.Tensor:
        """A weight as float32, of this shape where it is said; None stands for any length."""
        if index >= len(self.weights):
            raise self.refuse(f"has {len(self.weights)} weights in the file, not the {index + 1} or more that its configuration asks for")
        array = self.weights[index]
        fits = not shape or (array.ndim == len(shape) and all(want in (None, size) for want, size in zip(shape, array.shape, strict=True)))
        if not fits or array.dtype.kind not in "fiu":
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise self.refuse(f"its weight {index} is {array.dtype}{list(array.shape)} in the file, not numbers of shape [{wanted}]")
        if array.dtype.kind in "iu" and array.ndim > 1:
            raise self.refuse("its weights are integers; save the model before it is quantized in Keras")
        return torch.from_numpy(np.array(array, dtype=np.float32))

    @property
    def channels_first(self) -> bool:
        """Whether Keras has the channels of this layer at axis 1."""
        return bool(self.get("data_format") == "channels_first")

    @property
    def spatial(self) -> Layout:
        """The layout in which channels are axis 1, as torch's convolutions and pools want them."""
        return KERAS if self.channels_first else FIRST


@dataclass(frozen=True)
class Made:
    """A layer as a torch module, the layout it takes each input in, and those of its outputs."""

    module: nn.Module
    takes: tuple[Layout, ...]
    gives: tuple[Layout, ...]


Rule = Callable[..., Made]
"""Called with the layer, its input values, and what else its call says by name."""


def alike(module: nn.Module, value: Value) -> Made:
    """A module that takes every number by itself: the layout stays."""
    return Made(module, (value.layout,), (value.layout,))


def parameter(values: torch.Tensor) -> nn.Parameter:
    """Weights that train."""
    return nn.Parameter(values.contiguous().clone())


def pairs(value: Any, axes: int) -> tuple[int, ...]:
    """One whole number an axis, from one or several."""
    given = list(value) if isinstance(value, list | tuple) else [value] * axes
    if len(given) != axes or not all(isinstance(number, int) for number in given):
        raise ValueError(f"{value} is not {axes} whole numbers")
    return tuple(given)
