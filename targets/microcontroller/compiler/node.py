"""An operator with its tensors, as lowering sees it: shapes and scales looked up, refusals that name the layer."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from targets.base import Array
from targets.errors import ExportError
from targets.formats.tflite import Graph, Operator, Tensor
from targets.formats.tflite_options import Activation
from targets.microcontroller.compiler import fixed_point

Options = TypeVar("Options")
LARGEST_SCALE = 2.0**50
"""Of a tensor; the smallest is its reciprocal. The ratio of any two is a float32."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operator of a graph."""

    graph: Graph
    operator: Operator

    @property
    def name(self) -> str:
        """The layer's name: its first output's in the file."""
        return self.graph.tensors[self.operator.outputs[0]].name if self.operator.outputs else ""

    def refuse(self, reason: str, cure: str) -> ExportError:
        """The error that tells why this operator can't be compiled; for the caller to raise."""
        return ExportError(f"{self.graph.path}: layer {self.name[:120]!r} ({self.operator.name}): {reason}; {cure}")

    def has(self, position: int) -> bool:
        """Whether the operator has an input here (optional ones may be left out)."""
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def input(self, position: int) -> Tensor:
        """An input that the operator must have."""
        if not self.has(position):
            raise self.refuse(f"input {position} is missing", "export the model again")
        return self.graph.tensors[self.operator.inputs[position]]

    def output(self, position: int = 0) -> Tensor:
        """An output that the operator must have."""
        if position >= len(self.operator.outputs):
            raise self.refuse(f"output {position} is missing", "export the model again")
        return self.graph.tensors[self.operator.outputs[position]]

    def computed(self) -> tuple[Tensor, ...]:
        """The inputs that aren't constants: `x0`, `x1`, … of the layer."""
        tensors = (self.graph.tensors[index] for index in self.operator.inputs if index >= 0)
        return tuple(tensor for tensor in tensors if tensor.data is None)

    def options(self, kind: type[Options]) -> Options:
        """The operator's options; the schema's defaults where the file has none."""
        return self.operator.options if isinstance(self.operator.options, kind) else kind()

    def constant(self, position: int, what: str) -> Array:
        """The values of an input that must be in the file."""
        data = self.input(position).data
        if data is None:
            raise self.refuse(f"its {what} is computed at run time", f"export it with a constant {what}")
        return data

    def integers(self, position: int, what: str) -> tuple[int, ...]:
        """The values of a constant input of whole numbers, flat."""
        values = self.constant(position, what)
        if values.dtype.kind not in "iu":
            raise self.refuse(f"its {what} is {values.dtype}", "export it as int32")
        return tuple(int(value) for value in values.ravel())

    def require_dtype(self, tensor: Tensor, *dtypes: str) -> None:
        """Refuses where the tensor has none of these."""
        if tensor.dtype not in dtypes:
            cure = "quantize the model to int8 in full" if "int8" in dtypes or tensor.dtype == "int8" else "export it with such a tensor"
            raise self.refuse(f"tensor {tensor.name[:80]!r} is {tensor.dtype}, and this operator takes {' or '.join(dtypes)} here", cure)

    def require_rank(self, tensor: Tensor, *ranks: int) -> None:
        """Refuses where the tensor has another number of axes or no elements."""
        if len(tensor.shape) not in ranks or not tensor.elements:
            expected = " or ".join(str(rank) for rank in ranks)
            raise self.refuse(f"tensor {tensor.name[:80]!r} has shape {list(tensor.shape)}, not {expected} axes", "reshape it in the model")

    def require_batch_of_one(self, tensor: Tensor) -> None:
        """Refuses a batch of several samples."""
        if tensor.shape[0] != 1:
            raise self.refuse(f"tensor {tensor.name[:80]!r} has a batch of {tensor.shape[0]}", "export the model with batch 1")

    def scale(self, tensor: Tensor) -> tuple[float, int]:
        """(scale, zero point) of a tensor with one scale; the scale is a float32 held in a float."""
        quantization = tensor.quantization
        if quantization is None or quantization.per_channel:
            raise self.refuse(f"tensor {tensor.name[:80]!r} is {tensor.dtype} and has not one scale", "quantize activations per tensor")
        scale, zero_point = float(quantization.scale[0]), int(quantization.zero_point[0])
        if not 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE or not self._fits(tensor, zero_point):
            raise self.refuse(f"tensor {tensor.name[:80]!r} has scale {scale} and zero point {zero_point}", "quantize the model again")
        return scale, zero_point

    def same_scale(self, first: Tensor, second: Tensor) -> None:
        """Refuses where an operator that only moves numbers would have to rescale them."""
        if self.scale(first) != self.scale(second):
            raise self.refuse("its input and output have different scales", "share one scale over both")

    def require_alike(self, first: Tensor, second: Tensor) -> None:
        """Refuses tensors of two types, or of integers with two scales."""
        self.require_dtype(second, first.dtype)
        if first.dtype != "float32":
            self.same_scale(first, second)

    def weight_scales(self, weights: Tensor, axis: int) -> NDArray[np.float64]:
        """Scales of symmetric weights: [channels along `axis`], the one scale repeated where there is only one."""
        quantization = weights.quantization
        if quantization is None:
            raise self.refuse(f"weights {weights.name[:80]!r} have no scale", "quantize the model in full")
        channels = weights.shape[axis]
        if np.any(quantization.zero_point):
            raise self.refuse(f"weights {weights.name[:80]!r} have a zero point", "quantize weights symmetrically")
        if quantization.per_channel and quantization.axis != axis:
            raise self.refuse(f"weights {weights.name[:80]!r} have a scale along axis {quantization.axis}", f"quantize along axis {axis}")
        if not np.all(np.isfinite(quantization.scale)) or np.any(quantization.scale < 0):
            raise self.refuse(f"weights {weights.name[:80]!r} have a scale that is no positive number", "quantize the model again")
        return np.broadcast_to(quantization.scale.astype(np.float64), channels)

    def require_symmetric(self, tensor: Tensor) -> None:
        """Refuses a zero point, which 16-bit tensors have none of."""
        if self.scale(tensor)[1]:
            raise self.refuse(f"tensor {tensor.name[:80]!r} has a zero point", "quantize 16-bit tensors symmetrically")

    def limits(self, activation: Activation, tensor: Tensor) -> tuple[int, int]:
        """The integers between which the fused activation keeps this output; those of 32 bits are no limit to a float32."""
        if activation not in fixed_point.REAL_LIMITS:
            raise self.refuse(f"its fused activation is {activation.name}", "export the activation as an operator of its own")
        if tensor.dtype == "float32":
            low, high = fixed_point.REAL_LIMITS[activation]
            return -(2**31) if low is None else int(low), 2**31 - 1 if high is None else int(high)
        return fixed_point.activation_limits(activation, *self.scale(tensor), tensor.dtype)

    @staticmethod
    def _fits(tensor: Tensor, zero_point: int) -> bool:
        if np.dtype(tensor.dtype).kind not in "iu":
            return zero_point == 0
        limits = np.iinfo(tensor.dtype)
        return bool(limits.min <= zero_point <= limits.max)
