"""Samples and labels, kept apart for training, calibration and evaluation, and streamed batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Inputs = tuple[Array, ...]


@dataclass(frozen=True)
class Split:
    """One part of the data.

    `load` takes sample numbers below `samples` and gives the network's inputs, float32 [N, …] each (images NCHW), and the
    labels [N] (int64 classes, or float32 targets [N, …] for regression).
    """

    samples: int
    load: Callable[[NDArray[np.int64]], tuple[Inputs, Array]]

    def batches(self, batch_size: int = 64, shuffle: int | None = None) -> Iterator[tuple[Inputs, Array]]:
        """Every sample once, in batches, the last one smaller; in an order that the seed `shuffle` decides, else in their own."""
        order = np.arange(self.samples) if shuffle is None else np.random.default_rng(shuffle).permutation(self.samples)
        for start in range(0, self.samples, batch_size):
            yield self.load(order[start : start + batch_size])

    def first(self, samples: int) -> "Split":
        """The first `samples` of this part, or all of it."""
        return Split(min(samples, self.samples), self.load)


@dataclass(frozen=True)
class Data:
    """The three parts, which never share a sample, and what identifies them: `fingerprint` is a hash of the data's content."""

    name: str
    training: Split
    calibration: Split
    evaluation: Split
    fingerprint: str
    labels: tuple[str, ...] | None = None


class DataSource(Protocol):
    """What `data:` in a recipe names: frozen options that load the three parts. One file of `compress/data/` each."""

    def __call__(self) -> Data:
        """Loads or opens the data. Raises UserError naming the file or key that is wrong, and the cure."""
