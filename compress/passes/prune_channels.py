"""Removes whole channels: the network gets smaller and faster with every runtime."""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import fx

from compress import cost
from compress.context import Context
from compress.keep import kept
from compress.model import Model, Stage, Step
from compress.pruning import budgets, choice, criteria, plans, surgery
from compress.pruning.analysis import Analysis, analyse
from compress.pruning.budgets import Costs
from compress.pruning.correction import correct
from compress.pruning.rules import RULES, fallback
from compress.pruning.selection import Expected, Selection
from compress.pruning.sizes import Sizes
from compress.recipe import plain
from compress.staircase import table
from compress.staircase.files import Precision
from compress.training import TrainingOptions, learn_labels, train
from targets import boards
from targets.errors import UserError, did_you_mean


@dataclass(frozen=True)
class PruneChannels:
    """Removes `ratio` of every group of channels, or as many as leave a share of the network's cost: its budget.

    A group is what must be cut alike: the channels of a layer with everything that a residual sum, a depthwise convolution or the like
    ties to them. Inner layers lose channels on both sides, so `ratio: 0.5` leaves about a quarter of the MACs and `ratio: 0.3`
    about half. A budget is a share to leave of `macs`, of `parameters`, of the `latency` on `target`, or of the `ram` that activations
    take (on a microcontroller by the C compiler's plan); without any, `ratio` is 0.5. `criterion` says which channels of a group go (see
    `compress.pruning.criteria`). `scope: global` lets groups compete instead, `ratio` then being the share of all channels; criteria
    that tell what a removal costs are weighed against the MACs it saves. `multiple_of` is what the channels left of a group are a multiple
    of, as far as it has that many. `keep` lists layers that stay whole, by patterns as file names have (`head.*`). `correct` then
    solves the weights that are left anew, layer by layer, by least squares on the calibration data, so that little accuracy is lost even
    before training.

    With a `target`, a microcontroller board or `host`, the operators are timed there at a few numbers of channels, as a file of
    `precision` has them, and groups keep channels that cost nothing; `scope: global` then weighs importance against the time saved.

    With `steps` the same is removed little by little, with `epochs` of training at `learning_rate` after each step but the last. `plan`
    is the `plan.json` that an earlier run wrote: the same channels go again, whatever the other options choose. Relative paths start
    at `folder`.

    Channels of inputs and outputs, and those that an operator touches which isn't followed, always stay.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    ratio: float | None = None
    macs: float | None = None
    parameters: float | None = None
    latency: float | None = None
    ram: float | None = None
    target: str | None = None
    precision: Precision = "int8"
    criterion: criteria.Criterion = "reconstruction"
    scope: Literal["uniform", "global"] = "uniform"
    multiple_of: int = 1
    keep: tuple[str, ...] = ()
    correct: bool = True
    steps: int = 1
    epochs: int = 0
    learning_rate: float = 1e-3
    plan: str | None = None
    folder: Path = field(default_factory=Path, repr=False)

    def __post_init__(self) -> None:
        self._check_budget()
        words = {"criterion": get_args(criteria.Criterion), "scope": ("uniform", "global"), "precision": get_args(Precision)}
        for name, possible in words.items():
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        for name, least in (("multiple_of", 1), ("steps", 1), ("epochs", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.plan is not None and self.steps > 1:
            raise UserError("plan is done in one step; leave steps out")
        if self.epochs and self.steps == 1:
            raise UserError("epochs are trained between steps; set steps to 2 or more, or put finetune behind")
        if self.plan is not None:
            self._plan()
        self._training()

    def _check_budget(self) -> None:
        given = [name for name in ("ratio", *budgets.NAMES) if getattr(self, name) is not None]
        if len(given) > 1:
            raise UserError(f"one of ratio and the budgets at a time, not {' and '.join(given)}")
        if self.ratio is not None and not 0 <= self.ratio < 1:
            raise UserError(f"ratio must be a share from 0 to below 1, not {self.ratio}")
        if self.budget and not 0 < self.share <= 1:
            raise UserError(f"{self.budget} must be the share to leave of the network's, above 0 and at most 1, not {self.share:g}")
        if self.latency is not None and self.target is None:
            raise UserError("latency: it must be told on what; add target: host, or a board's name")
        if self.target is not None:
            table.refuse_untimed(self.target)

    @property
    def budget(self) -> str | None:
        """The name of what a share is to be left of; None where `ratio` counts."""
        return next((name for name in budgets.NAMES if getattr(self, name) is not None), None)

    @property
    def share(self) -> float:
        """The share to be left of the budget's."""
        found: float = getattr(self, self.budget or "ratio")
        return found

    def fingerprint(self) -> str:
        """A hash of the plan's and the board's files, empty where none is given. UserError where the plan can't be read."""
        plan = "" if self.plan is None else sha256(plans.text(self._plan()).encode()).hexdigest()
        return plan + ("" if self.target is None else boards.fingerprint(self.target))

    def __call__(self, model: Model, context: Context) -> Model:
        """The smaller network.

        UserError where a pattern of `keep` matches no layer, nothing can be removed, a plan doesn't fit or a target can't be asked.
        """
        smaller, cuts, done = model, [], plans.Tensors()
        expected: list[Expected] = []
        for step in range(1, self.steps + 1):
            graph, cut = self._cut(smaller, context, expected)
            cuts.append(cut)
            done = plans.composed(done, cut.weights())
            smaller = smaller.then(graph, Step("prune_channels", {}))
            if self.epochs and step < self.steps:
                trained = train(smaller, context, self._training(), learn_labels(), f"training after step {step} of {self.steps}")
                smaller = smaller.then(trained.graph, Step("finetune", {}))
        before, after = ({"parameters": cost.parameters(each), "macs": cost.macs(each)} for each in (model, smaller))
        lines = [*_lines(model, cuts[0].analysis, done), *cuts[0].analysis.notes]
        lines.append(f"MACs {before['macs']:,} -> {after['macs']:,}, parameters {before['parameters']:,} -> {after['parameters']:,}")
        details: dict[str, Any] = {"plan": plans.plain(done), "before": before, "after": after}
        if expected:
            whole = expected[0].until(expected[-1])
            lines += whole.lines(self.budget, self.share)
            details |= whole.details()
        return model.then(smaller.graph, Step("prune_channels", plain(self), tuple(lines), details))

    def _cut(self, model: Model, context: Context, expected: list[Expected]) -> tuple[fx.GraphModule, surgery.Cut]:
        """One step."""
        analysis = analyse(model, RULES, fallback)
        if self.plan is not None:
            removed = plans.removed(self._plan(), analysis, model.graph)
        else:
            self._pin_kept(analysis)
            removed = self._choose(model, analysis, context, expected)
        graph, cut = surgery.remove(model, analysis, removed, RULES, _inputs(model, context))
        if self.correct:
            correct(model, graph, cut, context)
        return graph, cut

    def _plan(self) -> plans.Plan:
        return plans.read(self.folder / str(self.plan))

    def _training(self) -> TrainingOptions:
        return TrainingOptions(epochs=max(1, self.epochs), learning_rate=self.learning_rate)

    def _pin_kept(self, analysis: Analysis) -> None:
        whole = kept(self.keep, (layer.name for layer in analysis.layers))
        for layer in analysis.layers:
            if layer.name in whole:
                analysis.classes.pin(analysis.axes[layer.weight][layer.output_axis])

    def _choose(self, model: Model, analysis: Analysis, context: Context, expected: list[Expected]) -> set[int]:
        """What one of `steps` removes: each leaves the same share of what there was before it."""
        found = choice.groups(analysis)
        if not found:
            raise UserError(f"prune_channels finds no channels to remove in {model.name}; {'; '.join(analysis.notes) or 'all are kept'}")
        largest = max(len(group.classes) * group.width for group in found)
        if self.multiple_of > largest:
            raise UserError(f"multiple_of: {self.multiple_of} leaves nothing to remove, no group has more than {largest} channels")
        if self.criterion == "bn_scale" and (without := criteria.without_scales(analysis, found)):
            analysis.notes.append(f"bn_scale: {', '.join(without)} {'has' if len(without) == 1 else 'have'} no BatchNorm; l1 decides there")
        sizes = Sizes(model.graph, analysis, found)
        costs = Costs.of(sizes, self.target, self.precision, context.progress)
        scores = criteria.importance(self.criterion, model, analysis, found, context)
        selection = Selection(found, scores, costs, self.scope, self.criterion in criteria.OF_THE_LOSS, self.multiple_of)
        if self.budget:
            left = selection.within(self.budget, self.share ** (1 / self.steps))
        else:
            left = selection.without(1 - (1 - (0.5 if self.ratio is None else self.ratio)) ** (1 / self.steps))
        expected.append(selection.expected(left))
        return choice.removed(found, scores, left)


def _inputs(model: Model, context: Context) -> tuple[torch.Tensor, ...]:
    """One small batch of calibration data."""
    inputs, _ = next(context.data.calibration.batches(len(model.example[0])))
    return tuple(torch.from_numpy(array) for array in inputs)


def _lines(model: Model, analysis: Analysis, left: plans.Tensors) -> list[str]:
    """A line for each layer that makes fewer channels."""
    changed = [layer for layer in analysis.layers if layer.output_axis in left.get(layer.weight, {})]
    lines = [
        f"{layer.name}: {surgery.weight_of(model.graph, layer.weight).shape[layer.output_axis]} -> "
        f"{len(left[layer.weight][layer.output_axis])} channels"
        for layer in changed
    ]
    return list(dict.fromkeys(lines))
