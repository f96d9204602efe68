"""Removes whole channels: the network gets smaller and faster with every runtime."""

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, ClassVar, Literal, get_args

import torch

from compress import cost
from compress.context import Context
from compress.model import Model, Stage, Step
from compress.pruning import choice, criteria, surgery
from compress.pruning.analysis import Analysis, analyse
from compress.pruning.correction import correct
from compress.pruning.rules import RULES, fallback
from targets.errors import UserError, did_you_mean


@dataclass(frozen=True)
class PruneChannels:
    """Removes `ratio` of every group of channels, or, where `macs` is given, as many as leave this share of the MACs.

    A group is what must be cut alike: the channels of a layer with everything that a residual sum, a depthwise convolution or the like
    ties to them. Inner layers lose channels on both sides, so `ratio: 0.5` leaves about a quarter of the MACs and `ratio: 0.3`
    about half. `criterion` says which channels of a group go (see `compress.pruning.criteria`). `scope: global` lets groups compete
    instead, `ratio` then being the share of all channels; criteria that tell what a removal costs are weighed against the MACs it
    saves. `multiple_of` is what the channels left of a group are a multiple of, as far as it has that many. `keep` lists layers
    that stay whole, by patterns as file names have (`head.*`). `correct` then solves the weights that are left anew, layer by layer,
    by least squares on the calibration data, so that little accuracy is lost even before training.

    Channels of inputs and outputs, and those that an operator touches which isn't followed, always stay.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    ratio: float = 0.5
    macs: float | None = None
    criterion: criteria.Criterion = "reconstruction"
    scope: Literal["uniform", "global"] = "uniform"
    multiple_of: int = 1
    keep: tuple[str, ...] = ()
    correct: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise UserError(f"ratio must be a share from 0 to below 1, not {self.ratio}")
        if self.macs is not None and not 0 < self.macs <= 1:
            raise UserError(f"macs must be the share of MACs to leave, above 0 and at most 1, not {self.macs}")
        for name, possible in (("criterion", get_args(criteria.Criterion)), ("scope", ("uniform", "global"))):
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        if self.multiple_of < 1:
            raise UserError(f"multiple_of must be at least 1, not {self.multiple_of}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The smaller network. UserError where a pattern of `keep` matches no layer, or nothing can be removed."""
        analysis = analyse(model, RULES, fallback)
        self._pin_kept(analysis)
        found = choice.groups(analysis)
        if not found:
            raise UserError(f"prune_channels finds no channels to remove in {model.name}; {'; '.join(analysis.notes) or 'all are kept'}")
        removed = self._choose(model, analysis, found, context)
        graph, cut = surgery.remove(model, analysis, removed, RULES, _inputs(model, context))
        kept = cut.weights()
        if self.correct:
            correct(model, graph, cut, context)
        lines = [*_lines(model, analysis, kept), *analysis.notes]
        smaller = model.then(graph, Step("prune_channels", asdict(self)))
        before, after = ({"parameters": cost.parameters(each), "macs": cost.macs(each)} for each in (model, smaller))
        details = {"plan": {name: {str(axis): rows.tolist() for axis, rows in axes.items()} for name, axes in kept.items()}}
        lines.append(f"MACs {before['macs']:,} -> {after['macs']:,}, parameters {before['parameters']:,} -> {after['parameters']:,}")
        return model.then(graph, Step("prune_channels", asdict(self), tuple(lines), details | {"before": before, "after": after}))

    def _pin_kept(self, analysis: Analysis) -> None:
        names = sorted({layer.name for layer in analysis.layers})
        for pattern in self.keep:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(f"keep: '{pattern}' matches no layer; {did_you_mean(pattern, names)}")
        for layer in analysis.layers:
            if any(fnmatchcase(layer.name, pattern) for pattern in self.keep):
                analysis.classes.pin(analysis.axes[layer.weight][layer.output_axis])

    def _choose(self, model: Model, analysis: Analysis, found: tuple[choice.Group, ...], context: Context) -> set[int]:
        scores = criteria.importance(self.criterion, model, analysis, found, context)
        shapes = {layer.weight: surgery.weight_of(model.graph, layer.weight).shape for layer in analysis.layers}
        left = partial(choice.macs_left, analysis, shapes)
        if self.scope == "global" and self.criterion in criteria.OF_THE_LOSS:
            scores = {each: score / max(1, left(set()) - left({each})) for each, score in scores.items()}
        choose: Any = partial(choice.uniform if self.scope == "uniform" else choice.globally, found, scores, multiple_of=self.multiple_of)
        if self.macs is None:
            chosen: set[int] = choose(ratio=self.ratio)
            return chosen
        return choice.to_macs(lambda ratio: choose(ratio=ratio), left, self.macs * left(set()))


def _inputs(model: Model, context: Context) -> tuple[torch.Tensor, ...]:
    """One small batch of calibration data."""
    inputs, _ = next(context.data.calibration.batches(len(model.example[0])))
    return tuple(torch.from_numpy(array) for array in inputs)


def _lines(model: Model, analysis: Analysis, kept: surgery.Kept) -> list[str]:
    """A line for each layer that makes fewer channels."""
    changed = [layer for layer in analysis.layers if layer.output_axis in kept.get(layer.weight, {})]
    return [
        f"{layer.name}: {surgery.weight_of(model.graph, layer.weight).shape[layer.output_axis]} -> "
        f"{len(kept[layer.weight][layer.output_axis])} channels"
        for layer in changed
    ]
