"""What pruning did, as a file: a line for each axis of each weight that lost something, to read, to compare and to do again."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx

from compress.model import Step
from compress.pruning.analysis import Analysis
from compress.pruning.labels import PINNED
from targets.errors import UserError

Plan = dict[str, dict[int, list[int]]]
"""By weight and axis the indices that are left, ascending."""

Tensors = dict[str, dict[int, torch.Tensor]]
"""The same with int64 tensors, as surgery has it."""

VERSION = 1


def write_all(history: Iterable[Step], folder: Path) -> None:
    """Writes `plan.json` for the first step that removed channels, `plan-2.json` for a second one and so on."""
    pruned = [step for step in history if "plan" in step.details]
    for number, step in enumerate(pruned, 1):
        name = "plan.json" if number == 1 else f"plan-{number}.json"
        (folder / name).write_text(text(step.details["plan"]), encoding="utf-8")


def text(plan: Mapping[str, Mapping[Any, list[int]]]) -> str:
    """The file's content."""
    lines = [
        json.dumps({"weight": name, "axis": int(axis), "left": list(left)}) for name, axes in plan.items() for axis, left in axes.items()
    ]
    return f'{{"version": {VERSION}, "weights": [\n' + ",\n".join(lines) + "\n]}\n"


def read(path: Path) -> Plan:
    """A plan file. UserError where it can't be read or is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise UserError(f"{path}: is a plan of version {content['version']}, and this edgepress reads {VERSION}")
        plan: Plan = {}
        for line in content["weights"]:
            plan.setdefault(str(line["weight"]), {})[int(line["axis"])] = [int(each) for each in line["left"]]
    except OSError as error:
        raise UserError(f"plan: {path} can't be read: {error.strerror}; a run writes plan.json into its folder") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"plan: {path} is no plan that a run wrote ({type(error).__name__}: {error}); a run writes plan.json") from None
    return plan


def removed(plan: Plan, analysis: Analysis, graph: fx.GraphModule) -> set[int]:
    """The classes that a plan removes from a network. UserError where it was made for another one."""
    gone: set[int] = set()
    stay: set[int] = {PINNED}
    for name, axes in plan.items():
        for axis, left in axes.items():
            found = analysis.classes.find(_vector(name, axis, analysis, graph))
            if not left or min(left) < 0 or max(left) >= len(found):
                raise UserError(
                    f"plan: '{name}' has {len(found)} channels along axis {axis} in this network, and the plan was made for another"
                )
            mask = torch.ones(len(found), dtype=torch.bool).index_fill(0, torch.tensor(left), False)
            gone |= set(found[mask].tolist())
            stay |= set(found[~mask].tolist())
    if gone & stay:
        raise UserError("plan: removes channels that are tied to ones that stay in this network; it was made for another")
    return gone


def composed(first: Tensors, second: Tensors) -> Tensors:
    """What is left after a cut and a second one of what the first left."""
    both = {name: dict(axes) for name, axes in first.items()}
    for name, axes in second.items():
        for axis, left in axes.items():
            before = both.setdefault(name, {}).get(axis)
            both[name][axis] = left if before is None else before[left]
    return both


def plain(left: Tensors) -> dict[str, dict[str, list[int]]]:
    """For a step's details, which JSON holds."""
    return {name: {str(axis): indices.tolist() for axis, indices in axes.items()} for name, axes in left.items()}


def _vector(name: str, axis: int, analysis: Analysis, graph: fx.GraphModule) -> torch.Tensor:
    if axis in analysis.axes.get(name, {}):
        return analysis.axes[name][axis]
    if name in analysis.elements and axis < analysis.elements[name].ndim:
        return analysis.classes.along(analysis.elements[name], axis)
    there = f"has no channels along axis {axis}" if name in graph.state_dict() else "is no weight of this network"
    raise UserError(f"plan: '{name}' {there}; the plan was made for another")
