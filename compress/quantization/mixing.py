"""Which scheme each layer of a network has under a budget: measured one by one, joined, and judged as a whole."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compress.progress import Progress, Task
from compress.quantization import allocation
from compress.quantization.allocation import Assignment, Step, Table
from compress.quantization.sensitivity import Quality, Trials
from compress.quantization.units import Choice
from targets.errors import UserError

TRIED = 8
"""How many exchanges of layers are tried at the end: the sum of losses of single layers isn't quite the loss of all."""

WORTHWHILE = 0.05
"""Share of the loss that an exchange must win back; less is chance."""

WORK = {"w4a8": 1.0, "int8": 1.0, "int16x8": 2.0, "float": 4.0}
"""The bytes of an activation: what time a scheme takes where nothing is measured."""


LEAST_WORK = 1e-3
"""The share of the network's work that a layer without multiply-accumulates counts for."""


@dataclass(frozen=True)
class Budget:
    """What must hold for the whole network, and the `costs` that are saved step by step.

    Either what is `spent` is at most `limit` in sum, or the quality `keeps` what is asked for. `name` is for people.
    """

    name: str
    costs: Table
    spent: Table | None = None
    limit: float = 0.0
    keeps: Callable[[Quality], bool] | None = None

    def fits(self, chosen: Assignment) -> bool:
        """Whether the sum is within the limit."""
        return self.spent is None or cost(chosen, self.spent) <= self.limit


@dataclass(frozen=True)
class Mixture:
    """The scheme of each layer, what the network is like with them, and each layer's loss alone in each scheme."""

    schemes: Assignment
    quality: Quality
    losses: Table


def possible(trials: Trials, schemes: Sequence[str], formats: Sequence[str]) -> dict[str, list[str]]:
    """The schemes that each layer may have in these formats: its own where an override is about it; none of 4 bits without weights.

    Raises UserError where none is left for any layer to choose.
    """
    found = {}
    for name, unit in trials.units.items():
        kept = [scheme for scheme in schemes if (unit.weights or scheme != "w4a8") and trials.possible(name, scheme, formats)]
        found[name] = [trials.start[name].scheme] if name in trials.fixed else kept or ["int8"]
    if len(schemes) > 1 and all(len(each) == 1 for each in found.values()):
        raise UserError(
            f"mixed_precision: with 'export: [{', '.join(formats)}]' no layer has another scheme; leave formats out, or mix none"
        )
    return found


def byte_costs(trials: Trials, schemes: Mapping[str, Sequence[str]], work: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What each layer costs in each scheme: its share of the bytes of an int8 network, and of its work times the scheme's factor.

    Bytes alone would give every layer activations of 16 bits, which cost time only.
    """
    total = sum(unit.bytes(Choice("int8")) for unit in trials.units.values()) or 1
    return {
        name: {scheme: unit.bytes(Choice(scheme)) / total + WORK[scheme] * max(work.get(name, 0.0), LEAST_WORK) for scheme in schemes[name]}
        for name, unit in trials.units.items()
    }


def losses(trials: Trials, schemes: Table, progress: Progress) -> dict[str, dict[str, float]]:
    """The divergence of the network with one layer in each of its possible schemes and all others in float."""
    real = {name: Choice("float") for name in trials.units.keys() - trials.fixed}
    wanted = [(name, scheme) for name, row in schemes.items() for scheme in row]
    found: dict[str, dict[str, float]] = {name: {} for name in trials.units}
    with progress.task("sensitivity of each layer", len(wanted)) as task:
        for name, scheme in wanted:
            alone = 0.0 if scheme == "float" else trials.judge({**real, name: Choice(scheme)}).divergence
            found[name][scheme] = alone
            task.advance(note=name)
    return found


def mix(trials: Trials, found: Table, budget: Budget, progress: Progress) -> Mixture:
    """The schemes that keep a limit and lose least, or that cost least of those that keep a quality.

    Raises UserError where nothing keeps the budget, with what comes nearest.
    """
    steps = allocation.steps(found, budget.costs)
    start = allocation.best(found, budget.costs)
    with progress.task(f"mixing schemes for {budget.name}") as task:
        choose = _within_limit if budget.keeps is None else _good_enough
        chosen, quality = choose(trials, budget, start, steps, task)
    return Mixture(chosen, quality, found)


def cost(chosen: Assignment, costs: Table) -> float:
    """The sum over all layers."""
    return sum(costs[name][scheme] for name, scheme in chosen.items())


def judge(trials: Trials, chosen: Assignment) -> Quality:
    """The quality of the network with these schemes."""
    return trials.judge({name: Choice(scheme) for name, scheme in chosen.items()})


def _within_limit(trials: Trials, budget: Budget, start: Assignment, steps: list[Step], task: Task) -> tuple[Assignment, Quality]:
    """As few steps as keep the limit, then exchanges that lose less."""
    taken = next((count for count in range(len(steps) + 1) if budget.fits(allocation.after(start, steps[:count]))), None)
    if taken is None:
        least = cost(allocation.after(start, steps), budget.spent or {})
        raise UserError(f"mixed_precision: {budget.name} can't be kept: with the cheapest of 'schemes' in every layer it is {least:.4g}")
    chosen = allocation.after(start, steps[:taken])
    quality = judge(trials, chosen)
    for other in _exchanges(budget, chosen, steps[:taken], steps[taken:]):
        changed = {**chosen, **other}
        if any(chosen[name] == scheme for name, scheme in other.items()) or not budget.fits(changed):
            continue  # an exchange before it was kept
        found = judge(trials, changed)
        task.advance(note=f"divergence {min(quality, found, key=_divergence).divergence:.4g}")
        if found.divergence < (1 - WORTHWHILE) * quality.divergence:
            chosen, quality = changed, found
    return chosen, quality


def _exchanges(budget: Budget, chosen: Assignment, taken: list[Step], left: list[Step]) -> Iterator[Assignment]:
    """Changes that keep the limit: a step is taken back, and another one taken in its place where that is needed."""
    latest = {step.layer: step for step in taken}
    following: dict[str, Step] = {}
    for step in left:
        following.setdefault(step.layer, step)
    for step in sorted(latest.values(), key=lambda step: -step.price)[:TRIED]:
        back = {step.layer: step.before}
        others = [{}, *({other.layer: other.after} for other in following.values() if other.layer != step.layer)]
        change = next((back | other for other in others if budget.fits({**chosen, **back, **other})), None)
        if change is not None:
            yield change


def _good_enough(trials: Trials, budget: Budget, start: Assignment, steps: list[Step], task: Task) -> tuple[Assignment, Quality]:
    """As many steps as the quality allows, then single ones further on that it allows too."""
    keeps = budget.keeps or bool
    quality = judge(trials, start)
    if not keeps(quality):
        raise UserError(f"mixed_precision: {budget.name} can't be kept: the most accurate of 'schemes' in every layer don't; add float")
    judged = {0: quality}

    def fails(count: int) -> bool:
        judged[count] = judge(trials, allocation.after(start, steps[:count]))
        task.advance(note=f"{count} of {len(steps)} steps")
        return not keeps(judged[count])

    taken = allocation.first(lambda count: count == len(steps) + 1 or fails(count), len(steps) + 1) - 1
    taken = max(taken, 0)
    chosen, quality = allocation.after(start, steps[:taken]), judged[taken]
    for step in steps[taken + 1 : taken + 1 + TRIED]:
        if chosen[step.layer] == step.before:
            found = judge(trials, {**chosen, step.layer: step.after})
            task.advance(note=step.layer)
            if keeps(found):
                chosen, quality = {**chosen, step.layer: step.after}, found
    return chosen, quality


def _divergence(quality: Quality) -> float:
    return quality.divergence
