"""What Keras's `padding` adds to each spatial axis."""

from collections.abc import Sequence

from compress.reading.keras.layer import Layer

Pads = list[tuple[int, int]]
"""Before and after, for each spatial axis."""


def amounts(layer: Layer, sizes: Sequence[int], reach: Sequence[int], stride: Sequence[int]) -> Pads:
    """For windows that reach over `reach` numbers: `same` pads more after than before where it can't pad evenly; `causal` only before."""
    mode = str(layer.get("padding", "valid")).lower()
    if mode == "valid":
        return [(0, 0)] * len(reach)
    if mode == "causal":
        return [(size - 1, 0) for size in reach]
    if mode != "same":
        raise layer.refuse(f"padding '{mode}' is none of valid, same and causal")
    totals = [max((-(-size // step) - 1) * step + over - size, 0) for size, over, step in zip(sizes, reach, stride, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def flat(pads: Pads) -> list[int]:
    """As torch.nn.functional.pad takes them: the last axis first."""
    return [amount for pair in reversed(pads) for amount in pair]


def symmetric(pads: Pads) -> bool:
    """Whether both sides of every axis have the same."""
    return all(before == after for before, after in pads)
