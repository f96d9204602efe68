"""Operators that torch hasn't, under `torch.ops.edgepress`, registered when this module is imported."""

import torch

from compress.unlifted import session

STEPS = 255
"""From the lowest integer of 8 bits to the highest."""
SMALLEST_SCALE = 1e-30
"""A row of zeros still needs one."""


@torch.library.custom_op("edgepress::round_dynamically", mutates_args=())
def round_dynamically(values: torch.Tensor, rows: int) -> torch.Tensor:
    """What integer kernels with dynamic ranges make of an activation: float32, its own shape, rounded to int8 and back.

    Each index into the first `rows` axes has a scale and a zero point of its own, of the least and the largest value there
    and zero, as TFLite's hybrid kernels have.
    """
    flat = values.flatten(rows)
    scale, zero_point = row_parameters(flat.amin(-1, keepdim=True), flat.amax(-1, keepdim=True), lowest=-128)
    integers = ((flat / scale).round() + zero_point).clamp(-128, 127)
    return ((integers - zero_point) * scale).reshape(values.shape)


def row_parameters(low: torch.Tensor, high: torch.Tensor, lowest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and zero points of values from `low` to `high` and zero, in integers from `lowest` on."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / STEPS).clamp(min=SMALLEST_SCALE)
    return scale, (lowest - low / scale).round()


@round_dynamically.register_fake
def _(values: torch.Tensor, rows: int) -> torch.Tensor:  # noqa: ARG001  one signature for both
    return torch.empty_like(values)


@torch.library.custom_op("edgepress::dequantize_per_block", mutates_args=())
def dequantize_per_block(integers: torch.Tensor, scales: torch.Tensor, axis: int, quant_min: int, quant_max: int) -> torch.Tensor:  # noqa: ARG001
    """Real weights, float32, from int8 ones that lie between `quant_min` and `quant_max`.

    `scales` has the axes of `integers`, of which `axis` is shorter: so many blocks of equal size share a scale each.
    """
    block = integers.shape[axis] // scales.shape[axis]
    return integers * scales.repeat_interleave(block, axis)


@dequantize_per_block.register_fake
def _(integers: torch.Tensor, scales: torch.Tensor, axis: int, quant_min: int, quant_max: int) -> torch.Tensor:  # noqa: ARG001
    return torch.empty_like(integers, dtype=scales.dtype)


@torch.library.custom_op("edgepress::run_tflite", mutates_args=())
def run_tflite(file: torch.Tensor, inputs: list[torch.Tensor], sizes: list[int], ranks: list[int], why: str) -> list[torch.Tensor]:  # noqa: ARG001
    """What a TFLite file, uint8 [bytes], gives in LiteRT for samples [N, …] of its inputs, in the file's layout: float32 [N, …] each.

    A sample's shape in output `i` is the next `ranks[i]` of `sizes`. `why` says what kept the file from being lifted to torch.
    """
    found = session.run(file.numpy().tobytes(), [tensor.numpy() for tensor in inputs])
    return [torch.from_numpy(values) for values in found]


@run_tflite.register_fake
def _(file: torch.Tensor, inputs: list[torch.Tensor], sizes: list[int], ranks: list[int], why: str) -> list[torch.Tensor]:  # noqa: ARG001
    left = iter(sizes)
    return [torch.empty(inputs[0].shape[0], *(next(left) for _ in range(rank)), device=inputs[0].device) for rank in ranks]
