"""The one training loop: it trains the ATen graph of a Model as it is, seeded, on CPU or GPU, and goes on where it was killed."""

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import fx
from torch.nn import functional as F

from compress.context import Context
from compress.data.base import Inputs, Split
from compress.model import Model, first_output
from compress.training_mode import DROPOUT, STATISTICS, set_training
from targets.errors import UserError

Loss = Callable[[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]], torch.Tensor]
"""Outputs [N, …], labels [N, …] and the inputs they belong to, to the loss, a scalar."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; `finetune`, `distill` and `qat` take these under the same names.

    The learning rate rises over the first `warmup` share of all steps and then falls to 0 along a cosine (Loshchilov and
    Hutter 2017, without restarts). `held_out` is the share of the training part that chooses the best epoch and is not
    trained on; 0 takes the last epoch. `keep_zeros` holds weights that are exactly 0 at 0, so that a pruned network stays
    pruned. In the last share `freeze_batchnorm` of all steps BatchNorms use and keep the statistics that they have.
    UserError at construction for values that can't work.
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 64
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 1e-4
    momentum: float = 0.9
    warmup: float = 0.1
    label_smoothing: float = 0.0
    clip_norm: float = 1.0
    held_out: float = 0.1
    keep_zeros: bool = True
    freeze_batchnorm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name} must be a number above 0, not {getattr(self, name)}")
        for name in ("momentum", "warmup", "label_smoothing", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must be a share from 0 to below 1, not {getattr(self, name)}")
        if not 0 <= self.freeze_batchnorm <= 1:
            raise UserError(f"freeze_batchnorm must be a share from 0 to 1, not {self.freeze_batchnorm}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UserError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if self.optimizer not in ("adamw", "sgd"):
            raise UserError(f"optimizer '{self.optimizer}' is not known; possible: adamw, sgd")


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
        score = self.scores[self.best_epoch - 1]
        held_out = f", {metric} {score:.4f} on {self.held_out_samples} held-out samples" if score is not None else ""
        loss = f"loss {self.losses[0]:.4f} -> {self.losses[self.best_epoch - 1]:.4f} on {self.training_samples} samples"
        return f"epoch {self.best_epoch} of {len(self.losses)} kept: {loss}{held_out}"

    def details(self) -> dict[str, Any]:
        """The same for programs."""
        return {"losses": list(self.losses), "scores": list(self.scores), "best_epoch": self.best_epoch}


def supervised_loss(label_smoothing: float = 0.0) -> Loss:
    """Cross entropy where labels are classes (int64), mean squared error where they are float32 targets of the outputs' shape."""

    def loss(outputs: torch.Tensor, labels: torch.Tensor, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:  # noqa: ARG001  Loss
        if labels.is_floating_point():
            return F.mse_loss(outputs, labels.reshape(outputs.shape))
        return F.cross_entropy(outputs, labels, label_smoothing=label_smoothing)

    return loss


def train(model: Model, context: Context, options: TrainingOptions, loss: Loss, title: str) -> Trained:
    """Trains a copy of the model on the training part of the context's data.

    The same seed gives the same weights bit for bit on one CPU. After every epoch a checkpoint replaces the one before in
    `context.directory`; a run that was killed goes on from it to the very weights it would have had. Raises UserError where there
    are too few samples or the loss is no longer a number.
    """
    training, held_out = _parts(context.data.training, options.held_out, context.seed)
    loop = _Loop(model, context, options, loss)
    checkpoint = _checkpoint_path(model, context, options, title)
    first = loop.resume(checkpoint)
    steps = math.ceil(training.samples / options.batch_size)
    with _seeded(), context.progress.task(title, options.epochs * steps) as task:
        task.advance(first * steps)
        for epoch in range(first, options.epochs):
            torch.manual_seed(context.seed * 1_000_003 + epoch)
            loop.losses.append(loop.epoch(training, epoch, steps, lambda value: task.advance(1, f"loss {value:.4f}")))
            loop.keep_best(loop.score(held_out) if held_out.samples else None)
            loop.save(checkpoint)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    graph = model.copy_graph()
    graph.load_state_dict({name: tensor.cpu() for name, tensor in loop.best.items()})
    return Trained(graph, tuple(loop.losses), tuple(loop.scores), loop.best_epoch, training.samples, held_out.samples)


class _Loop:
    """One run of training: the network, its optimizer and what has been reached."""

    def __init__(self, model: Model, context: Context, options: TrainingOptions, loss: Loss) -> None:
        self.fabric = _fabric(context.device)
        self.options, self.loss, self.metric, self.seed = options, loss, context.metric, context.seed
        self.network = on_device(model.copy_graph(), self.fabric.device)
        self.sample_by_sample = not model.free_batch
        self.batch_statistics = model.free_batch
        self.graph = fx.GraphModule(self.network, _training_mode(self.network.graph, self.batch_statistics))
        self.weights = [weight for weight in self.graph.parameters() if weight.requires_grad]
        if not self.weights:
            raise UserError(f"{model.name} has no weight that can be trained")
        self.masks = [(weight, weight != 0) for weight in self.weights if options.keep_zeros and _sparse(weight)]
        self.trained, self.optimizer = self.fabric.setup(self.graph, _optimizer(self.weights, options), move_to_device=False)
        self.losses: list[float] = []
        self.scores: list[float | None] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = 0

    def epoch(self, training: Split, epoch: int, steps: int, report: Callable[[float], None]) -> float:
        """Trains on every sample once, in the order that seed and epoch decide; the mean loss of a sample."""
        total = 0.0
        batches = training.batches(self.options.batch_size, shuffle=self.seed * 1_000_003 + epoch)
        for step, (inputs, labels) in enumerate(batches):
            if len(labels) == 1 and not self.sample_by_sample:
                continue  # a batch of one has no batch statistics
            progress = (epoch * steps + step + 0.5) / (steps * self.options.epochs)
            self._freeze(progress)
            for group in self.optimizer.param_groups:
                group["lr"] = self.options.learning_rate * _rate(progress, self.options.warmup)
            value = self._step(self._tensors(inputs), torch.from_numpy(labels).to(self.fabric.device))
            if not math.isfinite(value):
                rate = self.options.learning_rate
                raise UserError(f"training diverged in epoch {epoch + 1} (loss {value}); use a learning_rate below {rate}")
            total += value * len(labels)
            report(value)
        return total / training.samples

    def _freeze(self, progress: float) -> None:
        """Late in the training, BatchNorms keep the statistics that they have."""
        if self.batch_statistics and progress > 1 - self.options.freeze_batchnorm:
            self.batch_statistics = False
            set_training(self.graph.graph, training=False, flags=(STATISTICS,))
            self.graph.recompile()

    def _step(self, inputs: tuple[torch.Tensor, ...], labels: torch.Tensor) -> float:
        """One update, from gradients gathered sample by sample where the network's batch is fixed to 1."""
        size = 1 if self.sample_by_sample else len(labels)
        total = 0.0
        for start in range(0, len(labels), size):
            part = tuple(tensor[start : start + size] for tensor in inputs)
            loss = self.loss(first_output(self.trained(*part)), labels[start : start + size], part) * (size / len(labels))
            self.fabric.backward(loss)
            total += float(loss.detach())
        self.fabric.clip_gradients(self.trained, self.optimizer, max_norm=self.options.clip_norm, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for weight, mask in self.masks:
                weight.mul_(mask)
        return total

    def score(self, held_out: Split) -> float:
        """The metric over the held-out samples, in inference mode."""
        outputs, expected = [], []
        with torch.no_grad():
            for inputs, labels in held_out.batches(1 if self.sample_by_sample else self.options.batch_size):
                outputs.append(first_output(self.network(*self._tensors(inputs))).cpu().numpy())
                expected.append(labels)
        return self.metric(np.concatenate(outputs), np.concatenate(expected))

    def keep_best(self, score: float | None) -> None:
        """Keeps the weights as they are now unless an earlier epoch was better; of equal ones the later."""
        self.scores.append(score)
        best = self.scores[self.best_epoch - 1] if self.best_epoch else None
        if score is None or best is None or score >= best:
            self.best_epoch = len(self.scores)
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def save(self, path: Path | None) -> None:
        """Writes all that the next epoch depends on, whole or not at all."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "reached": {"losses": self.losses, "scores": self.scores, "best_epoch": self.best_epoch},
            "best": self.best,
        }
        unfinished = path.with_suffix(".part")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path | None) -> int:
        """Takes up a checkpoint where there is one; the number of epochs already done."""
        if path is None or not path.exists():
            return 0
        state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses, self.scores, self.best_epoch = (state["reached"][key] for key in ("losses", "scores", "best_epoch"))
        self.best = state["best"]
        return len(self.losses)

    def _tensors(self, inputs: Inputs) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(array).to(self.fabric.device) for array in inputs)


def on_device(graph: fx.GraphModule, device: torch.device) -> fx.GraphModule:
    """Moves a graph's weights, and the devices written into its operators, to a device, in place."""
    for node in graph.graph.nodes:
        if isinstance(node.kwargs.get("device"), torch.device):
            node.update_kwarg("device", device)
    graph.recompile()
    return graph.to(device)


def device_of(name: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU."""
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for and torch sees no GPU; use device: cpu or auto")
    return torch.device(wanted)


def _fabric(device: str) -> Any:
    from lightning_fabric import Fabric

    return Fabric(accelerator=device_of(device).type, devices=1)


def _training_mode(graph: fx.Graph, batch_statistics: bool) -> fx.Graph:
    """A copy in which dropout drops, and normalization takes its statistics from the batch unless that is a single sample."""
    copied = copy.deepcopy(graph)
    set_training(copied, training=True, flags=(DROPOUT, STATISTICS) if batch_statistics else (DROPOUT,))
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


def _sparse(weight: torch.Tensor) -> bool:
    return weight.ndim > 1 and bool((weight == 0).any())


def _rate(progress: float, warmup: float) -> float:
    """The share of the learning rate after `progress` of all steps: linear up to `warmup`, then half a cosine down to 0."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def _parts(split: Split, held_out: float, seed: int) -> tuple[Split, Split]:
    """The samples to train on and the ones that choose the best epoch, by a permutation that the seed decides."""
    order = np.random.default_rng(seed).permutation(split.samples)
    count = round(split.samples * held_out)
    if split.samples - count < 2:
        raise UserError(f"training needs at least 2 samples, and {split.samples - count} are left of {split.samples}")

    def part(numbers: Any) -> Split:
        return Split(len(numbers), lambda rows: split.load(numbers[rows]))

    return part(order[count:]), part(order[:count])


def _checkpoint_path(model: Model, context: Context, options: TrainingOptions, title: str) -> Path | None:
    """A name that only the same training of the same network has."""
    if context.directory is None:
        return None
    digest = hashlib.sha256(repr((title, asdict(options), context.seed, context.data.fingerprint, context.metric.name)).encode())
    for origin in (model, context.original):
        digest.update(origin.graph.code.encode())
        for name, tensor in origin.graph.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return context.directory / f"training-{digest.hexdigest()[:16]}.ckpt"


@contextmanager
def _seeded() -> Iterator[None]:
    """Leaves the process's random numbers as they were."""
    with torch.random.fork_rng():
        yield
