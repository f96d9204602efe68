"""A whole training: parts of the data, epochs, checkpoints, and the network that is kept."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.clustering.history import clustered_weights
from compress.context import Context
from compress.data.base import Split
from compress.interruption import taken_at_stops
from compress.model import Model
from compress.training.loop import Loop
from compress.training.objective import Objective
from compress.training.options import TrainingOptions
from compress.training.ties import Ties
from targets.errors import UserError

NOISE = 0.01
"""On the weights that a rehearsal doesn't train, as a share of each."""


@dataclass(frozen=True)
class Trained:
    """A trained graph on the CPU, the mean loss and held-out metric of each epoch (None where nothing was held out) and the epoch kept."""

    graph: fx.GraphModule
    losses: tuple[float, ...]
    scores: tuple[float | None, ...]
    best_epoch: int
    training_samples: int
    held_out_samples: int

    def line(self, metric: str) -> str:
        """What happened, for people."""
        if not self.losses:
            return "not trained in a rehearsal"
        score = self.scores[self.best_epoch - 1]
        held_out = f", {metric} {score:.4f} on {self.held_out_samples} held-out samples" if score is not None else ""
        loss = f"loss {self.losses[0]:.4f} -> {self.losses[self.best_epoch - 1]:.4f} on {self.training_samples} samples"
        return f"epoch {self.best_epoch} of {len(self.losses)} kept: {loss}{held_out}"

    def details(self) -> dict[str, Any]:
        """The same for programs."""
        return {"losses": list(self.losses), "scores": list(self.scores), "best_epoch": self.best_epoch}


def train(model: Model, context: Context, options: TrainingOptions, objective: Objective, title: str) -> Trained:
    """Trains a copy of the model on the training part of the context's data.

    The same seed gives the same weights bit for bit on one CPU. After every epoch a checkpoint replaces the one before in
    `context.directory`; a run that was killed goes on from it to the very weights it would have had. Raises UserError where there
    are too few samples or the loss is no longer a number. In a rehearsal it gives the network back nearly as it was (see `_untrained`).
    """
    training, held_out = parts(context.data.training, options.held_out, context.seed)
    if options.patience is not None and not held_out.samples:
        raise UserError(f"patience needs samples that are not trained on, and held_out {options.held_out} of {training.samples} is none")
    loop = Loop(model, context, options, objective)
    if context.rehearsal:
        return _untrained(model, context, options)
    checkpoint = _checkpoint_path(model, context, options, objective, title)
    loop.resume(checkpoint)
    steps = math.ceil(training.samples / options.batch_size)
    with seeded(), context.progress.task(title, options.epochs * steps) as task, taken_at_stops() as stop_if_pressed:

        def report(loss: float) -> None:
            task.advance(1, f"loss {loss:.4f}")
            stop_if_pressed()

        task.advance(len(loop.losses) * steps)
        while not loop.finished:
            loop.epoch(training, report)
            loop.keep_best(loop.score(held_out) if held_out.samples else None)
            loop.save(checkpoint)
            stop_if_pressed()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    graph = model.copy_graph()
    graph.load_state_dict({name: tensor.cpu() for name, tensor in loop.best.items()})
    return Trained(graph, tuple(loop.losses), tuple(loop.scores), loop.best_epoch, training.samples, held_out.samples)


def _untrained(model: Model, context: Context, options: TrainingOptions) -> Trained:
    """The network with noise of 1 % on its weights: what hangs on the values of trained weights shows by differing from seed to seed.

    Zeros stay, and clusters share one value, where training keeps them so.
    """
    graph, generator = model.copy_graph(), torch.Generator().manual_seed(context.seed)
    ties = Ties(
        dict(graph.named_parameters()), zeros=options.keep_zeros, clustered=clustered_weights(model) if options.keep_clusters else {}
    )
    with torch.no_grad():
        for parameter in graph.parameters():
            noise = NOISE * torch.randn(parameter.shape, generator=generator)
            freed = 0.0 if options.keep_zeros else (parameter == 0) * parameter.std(correction=0) * noise
            parameter.add_(parameter * noise + freed)
    ties.after_step()
    return Trained(graph, (), (), 0, 0, 0)


def parts(split: Split, held_out: float, seed: int) -> tuple[Split, Split]:
    """The samples to train on and the ones that choose the best epoch, by a permutation that the seed decides."""
    order = np.random.default_rng(seed).permutation(split.samples)
    count = round(split.samples * held_out)
    if split.samples - count < 2:
        raise UserError(f"training needs at least 2 samples, and {split.samples - count} are left of {split.samples}")

    def part(numbers: Any) -> Split:
        return Split(len(numbers), lambda rows: split.load(numbers[rows]))

    return part(order[count:]), part(order[:count])


def weights_digest(model: Model) -> str:
    """A hash of a network's graph and weights."""
    digest = hashlib.sha256(model.graph.code.encode())
    for name, tensor in model.graph.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def seeded() -> Iterator[None]:
    """Leaves the process's random numbers as they were."""
    with torch.random.fork_rng():
        yield


def _checkpoint_path(model: Model, context: Context, options: TrainingOptions, objective: Objective, title: str) -> Path | None:
    """A name that only the same training of the same network has."""
    if context.directory is None:
        return None
    facts = (title, asdict(options), context.seed, context.data.fingerprint, context.metric.name, objective.fingerprint)
    digest = hashlib.sha256(f"{facts!r} {weights_digest(model)}".encode())
    return context.directory / f"training-{digest.hexdigest()[:16]}.ckpt"
