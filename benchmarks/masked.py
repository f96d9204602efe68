"""The oracle of pruning: the whole network with what a plan removes set to zero, made from the plan alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

Plan = Mapping[str, Mapping[Any, Sequence[int]]]
"""The indices that are left, by weight and axis."""

aten = torch.ops.aten


class Masked(fx.Interpreter):
    """Runs a captured graph with every removed slice of every weight zero; layer and group norms count only the channels left."""

    def __init__(self, graph: fx.GraphModule, plan: Plan) -> None:
        super().__init__(graph)
        self.plan = {name: {int(axis): torch.as_tensor(kept) for axis, kept in axes.items()} for name, axes in plan.items()}

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "get_attr":
            return self._zeroed(str(n.target), super().run_node(n))
        scale: Any = n.args[2] if len(n.args) > 2 else None
        kept = self.plan.get(str(getattr(scale, "target", "")), {}).get(0)
        if kept is None or n.target not in (aten.layer_norm.default, aten.rms_norm.default, aten.group_norm.default):
            return super().run_node(n)
        value, over, *others = self.map_nodes_to_values(n.args, n)
        axis = 1 if n.target == aten.group_norm.default else value.ndim - 1
        counted = len((kept // (value.shape[1] // over)).unique()) if axis == 1 else [len(kept)]
        left = [each.index_select(0, kept) if isinstance(each, torch.Tensor) else each for each in others]
        return torch.zeros_like(value).index_copy(axis, kept, n.target(value.index_select(axis, kept), counted, *left))

    def _zeroed(self, name: str, value: torch.Tensor) -> torch.Tensor:
        for axis, kept in self.plan.get(name, {}).items():
            mask = torch.zeros(value.shape[axis], dtype=value.dtype).index_fill(0, kept, 1)
            value = value * mask.reshape([-1 if k == axis else 1 for k in range(value.ndim)])
        return value


def plan_of(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> dict[str, dict[int, list[int]]]:
    """The plan that a tool followed, told by the values that are left of weights whose values are all distinct."""
    plan: dict[str, dict[int, list[int]]] = {}
    for name, old in before.items():
        new = after[name]
        for axis in range(old.ndim):
            if new.shape[axis] < old.shape[axis]:
                line = new[tuple(slice(None) if k == axis else 0 for k in range(new.ndim))]
                places = [int((old == value).nonzero()[0, axis]) for value in line]
                plan.setdefault(name, {})[axis] = places
    return plan
