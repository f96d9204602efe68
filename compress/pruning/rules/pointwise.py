"""Operators that work element by element, and those that nothing is known of."""

from typing import Any

import torch

from compress.pruning.analysis import Call, operator
from compress.pruning.labels import Classes, Labels, pinned

TRANSPARENT = frozenset({"dropout", "alpha_dropout", "feature_dropout", "contiguous", "clone", "detach", "alias", "to", "_to_copy"})
ACTIVATIONS = frozenset({"relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "mish", "gelu", "elu", "selu", "celu", "softplus"})
"""Operators of one operand that keep every element in its place, though torch does not tag all of them as pointwise."""
CHOICES = frozenset({"where", "masked_fill"})
"""The same of several operands."""


def spread_or_keep(call: Call) -> Any:
    """Labels of a pointwise operator's result, or pinned ones after all its operands were pinned."""
    if operator(call.node) in TRANSPARENT | ACTIVATIONS:
        return call.labels(next(iter(call.operands)))
    pointwise = operator(call.node) in CHOICES or torch.Tag.pointwise in getattr(call.node.target, "tags", ())
    if pointwise and isinstance(call.result, torch.Tensor):
        return combine(call.classes, _operands(call), call.result.shape)
    return keep_all(call, f"operator {operator(call.node)} is not followed")


def keep_all(call: Call, reason: str) -> Any:
    """Pins everything that reaches an operator."""
    for labels in _operands(call):
        call.keep(labels, reason)
    if isinstance(call.result, torch.Tensor):
        return pinned(call.result.shape)
    return tuple(pinned(each.shape) if isinstance(each, torch.Tensor) else None for each in call.result)


def combine(classes: Classes, operands: list[Labels], shape: torch.Size) -> Labels:
    """Ties operands that broadcast to `shape` and gives the result's labels.

    An operand that stays, and is repeated along the axis in which another's channels lie, lets these go one by one, since it has one
    element for all of them; channels that lie in its other axes too are tied along those.
    """
    broadcast = [labels.expand(shape) for labels in operands]
    repeated = [
        _repeated(labels, shape)
        if _stays(classes, labels) and any(classes.varies(other, axis) for axis in _repeated(labels, shape) for other in broadcast)
        else None
        for labels in operands
    ]
    counted = [labels for labels, axes in zip(broadcast, repeated, strict=True) if axes is None]
    first, *others = counted
    for other in others:
        classes.tie(first, other)
    result = max(counted, key=lambda labels: sum(stride != 0 for stride in labels.stride()))
    for free in repeated:
        for axis in set(range(len(shape))) - set(range(len(shape)) if free is None else free):
            if classes.varies(result, axis):
                classes.tie(result, result.narrow(axis, 0, 1))
    return result


def _operands(call: Call) -> list[Labels]:
    found: list[Labels] = []
    for name, value in call.values.items():
        operand = call.operands[name]
        if isinstance(value, torch.Tensor):
            found.append(call.analysis.of(operand, value))
        elif isinstance(value, tuple | list):
            pairs = zip(operand if isinstance(operand, tuple | list) else [operand] * len(value), value, strict=True)
            found += [call.analysis.of(each, tensor) for each, tensor in pairs if isinstance(tensor, torch.Tensor)]
    return found


def _stays(classes: Classes, labels: Labels) -> bool:
    return not bool((classes.find(labels) != 0).any())


def _repeated(labels: Labels, shape: torch.Size) -> list[int]:
    """Axes of `shape` along which a tensor of fewer or shorter axes is repeated."""
    missing = len(shape) - labels.ndim
    return [axis for axis, size in enumerate(shape) if size > 1 and (axis < missing or labels.shape[axis - missing] == 1)]
