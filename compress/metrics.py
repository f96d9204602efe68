"""How good predictions are: one number, streamed over batches, the higher the better."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UserError, did_you_mean
from targets.registry import load_named

Array = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """`score` takes predictions [N, …] (float32) and labels [N, …] and gives one number for each sample, whose mean is the metric."""

    name: str
    score: Callable[[Array, Array], Array]


def accuracy(predictions: Array, labels: Array) -> Array:
    """1 where the largest prediction is the label's, else 0. Predictions [N, classes], labels [N] whole numbers below classes."""
    flat = predictions.reshape(len(predictions), -1)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError("metric accuracy: labels must be class numbers [N]; for real-valued targets say 'metric: mse'")
    if labels.min() < 0 or labels.max() >= flat.shape[1]:
        raise UserError(
            f"metric accuracy: labels go from {labels.min()} to {labels.max()}, the network tells {flat.shape[1]} classes apart"
        )
    return np.asarray(flat.argmax(1) == labels, np.float64)


def negative_mse(predictions: Array, labels: Array) -> Array:
    """Minus the mean squared error of each sample. Predictions and labels of the same shape [N, …]."""
    if predictions.shape != labels.shape:
        raise UserError(f"metric mse: labels have shape {labels.shape[1:]} a sample, the network's outputs {predictions.shape[1:]}")
    difference = predictions.astype(np.float64) - labels
    return np.asarray(-(difference.reshape(len(labels), -1) ** 2).mean(1))


METRICS = {"accuracy": accuracy, "mse": negative_mse}


def metric(name: str, folder: Path | None = None) -> Metric:
    """The metric of this name, or the user's own `package.module:function`. UserError for one that is unknown."""
    if ":" in name:
        return Metric(name, load_named(name, folder))
    if name not in METRICS:
        raise UserError(f"metric: no metric is called '{name}'; {did_you_mean(name, METRICS)}")
    return Metric(name, METRICS[name])
