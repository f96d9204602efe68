"""What pruning is to leave a share of, and what that costs for any number of channels."""

from collections.abc import Callable
from dataclasses import dataclass

from compress.progress import Progress
from compress.pruning import latency as latencies
from compress.pruning import memory
from compress.pruning.choice import Kept
from compress.pruning.latency import Latency
from compress.pruning.sizes import Sizes, total
from compress.staircase.files import Precision

NAMES = ("macs", "parameters", "latency", "ram")


@dataclass(frozen=True)
class Costs:
    """What any number of channels costs; the latency where there is a target."""

    macs: Callable[[Kept], float]
    parameters: Callable[[Kept], float]
    ram: Callable[[Kept], float]
    latency: Latency | None

    @classmethod
    def of(cls, sizes: Sizes, target: str | None, precision: Precision, progress: Progress) -> "Costs":
        """Those of a network. UserError where the target can't be asked."""
        macs, parameters = sizes.macs(), sizes.parameters()
        timed = latencies.measure(sizes, target, precision, progress) if target else None
        return cls(
            lambda kept: total(macs, kept),
            lambda kept: total(parameters, kept),
            memory.of(sizes, target, precision),
            timed,
        )

    def known(self) -> tuple[str, ...]:
        """The budgets that can be asked for."""
        return NAMES if self.latency else tuple(name for name in NAMES if name != "latency")

    def by(self, name: str) -> Callable[[Kept], float]:
        """The one that a budget is about."""
        found: Callable[[Kept], float] = getattr(self, name)
        return found
