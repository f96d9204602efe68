"""Writes layers as chains of smaller ones: fewer MACs and weights with every runtime."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, get_args

from compress import cost
from compress.context import Context
from compress.factorization import choice, layers, methods, moments, surgery, timing
from compress.factorization.methods import Candidate, Method, Task
from compress.factorization.timing import Times
from compress.keep import kept
from compress.model import Model, Stage, Step
from compress.pruning.correction import Whole, correct
from compress.recipe import plain
from compress.staircase import table
from compress.staircase.files import Precision
from targets import boards
from targets.errors import UserError, did_you_mean

Ranks = int | tuple[int, int]
Possible = dict[str, list[Candidate]]
MACS = 0.5
"""The share of MACs that is left where nothing says how much."""


@dataclass(frozen=True)
class LowRank:
    """Factors layers until `macs`, the share of the network's MACs, is left; by `energy` or `ranks` where these are given.

    Linear layers and 1x1 convolutions become two (singular values). `method` says what k x k convolutions become: `svd`, k x k with few
    outputs and 1x1; `tucker`, 1x1, k x k and 1x1 (Kim et al. 2016); `separable`, depthwise k x k and 1x1 (Guo et al. 2018); `auto`, in
    each layer what loses least. With `macs` (half, where nothing is given) ranks are chosen over the whole network, by the error at
    its outputs for each MAC saved; with `energy` each layer takes the cheapest form that keeps this share of what its outputs vary.
    `ranks` gives those of layers by patterns as file names have: a number, or [inputs, outputs] for Tucker-2; for `separable` it is
    that of filters a channel. Other layers then stay whole unless `macs` or `energy` is given too. Ranks are multiples of
    `multiple_of`; `keep` lists layers that stay whole.

    With `weighted`, errors are weighed by the covariance of each layer's inputs on the calibration data, and by how much its outputs
    change those of the network; without, by the weights alone. `correct` then solves the weights of all layers' last factors anew,
    layer by layer, by least squares on the same data.

    With a `target`, a board or `host`, each layer's operators are timed there as in a file of `precision`, and factors that take no less
    time than the layer are not taken. A layer whose factors would cost more MACs than it does stays whole. So do depthwise ones and
    those that share their weight.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    macs: float | None = None
    energy: float | None = None
    ranks: dict[str, Ranks] = field(default_factory=dict)
    method: Literal["auto", "svd", "tucker", "separable"] = "auto"
    multiple_of: int = 1
    keep: tuple[str, ...] = ()
    weighted: bool = True
    correct: bool = True
    target: str | None = None
    precision: Precision = "int8"

    def __post_init__(self) -> None:
        for name in ("macs", "energy"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UserError(f"{name} must be a share above 0 and below 1, not {value}")
        if self.macs is not None and self.energy is not None:
            raise UserError("macs and energy both say how far layers are factored; leave one of them out")
        possible = ("auto", *get_args(Method))
        if self.method not in possible:
            raise UserError(f"method '{self.method}' is not known; {did_you_mean(str(self.method), possible)}")
        if self.precision not in get_args(Precision):
            raise UserError(f"precision '{self.precision}' is not known; {did_you_mean(str(self.precision), get_args(Precision))}")
        if self.target is not None:
            table.refuse_untimed(self.target)
        if self.multiple_of < 1:
            raise UserError(f"multiple_of must be at least 1, not {self.multiple_of}")
        for pattern, given in self.ranks.items():
            if min(_several(given)) < 1:
                raise UserError(f"ranks: that of '{pattern}' must be at least 1, not {given}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The factored network. UserError where a pattern matches no layer that can be factored, or calibration data is missing."""
        if (self.weighted or self.correct) and not context.data.calibration.samples:
            raise UserError("low_rank: there are no calibration samples; set 'calibration' under 'data', or weighted and correct to false")
        found, whole = layers.find(model)
        names = [layer.name for layer in found]
        self._check_ranks(names, whole)
        kept_whole = kept(self.keep, [*names, *whole])
        free = [layer for layer in found if layer.name not in kept_whole]
        seen = moments.gather(model, free, context) if self.weighted and free else {layer.name: moments.unknown(layer) for layer in free}
        tasks = {layer.name: Task(layer, seen[layer.name], self.multiple_of) for layer in free}
        chosen, times = self._choose(model, tasks, context)
        chains = {name: (tasks[name], methods.factors(tasks[name], each)) for name, each in chosen.items()}
        graph, nodes = surgery.replace(model, chains)
        if self.correct and chains:
            correct(model, graph, Whole(nodes), context)
        whole |= {name: "keep names it" for name in names if name not in tasks}
        lines = [_line(task, chosen.get(name), times.get(name)) for name, task in tasks.items()]
        lines += [f"{name}: stays whole, {reason}" for name, reason in whole.items()]
        return self._result(model, replace(model, graph=graph), chosen, lines)

    def fingerprint(self) -> str:
        """A hash of the board's file, empty where no target is given."""
        return "" if self.target is None else boards.fingerprint(self.target)

    def _choose(self, model: Model, tasks: dict[str, Task], context: Context) -> tuple[choice.Chosen, dict[str, Times]]:
        """What becomes of each layer, those that stay whole missing, and what is known of times.

        Factors that aren't faster on the target are left out, and the choice made anew, until all are.
        """
        allowed: tuple[Method, ...] = get_args(Method) if self.method == "auto" else (self.method,)
        named = {name: ranks for name in tasks for pattern, ranks in self.ranks.items() if fnmatchcase(name, pattern)}
        possible = {name: [choice.given(tasks[name], allowed, _several(ranks))] for name, ranks in named.items()}
        possible = {name: [each for each in several if each.macs < tasks[name].layer.macs] for name, several in possible.items()}
        if not self.ranks or self.macs is not None or self.energy is not None:
            free = [name for name in tasks if name not in named]
            with context.progress.task("factorizations", len(free)) as progress:
                for name in free:
                    possible[name] = choice.of_layer(tasks[name], allowed)
                    progress.advance(note=name)
        while True:
            chosen = self._of_possible(model, tasks, possible, named)
            times = self._times(tasks, chosen, context)
            slower = [name for name, each in times.items() if each.after >= each.before]
            if not slower:
                return chosen, times
            for name in slower:
                possible[name] = [each for each in possible[name] if each.macs < chosen[name].macs]

    def _of_possible(self, model: Model, tasks: dict[str, Task], possible: Possible, named: Collection[str]) -> choice.Chosen:
        """The choice among candidates; of layers whose ranks are given there is one at most."""
        fixed = {name: several[0] for name, several in possible.items() if name in named and several}
        free = {name: several for name, several in possible.items() if name not in named}
        if self.energy is not None or not free:
            return fixed | choice.by_energy(tasks, free, self.energy or 1.0)
        elsewhere = cost.macs(model) - sum(tasks[name].layer.macs for name in (*free, *fixed)) + sum(each.macs for each in fixed.values())
        return fixed | choice.by_macs(tasks, free, round((self.macs or MACS) * cost.macs(model)) - elsewhere)

    def _times(self, tasks: dict[str, Task], chosen: choice.Chosen, context: Context) -> dict[str, Times]:
        return {} if self.target is None else timing.measure(tasks, chosen, self.target, self.precision, context.progress)

    def _check_ranks(self, names: list[str], whole: dict[str, str]) -> None:
        """Every pattern of `ranks` matches a layer that can be factored."""
        for pattern in self.ranks:
            if any(fnmatchcase(name, pattern) for name in names):
                continue
            reason = next((f"{name} can't be factored: {why}" for name, why in whole.items() if fnmatchcase(name, pattern)), None)
            if reason is None:
                raise UserError(f"ranks: '{pattern}' matches no layer; {did_you_mean(pattern, [*names, *whole])}")
            raise UserError(f"ranks: {reason}; leave '{pattern}' out")

    def _result(self, model: Model, made: Model, chosen: choice.Chosen, lines: list[str]) -> Model:
        """The new model, with what was done to each layer."""
        before, after = ({"parameters": cost.parameters(each), "macs": cost.macs(each)} for each in (model, made))
        lines.append(f"MACs {before['macs']:,} -> {after['macs']:,}, parameters {before['parameters']:,} -> {after['parameters']:,}")
        if self.macs is not None and after["macs"] > self.macs * before["macs"]:
            lines.append(f"{after['macs'] / before['macs']:.2%} of the MACs are left, more than macs: {self.macs:.2%} asks for")
        factored = {name: {"method": each.method, "ranks": list(each.ranks)} for name, each in chosen.items()}
        return model.then(made.graph, Step("low_rank", plain(self), tuple(lines), {"factors": factored, "before": before, "after": after}))


def _several(ranks: Ranks) -> tuple[int, ...]:
    return ranks if isinstance(ranks, tuple) else (ranks,)


def _line(task: Task, chosen: Candidate | None, times: Times | None) -> str:
    """What became of a layer."""
    layer = task.layer
    if chosen is None:
        return f"{layer.name}: stays whole ({layer.macs:,} MACs)"
    ranks, error = ", ".join(map(str, chosen.ranks)), (chosen.error / max(task.energy, 1e-30)) ** 0.5
    timed = f", {times.words}" if times else ""
    return f"{layer.name}: {chosen.method} {ranks}, {layer.macs:,} -> {chosen.macs:,} MACs{timed}, error {error:.1%}"
