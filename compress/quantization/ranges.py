"""From a histogram to the range that the integers cover: a function for each observer's name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from targets.errors import UserError, did_you_mean

BINS = 2048
SMALLEST_SPAN = 2.0**-40
Array = NDArray[np.float64]


@dataclass
class Histogram:
    """Values seen so far: exact extremes, their running means over batches, and counts in BINS equal bins that cover [-span, span].

    `span` is a power of two and doubles when a larger value comes, so that bins merge in pairs and nothing is resampled.
    """

    low: float = 0.0
    high: float = 0.0
    mean_low: float = 0.0
    mean_high: float = 0.0
    batches: int = 0
    span: float = 0.0
    counts: Array = field(default_factory=lambda: np.zeros(BINS))

    def add(self, counts: Callable[[float], Array], low: float, high: float) -> None:
        """Adds a batch with these extremes; `counts(span)` gives its counts in the bins of [-span, span]."""
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.batches += 1
        self.mean_low += (min(low, 0.0) - self.mean_low) / self.batches
        self.mean_high += (max(high, 0.0) - self.mean_high) / self.batches
        largest = max(-self.low, self.high)
        if self.span == 0.0:
            self.span = float(2.0 ** np.ceil(np.log2(max(largest, SMALLEST_SPAN))))
        while self.span < largest:
            self._double()
        self.counts += counts(self.span)

    def centres(self) -> Array:
        """The middle of each bin, real values."""
        bins: Array = np.arange(BINS, dtype=np.float64)
        return (bins + 0.5) * (2 * self.span / BINS) - self.span

    def widened(self, span: float) -> "Histogram":
        """A copy whose bins cover [-span, span], a power of two that is no smaller than its own."""
        wide = replace(self, counts=self.counts.copy())
        while 0.0 < wide.span < span:
            wide._double()  # noqa: SLF001  a histogram's own
        return wide

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros(BINS)
        self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
        self.span *= 2


def merged(parts: Sequence[Histogram]) -> Histogram:
    """One histogram of all that several have seen."""
    span = max(part.span for part in parts)
    batches = sum(part.batches for part in parts)
    return Histogram(
        low=min(part.low for part in parts),
        high=max(part.high for part in parts),
        mean_low=sum(part.mean_low * part.batches for part in parts) / max(batches, 1),
        mean_high=sum(part.mean_high * part.batches for part in parts) / max(batches, 1),
        batches=batches,
        span=span,
        counts=np.sum([part.widened(span).counts for part in parts], axis=0),
    )


def minmax(seen: Histogram, levels: int) -> tuple[float, float]:  # noqa: ARG001  one signature for all
    """The extremes."""
    return seen.low, seen.high


def moving_average(seen: Histogram, levels: int) -> tuple[float, float]:  # noqa: ARG001  one signature for all
    """The mean over batches of each batch's extremes."""
    return seen.mean_low, seen.mean_high


def percentile(seen: Histogram, levels: int, share: float = 0.9999) -> tuple[float, float]:  # noqa: ARG001  one signature for all
    """The range that holds all but (1 - share) / 2 of the values on each side."""
    total = seen.counts.sum()
    if total == 0:
        return seen.low, seen.high
    cumulated = np.cumsum(seen.counts) / total
    edges = np.linspace(-seen.span, seen.span, BINS + 1)
    low = edges[int(np.searchsorted(cumulated, (1 - share) / 2, side="right"))]
    high = edges[int(np.searchsorted(cumulated, 1 - (1 - share) / 2)) + 1]
    return min(max(float(low), seen.low), 0.0), max(min(float(high), seen.high), 0.0)


def mse(seen: Histogram, levels: int) -> tuple[float, float]:
    """The range with the smallest mean squared error of rounding and clipping, searched one end after the other."""
    used = seen.counts > 0
    centres, weights = seen.centres()[used], seen.counts[used]
    return _search(seen, lambda *ends: _squared_errors(centres, weights, ends, levels))


def entropy(seen: Histogram, levels: int) -> tuple[float, float]:
    """The range whose integers tell most of how values are distributed, by Kullback-Leibler divergence.

    After "8-bit inference with TensorRT" (Migacz 2017), with an end on each side of zero: what is beyond the range counts as the
    outermost bin in it that holds anything, and all bins that share an integer are taken for equally frequent. Zero itself, which is
    always exact, is left out.
    """
    counts, centres = seen.counts.copy(), seen.centres()
    counts[BINS // 2] = 0.0
    if levels >= BINS or not counts.any():
        return seen.low, seen.high

    def costs(lows: Array, highs: Array) -> Array:
        return np.array([_divergence(counts, centres, low, high, levels) for low, high in zip(lows, highs, strict=True)])

    return _search(seen, costs)


SHARES = np.linspace(1.0, 0.3, 36)
"""Of the extremes, tried as ends of a range."""


def _search(seen: Histogram, costs: Callable[[Array, Array], Array]) -> tuple[float, float]:
    """The cheapest range, one end after the other, a second time where the first changed both. `costs` prices ranges by ends, each [N]."""
    low, high = seen.low, seen.high
    for _ in range(2):
        before = low
        if seen.high > 0:
            highs = SHARES * seen.high
            high = float(highs[np.argmin(costs(np.full_like(highs, low), highs))])
        if seen.low < 0:
            lows = SHARES * seen.low
            low = float(lows[np.argmin(costs(lows, np.full_like(lows, high)))])
        if low == before:
            break
    return low, high


def _squared_errors(centres: Array, weights: Array, ranges: tuple[Array, Array], levels: int) -> Array:
    lows, highs = (ends[:, None] for ends in ranges)
    scales = (highs - lows) / (levels - 1)
    # the spread of values inside a bin is left out: it is the same for every range
    errors = np.rint(np.clip(centres, lows, highs) / scales) * scales - centres
    found: Array = np.square(errors, out=errors) @ weights
    return found


def _divergence(counts: Array, centres: Array, low: float, high: float, levels: int) -> float:
    within = (centres >= low) & (centres <= high) & (counts > 0)
    inside = counts[within]
    if not inside.size:
        return float("inf")
    clipped = inside.copy()
    clipped[0] += counts[centres < low].sum()
    clipped[-1] += counts[centres > high].sum()
    integers = np.minimum((centres[within] - low) * (levels / (high - low)), levels - 1).astype(np.int64)
    alike = np.bincount(integers, inside)[integers] / np.bincount(integers)[integers]
    frequent, expected = clipped / clipped.sum(), alike / inside.sum()
    return float((frequent * np.log(frequent / expected)).sum())


OBSERVERS: dict[str, Callable[[Histogram, int], tuple[float, float]]] = {
    "minmax": minmax,
    "moving_average": moving_average,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}


def observer(name: str) -> Callable[[Histogram, int], tuple[float, float]]:
    """The function that chooses a range. UserError for an unknown name."""
    if name not in OBSERVERS:
        raise UserError(f"quantize: no observer is called '{name}'; {did_you_mean(name, OBSERVERS)}")
    return OBSERVERS[name]
