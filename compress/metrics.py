"""How good predictions are: one number over all of them, the higher the better."""

import math
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
    """`function` takes all predictions [N, …] (float32) and labels [N, …], the samples in the same order.

    It gives one number for the whole, or one for each sample [N], of which the mean is taken.
    """

    name: str
    function: Callable[[Array, Array], Any]

    def __call__(self, predictions: Array, labels: Array) -> float:
        """The metric. UserError where the function fails, or gives something else than one number, or one for each sample."""
        try:
            found = np.asarray(self.function(predictions, labels))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"metric {self.name}: failed with {type(error).__name__}: {error}") from error
        if found.dtype.kind not in "biuf":
            raise UserError(f"metric {self.name}: gives {found.tolist()!r:.60}; one number is wanted, or one for each sample")
        if found.shape not in ((), (len(labels),)):
            raise UserError(
                f"metric {self.name}: gives an array of shape {found.shape} for {len(labels)} samples; one number is wanted, or one each"
            )
        value = float(found.mean())
        if not math.isfinite(value):
            raise UserError(f"metric {self.name}: gives {value} for {len(labels)} samples; a finite number is wanted")
        return value


def accuracy(predictions: Array, labels: Array) -> Array:
    """1 where the largest prediction is the label's, else 0. Predictions [N, classes], labels [N] whole numbers below classes."""
    scores = _class_scores("accuracy", predictions, labels)
    return np.asarray(scores.argmax(1) == labels, np.float64)


def f1(predictions: Array, labels: Array) -> float:
    """The mean over the classes that are predicted or labelled of 2 TP / (2 TP + FP + FN). Shapes as for `accuracy`."""
    predicted = _class_scores("f1", predictions, labels).argmax(1)
    classes = np.union1d(predicted, labels)
    right = [np.sum((predicted == each) & (labels == each)) for each in classes]
    either = [np.sum(predicted == each) + np.sum(labels == each) for each in classes]
    return float(np.mean(2 * np.array(right) / np.array(either)))


def auc(predictions: Array, labels: Array) -> float:
    """The area under the ROC curve: the share of pairs of unlike labels that are in the right order, ties counting half.

    Predictions [N, 1] rank label 1 over label 0; of [N, classes] each class is ranked against all others by its probability
    (softmax, unless they are probabilities) and the mean taken over the classes that occur.
    """
    flat = predictions.reshape(len(predictions), -1).astype(np.float64)
    if flat.shape[1] == 1:
        answers = labels.reshape(-1)
        if answers.shape != (len(flat),) or not np.isin(answers, (0, 1)).all():
            raise UserError("metric auc: a network of one output needs one label a sample, 0 or 1")
        areas = [_area(flat[:, 0], answers == 1)]
    else:
        probabilities = _probabilities(_class_scores("auc", flat, labels))
        areas = [_area(probabilities[:, each], labels == each) for each in range(flat.shape[1])]
    found = [area for area in areas if area is not None]
    if not found:
        raise UserError(f"metric auc: all of {len(labels)} samples have the same label; take more of them, or 'metric: accuracy'")
    return float(np.mean(found))


def negative_mse(predictions: Array, labels: Array) -> Array:
    """Minus the mean squared error of each sample. Predictions and labels of the same shape [N, …]."""
    if predictions.shape != labels.shape:
        raise UserError(f"metric mse: labels have shape {labels.shape[1:]} a sample, the network's outputs {predictions.shape[1:]}")
    difference = predictions.astype(np.float64) - labels
    return np.asarray(-(difference.reshape(len(labels), -1) ** 2).mean(1))


METRICS = {"accuracy": accuracy, "auc": auc, "f1": f1, "mse": negative_mse}


def metric(name: str, folder: Path | None = None) -> Metric:
    """The metric of this name, or the user's own `package.module:function`. UserError for one that is unknown."""
    if ":" in name:
        return Metric(name, load_named(name, folder))
    if name not in METRICS:
        raise UserError(f"metric: no metric is called '{name}'; {did_you_mean(name, METRICS)}")
    return Metric(name, METRICS[name])


def _class_scores(name: str, predictions: Array, labels: Array) -> Array:
    """Predictions [N, classes]. UserError where the labels are no classes of theirs."""
    flat = predictions.reshape(len(predictions), -1)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"metric {name}: labels must be class numbers [N]; for real-valued targets say 'metric: mse'")
    if labels.min() < 0 or labels.max() >= flat.shape[1]:
        raise UserError(f"metric {name}: labels go from {labels.min()} to {labels.max()}, the network tells {flat.shape[1]} classes apart")
    return flat


def _probabilities(scores: Array) -> Array:
    if (scores >= 0).all() and np.allclose(scores.sum(1), 1, atol=1e-3):
        return scores
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(1, keepdims=True))


def _area(scores: Array, positive: Array) -> float | None:
    """Mann and Whitney's statistic over all pairs; None where there is no pair."""
    above, below = int(positive.sum()), int((~positive).sum())
    if above == 0 or below == 0:
        return None
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return float((ranks[positive].sum() - above * (above + 1) / 2) / (above * below))
