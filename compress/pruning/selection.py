"""How many channels stay of each group, and what that is expected to cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compress.pruning import choice, steps, trading
from compress.pruning.budgets import Costs
from compress.pruning.choice import Group, Kept, Scores
from compress.pruning.latency import Latency

WORDS = {"macs": "of the MACs", "parameters": "of the parameters", "latency": "of the latency", "ram": "of the RAM"}


@dataclass(frozen=True)
class Expected:
    """What is expected before and after, as far as it isn't counted in the network itself: RAM in bytes, latency on a target."""

    costs: Costs
    after: Costs
    whole: Kept
    kept: Kept
    least: dict[str, float]

    def until(self, last: "Expected") -> "Expected":
        """From before this one to after a later one."""
        return Expected(self.costs, last.after, self.whole, last.kept, self.least)

    @property
    def timed_macs(self) -> float:
        """The share of the whole network's MACs in operators that the target's times know of."""
        timed = self.costs.latency
        return 0.0 if timed is None else sum(place.operation.macs for place in timed.places) / max(1.0, self.costs.macs(self.whole))

    def lines(self, budget: str | None, share: float) -> list[str]:
        """For people: the target's latency and RAM, and a budget that can't be kept."""
        said = []
        timed, small = self.costs.latency, self.after.latency
        if timed and small:
            covered = f"{self.timed_macs:.0%} of the MACs are in operators that are timed"
            said.append(f"expected on {timed.target}: {timed.words(timed(self.whole))} -> {timed.words(small(self.kept))}; {covered}")
        if timed or budget == "ram":
            said.append(f"expected RAM of activations: {self.costs.ram(self.whole):,} -> {self.after.ram(self.kept):,} bytes")
        if budget:
            left = self.after.by(budget)(self.kept) / self.costs.by(budget)(self.whole)
            if left > share:
                said.append(
                    f"{left:.2%} {WORDS[budget]} are left, more than {budget}: {share:.2%} asks for; the least is "
                    f"{min(left, self.least[budget]):.2%}"
                )
        return said

    def details(self) -> dict[str, Any]:
        """For programs: totals, and a row for each operator that is timed."""
        found: dict[str, Any] = {"ram_bytes": {"before": self.costs.ram(self.whole), "after": self.after.ram(self.kept)}}
        timed, small = self.costs.latency, self.after.latency
        if timed and small:
            found["target"], found["timed_macs"] = timed.target, self.timed_macs
            found["latency"] = {"unit": timed.unit, "before": timed(self.whole), "after": small(self.kept)}
            found["operators"] = [
                {
                    "name": one.name,
                    "operator": one.operation.kind,
                    "inputs": [one.inputs(self.whole), other.inputs(self.kept)],
                    "outputs": [one.outputs(self.whole), other.outputs(self.kept)],
                    "cost": [timed.of(one, self.whole), small.of(other, self.kept)],
                }
                for one, other in zip(timed.places, small.places, strict=True)
            ]
        return found


@dataclass(frozen=True)
class Selection:
    """Chooses among groups by `scores`, the same share of all (`uniform`) or of the least important (`global`).

    Where there is a target, counts are ends of its stairs.
    """

    groups: Sequence[Group]
    scores: Scores
    costs: Costs
    scope: str
    of_the_loss: bool
    multiple_of: int

    @property
    def whole(self) -> Kept:
        """All channels."""
        return tuple(len(group.classes) for group in self.groups)

    @cached_property
    def stairs(self) -> steps.Steps | None:
        """The counts worth having on the target."""
        latency = self.costs.latency
        return None if latency is None else steps.steps(self.groups, latency, self.multiple_of)

    def without(self, ratio: float) -> Kept:
        """A share of every group, or of all channels, gone."""
        if self.scope == "uniform":
            kept = choice.uniform(self.groups, ratio, self.multiple_of)
        else:
            kept = choice.globally(self.groups, self._prices(), ratio, self.multiple_of)
        return kept if self.stairs is None else steps.nearest(self.stairs, kept)

    def within(self, name: str, share: float) -> Kept:
        """As many gone as leave at most this share of a cost, or as near as it comes."""
        cost: Callable[[Kept], float] = self.costs.by(name)
        limit = share * cost(self.whole)
        latency: Latency | None = self.costs.latency
        if self.stairs is None or latency is None:
            return choice.to_limit(self.without, cost, limit)
        budget, worth = trading.Budget(cost, limit), trading.Worth.by(self.groups, self.scores, latency)
        if self.scope == "global":
            return trading.cheapest(self.groups, self.stairs, worth, budget)
        kept = trading.given_back(self.stairs, worth, choice.to_limit(self.without, cost, limit), budget)
        return trading.exchanged(self.stairs, worth, kept, budget)

    def expected(self, kept: Kept) -> Expected:
        """What keeping so many is expected to cost."""
        most = choice.LARGEST_SHARE if self.scope == "global" else 1.0
        least = tuple(group.kept(most, self.multiple_of) for group in self.groups)
        shares = {name: self.costs.by(name)(least) / self.costs.by(name)(self.whole) for name in self.costs.known()}
        return Expected(self.costs, self.costs, self.whole, kept, shares)

    def _prices(self) -> Scores:
        """Importance, against the MACs that a channel costs where the criterion tells what a removal costs."""
        if not self.of_the_loss:
            return self.scores
        found: dict[int, float] = {}
        for number, group in enumerate(self.groups):
            fewer = (*self.whole[:number], self.whole[number] - 1, *self.whole[number + 1 :])
            saved = max(1.0, self.costs.macs(self.whole) - self.costs.macs(fewer))
            found |= {each: self.scores[each] / saved for each in group.classes}
        return found
