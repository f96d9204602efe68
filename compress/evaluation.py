"""Running a network in torch over a part of the data: its outputs and how good they are."""

from dataclasses import dataclass

import numpy as np
import torch

from compress.data.base import Array, Split
from compress.metrics import Metric
from compress.model import Model
from compress.progress import Progress, Silent


@dataclass(frozen=True)
class Evaluation:
    """Outputs [N, …] float32 in the model's layout, labels [N, …], and how good they are by a metric."""

    outputs: Array
    labels: Array
    measured_by: Metric
    metric: float

    def first(self, samples: int) -> "Evaluation":
        """That of the first `samples` alone."""
        return score(self.outputs[:samples], self.labels[:samples], self.measured_by)


def evaluate(model: Model, split: Split, metric: Metric, progress: Progress | None = None, batch_size: int = 64) -> Evaluation:
    """Runs every sample of a split through a model in torch."""
    outputs, labels = [], []
    with (progress or Silent()).task(f"evaluating {model.name} in torch", split.samples) as task:
        for inputs, expected in split.batches(batch_size):
            outputs.append(model(*(torch.from_numpy(array) for array in inputs)).numpy())
            labels.append(expected)
            task.advance(len(expected))
    return score(np.concatenate(outputs), np.concatenate(labels), metric)


def score(outputs: Array, labels: Array, metric: Metric) -> Evaluation:
    """Scores outputs that a runtime gave. UserError where the metric can't be computed on them."""
    return Evaluation(outputs, labels, metric, metric(outputs, labels))
