"""One run of training: the network, its optimizer and what has been reached, epoch after epoch."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.clustering.history import clustered_weights
from compress.context import Context
from compress.data.base import Inputs, Split
from compress.model import Model, first_output
from compress.training.augmentation import Augmentation
from compress.training.averaging import Average
from compress.training.devices import devices, fabric, on_device
from compress.training.layout import channels_last
from compress.training.learner import Learner, shares, together
from compress.training.objective import Batch, Objective, Tensors, tap
from compress.training.options import TrainingOptions
from compress.training.ties import Ties
from compress.training_mode import DROPOUT, STATISTICS, set_training
from targets.errors import UserError

SEEDS = 1_000_003
"""Seeds of runs are this far apart, so that no epoch of one has the seed of another's."""


class Loop:
    """Trains a copy of a model; what is scored and kept is `network`, or its average where one is asked for."""

    def __init__(self, model: Model, context: Context, options: TrainingOptions, objective: Objective) -> None:
        self.fabric = fabric(context.device, options.precision)
        self.options, self.objective, self.metric, self.seed = options, objective, context.metric, context.seed
        self.network = channels_last(on_device(model.copy_graph(), self.fabric.device))
        self.sample_by_sample = not model.free_batch
        self.batch_statistics = model.free_batch
        self.graph = fx.GraphModule(self.network, _training_graph(self.network.graph, self.batch_statistics, objective.taps))
        named = {name: weight for name, weight in self.graph.named_parameters() if weight.requires_grad}
        if not named:
            raise UserError(f"{model.name} has no weight that can be trained")
        self.ties = Ties(named, zeros=options.keep_zeros, clustered=clustered_weights(model) if options.keep_clusters else {})
        self.average = Average(self.network, options.ema) if options.ema else None
        weights = [*named.values(), *objective.learns.to(self.fabric.device).parameters()]
        self.trained, self.optimizer = self.fabric.setup(self.graph, _optimizer(weights, options), move_to_device=False)
        first, *others = devices(self.fabric.device, options.devices)
        learner = Learner(self.graph, self.trained, objective, first)
        self.learners = [learner, *(learner.twin(each, self.fabric) for each in others)]
        self.losses: list[float] = []
        self.scores: list[float | None] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or too many since one was better than all before."""
        if self.options.patience is None or not self.best_epoch:
            return len(self.losses) >= self.options.epochs
        waited = len(self.scores) - 1 - self.scores.index(self.scores[self.best_epoch - 1])
        return len(self.losses) >= self.options.epochs or waited >= self.options.patience

    def epoch(self, training: Split, report: Callable[[float], None]) -> None:
        """Trains on every sample once, in the order that seed and epoch decide; keeps the mean loss of a sample."""
        epoch, steps, total = len(self.losses), math.ceil(training.samples / self.options.batch_size), 0.0
        torch.manual_seed(self.seed * SEEDS + epoch)
        augment = Augmentation(self.options.augment, self.seed * SEEDS + epoch)
        for step, (inputs, labels) in enumerate(training.batches(self.options.batch_size, shuffle=self.seed * SEEDS + epoch)):
            if len(labels) == 1 and not self.sample_by_sample:
                continue  # a batch of one has no batch statistics
            progress = (epoch * steps + step + 0.5) / (steps * self.options.epochs)
            self._freeze(progress)
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.rate(progress)
            value = self._step(augment(Batch(self._tensors(inputs), torch.from_numpy(labels).to(self.fabric.device))))
            if not math.isfinite(value):
                rate = self.options.learning_rate
                raise UserError(f"training diverged in epoch {epoch + 1} (loss {value}); use a learning_rate below {rate}")
            total += value * len(labels)
            report(value)
        self.losses.append(total / training.samples)

    def _freeze(self, progress: float) -> None:
        """Late in the training, BatchNorms keep the statistics that they have."""
        if self.batch_statistics and progress > 1 - self.options.freeze_batchnorm:
            self.batch_statistics = False
            for learner in self.learners:
                set_training(learner.graph.graph, training=False, flags=(STATISTICS,))
                learner.graph.recompile()

    def _step(self, batch: Batch) -> float:
        """One update, from the gradients of all devices."""
        parts = shares(batch, len(self.learners), least=1 if self.sample_by_sample else 2)  # one sample has no batch statistics
        total = together(self.learners, parts, self.fabric, one_by_one=self.sample_by_sample)
        self.ties.before_step()
        self.fabric.clip_gradients(self.trained, self.optimizer, max_norm=self.options.clip_norm, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ties.after_step()
        if self.average:
            self.average.update(self.network)
        return total

    @property
    def kept(self) -> fx.GraphModule:
        """The network that is scored and kept."""
        return self.average.network if self.average else self.network

    def score(self, held_out: Split) -> float:
        """The metric over the held-out samples, in inference mode."""
        outputs, expected = [], []
        with torch.no_grad():
            for inputs, labels in held_out.batches(1 if self.sample_by_sample else self.options.batch_size):
                outputs.append(first_output(self.kept(*self._tensors(inputs))).cpu().numpy())
                expected.append(labels)
        return self.metric(np.concatenate(outputs), np.concatenate(expected))

    def keep_best(self, score: float | None) -> None:
        """Keeps the weights as they are now unless an earlier epoch was better; of equal ones the later."""
        self.scores.append(score)
        best = self.scores[self.best_epoch - 1] if self.best_epoch else None
        if score is None or best is None or score >= best:
            self.best_epoch = len(self.scores)
            self.best = {name: tensor.detach().clone() for name, tensor in self.kept.state_dict().items()}

    def save(self, path: Path | None) -> None:
        """Writes all that the next epoch depends on, whole or not at all."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        state["best"] = self.best
        state["updates"] = self.average.updates if self.average else 0
        state["reached"] = {"losses": self.losses, "scores": self.scores, "best_epoch": self.best_epoch}
        unfinished = path.with_suffix(".part")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path | None) -> None:
        """Takes up a checkpoint where there is one."""
        if path is None or not path.exists():
            return
        state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        if self.average:
            self.average.updates = state["updates"]
        self.losses, self.scores, self.best_epoch = (state["reached"][key] for key in ("losses", "scores", "best_epoch"))
        self.best = state["best"]

    def _parts(self) -> dict[str, Any]:
        """Everything that keeps a state of its own."""
        parts = {"network": self.network, "optimizer": self.optimizer, "learns": self.objective.learns}
        scaling = {"precision": self.fabric.strategy.precision}  # the scale of gradients in 16 bits
        return parts | scaling | ({"average": self.average.network} if self.average else {})

    def _tensors(self, inputs: Inputs) -> Tensors:
        return tuple(torch.from_numpy(array).to(self.fabric.device) for array in inputs)


def _training_graph(graph: fx.Graph, batch_statistics: bool, taps: tuple[str, ...]) -> fx.Graph:
    """A copy in which dropout drops, and normalization takes its statistics from the batch unless that is a single sample."""
    copied = copy.deepcopy(graph)
    set_training(copied, training=True, flags=(DROPOUT, STATISTICS) if batch_statistics else (DROPOUT,))
    tap(copied, taps)
    return copied


def _optimizer(weights: list[torch.nn.Parameter], options: TrainingOptions) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels only, not on biases and normalization."""
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum, nesterov=options.momentum > 0)
    return torch.optim.AdamW(groups, lr=options.learning_rate)
