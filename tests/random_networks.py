"""Random networks over every operator that the compiler knows: shapes, options, quantization and branches, the same for the same seed.

A step is a function that adds an operator behind tensors that suit it, or does nothing where there are none. Numbers stay within what
LiteRT's reference kernels compute rightly; SUM and ELU, of which it has no right reference kernel, are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tflite_files import Builder

MOST = 3000
"""Numbers in a tensor."""


class Steps(dict):
    """A function for each operator; it takes the network and the operator's name."""

    def of(self, *names):
        """Enters a function for these operators."""

        def enter(function):
            self.update(dict.fromkeys(names, function))
            return function

        return enter


@dataclass(frozen=True)
class Known:
    """A tensor of a network under construction."""

    index: int
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | None = None
    zero_point: int = 0

    @property
    def quantization(self):
        return self.scale, self.zero_point

    @property
    def limits(self):
        """The real numbers that it spans."""
        return [(value - self.zero_point) * self.scale for value in (-128, 127)]

    @property
    def size(self):
        return int(np.prod(self.shape))


class Network:
    """Grows operator by operator; each takes any of the tensors that are there, mostly late ones."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.builder = Builder()
        self.tensors: list[Known] = []
        self.used: set[int] = set()
        self.names: list[str] = []
        self.input((1, self.number(3, 9), self.number(3, 9), self.number(1, 8)))
        if self.chance(0.3):
            self.input((1, self.number(2, 12)))

    def number(self, low: int, high: int) -> int:
        """A whole number, both limits counted."""
        return int(self.random.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def one(self, choices):
        return choices[self.number(0, len(choices) - 1)]

    def integers(self, *shape) -> np.ndarray:
        return self.random.integers(-127, 128, shape)

    def span(self, low: float, high: float) -> tuple[float, int]:
        """A quantization for real numbers between two limits, more or less."""
        wide = max(high - low, 1e-3) * self.random.uniform(0.6, 1.4)
        scale = float(np.float32(min(wide / 255, 0.9)))
        return scale, int(np.clip(round(-128 - low / scale) + self.number(-9, 9), -128, 127))

    def input(self, shape) -> Known:
        scale, zero_point = self.span(-self.random.uniform(0, 3), self.random.uniform(0.5, 3))
        return self.know(self.builder.input(shape, scale, zero_point), shape, "int8", (scale, zero_point))

    def know(self, index, shape, dtype, quantization) -> Known:
        self.tensors.append(Known(index, tuple(int(size) for size in shape), dtype, *quantization))
        return self.tensors[-1]

    def pick(self, *ranks: int, dtype="int8", suits: Callable[[Known], bool] = lambda _: True) -> Known | None:
        """A tensor that suits, more likely a late one."""
        found = [tensor for tensor in self.tensors if tensor.dtype == dtype and (not ranks or len(tensor.shape) in ranks) and suits(tensor)]
        return found[-1 - min(int(self.random.geometric(0.45)) - 1, len(found) - 1)] if found else None

    def constant(self, values, dtype="int32", quantization=(None, 0), axis=0) -> int:
        return self.builder.constant(values, dtype, scale=quantization[0], zero_point=quantization[1], axis=axis)

    def add(self, name, inputs, shape, options=None, quantization=(None, 0), dtype="int8", **values) -> Known:
        """Adds an operator with one output; inputs are tensors or indices of constants."""
        return self.add_all(name, inputs, [shape], options, quantization, dtype, **values)[0]

    def add_all(self, name, inputs, shapes, options=None, quantization=(None, 0), dtype="int8", **values) -> list[Known]:
        indices = [entry.index if isinstance(entry, Known) else entry for entry in inputs]
        self.used.update(indices)
        self.names.append(name)
        made = [self.builder.tensor(shape, dtype, *quantization) for shape in shapes]
        self.builder.operator(name, indices, made, options, **values)
        return [self.know(index, shape, dtype, quantization) for index, shape in zip(made, shapes, strict=True)]

    def requantized(self, tensor: Known, quantization) -> Known:
        """The tensor with another scale."""
        return self.add("QUANTIZE", [tensor], tensor.shape, quantization=quantization)

    def path(self, folder, name):
        """The file; what nobody uses is an output."""
        outputs = [tensor.index for tensor in self.tensors if tensor.index not in self.used and tensor.index not in self.builder.inputs]
        return self.builder.write(folder / name, outputs=outputs)
