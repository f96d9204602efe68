"""A smaller version of a network, with weights inherited from it, to be trained against it."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch

from compress import cost
from compress.context import Context
from compress.distillation import blocks
from compress.model import Model
from compress.pruning import choice, criteria, surgery
from compress.pruning.analysis import analyse
from compress.pruning.correction import Whole, correct
from compress.pruning.rules import RULES, fallback
from targets.errors import UserError, did_you_mean

Criterion = Literal["reconstruction", "l1", "l2"]


@dataclass(frozen=True)
class Student:
    """How much smaller: `width` is the share of every group of channels that is left, `depth` that of the blocks x + f(x).

    Of blocks those go first without which outputs change least, and of channels the ones that `criterion` finds least important (see
    `compress.pruning.criteria`), so that a multiple of `multiple_of` is left. The weights that stay are inherited, and then solved
    anew layer by layer, by least squares on the calibration data. Blocks that change the shape always stay.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    width: float = 1.0
    depth: float = 1.0
    criterion: Criterion = "reconstruction"
    multiple_of: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "depth"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"student: {name} must be a share from 0 to 1, not {getattr(self, name)}")
        if self.width == 0:
            raise UserError("student: width must be above 0; a layer keeps at least one channel")
        if self.width == self.depth == 1:
            raise UserError("student: width and depth are both 1, which is no smaller network; set one of them below 1")
        if self.criterion not in get_args(Criterion):
            raise UserError(f"student: criterion '{self.criterion}' is not known; {did_you_mean(self.criterion, get_args(Criterion))}")
        if self.multiple_of < 1:
            raise UserError(f"student: multiple_of must be at least 1, not {self.multiple_of}")

    def build(self, model: Model, context: Context) -> tuple[Model, tuple[str, ...]]:
        """The student, without a step of its own in its history, and what was taken from the network it comes from.

        UserError without calibration samples, or where there is no block or channel to take.
        """
        if not context.data.calibration.samples:
            raise UserError("student: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
        student, lines = model, list[str]()
        if self.depth < 1:
            student, lines = self._shallower(student, context)
        if self.width < 1:
            student = self._narrower(student, context)
            lines.append(f"student: {self.width:.0%} of the channels of each group are left")
        before, after = cost.macs(model), cost.macs(student)
        parameters = f"parameters {cost.parameters(model):,} -> {cost.parameters(student):,}"
        return student, (*lines, f"student: MACs {before:,} -> {after:,}, {parameters}")

    def _shallower(self, model: Model, context: Context) -> tuple[Model, list[str]]:
        found = blocks.find(model)
        if not found:
            raise UserError(f"student: {model.name} has no block x + f(x) that keeps its shape; leave 'depth' out")
        gone = blocks.least_important(model, found, len(found) - round(self.depth * len(found)), context)
        graph, nodes = blocks.without(model, [block for block, _ in gone])
        correct(model, graph, Whole(nodes), context)
        blocks.drop_repeated_relus(graph)
        lines = [f"student: {block.name} left out, outputs {error:.1%} off before weights are solved anew" for block, error in gone]
        student = replace(model, graph=graph)
        return student, [*lines, f"student: {len(blocks.find(student))} of {len(found)} blocks x + f(x) are left"]

    def _narrower(self, model: Model, context: Context) -> Model:
        analysis = analyse(model, RULES, fallback)
        groups = choice.groups(analysis)
        if not groups:
            raise UserError(f"student: {model.name} has no channels that could go; leave 'width' out")
        scores = criteria.importance(self.criterion, model, analysis, groups, context)
        removed = set[int]()
        for group in groups:
            order = sorted(group.classes, key=scores.__getitem__)
            removed |= set(order[: len(order) - group.kept(1 - self.width, self.multiple_of)])
        inputs, _ = context.data.calibration.load(np.arange(min(context.data.calibration.samples, len(model.example[0]))))
        graph, cut = surgery.remove(model, analysis, removed, RULES, tuple(torch.from_numpy(array) for array in inputs))
        correct(model, graph, cut, context)
        return replace(model, graph=graph)
