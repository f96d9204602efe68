"""Which figure says best where a file's time goes on a target: time itself, else cycles, instructions or MACs."""

from collections.abc import Callable
from dataclasses import dataclass

from compress.report import wording
from compress.report.content import Row


@dataclass(frozen=True)
class Costs:
    """One figure of every layer of a row, in the file's order; 0 where a layer has none."""

    title: str
    values: tuple[float, ...]
    text: Callable[[float], str]

    def largest(self, layers: int) -> list[int]:
        """The numbers of the layers that cost most, the dearest first."""
        return sorted(range(len(self.values)), key=lambda layer: -self.values[layer])[:layers]

    def say(self, layer: int) -> str:
        """The figure of a layer."""
        return self.text(self.values[layer])

    def share(self, layer: int) -> str:
        """Its share of all layers."""
        return f"{100 * self.values[layer] / sum(self.values):.1f} %"


FIGURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("latency_ms", "latency", wording.milliseconds),
    ("cycles", "cycles", wording.count),
    ("instructions", "instructions", wording.count),
    ("macs", "MACs", wording.count),
)


def costs(row: Row) -> Costs | None:
    """The first of latency, cycles, instructions and MACs that the row's layers have; None without any."""
    for key, title, text in FIGURES:
        values = tuple(float(layer.get(key) or 0) for layer in row.layers)
        if sum(values) > 0:
            return Costs(title, values, text)
    return None
