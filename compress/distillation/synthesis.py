"""Images from a network alone: such as its BatchNorms have seen (Yin et al. 2020, DeepInversion)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import fx
from torch.nn import functional as F

from compress.context import Context
from compress.data.base import Array, Split
from compress.lowering.nodes import constant, operand, operator_name
from compress.model import Model, first_output
from compress.training import device_of, on_device
from compress.training.train import seeded
from targets.errors import UserError

NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")
BATCH, STEPS, RATE = 64, 200, 0.1
SMOOTH, SHIFT = 1e-3, 2
"""Weight of the squared differences of neighbours, and by how many pixels images are shifted before each step."""


def synthetic(model: Model, context: Context, samples: int) -> Context:
    """The context with `samples` inputs made from the network in place of the training part, and the classes that they were made for.

    From noise, 200 steps of Adam bring the statistics of each BatchNorm's input over a batch of 64 to those that it keeps (each
    channel's mean and standard deviation, in units of the latter), and the answer to a class drawn for each sample. UserError
    where the network has no BatchNorm, several inputs, or outputs that are no classes.
    """
    device = device_of(context.device)
    graph = on_device(model.copy_graph(), device).requires_grad_(False)
    norms = [node for node in graph.graph.nodes if operator_name(node) in NORMS]
    classes = model(*model.sample()).shape[1:]
    if not norms or len(model.example) != 1 or len(classes) != 1 or not model.free_batch:
        raise UserError(
            f"synthetic: {model.name} must have BatchNorms, a free batch, one input and [classes] as outputs to make samples from; "
            "train on data instead"
        )
    if context.rehearsal:
        return context
    maker = _Maker(graph, norms)
    made, labels = [], []
    with seeded(), context.progress.task("making samples from BatchNorms", -(-samples // BATCH) * STEPS) as task:
        torch.manual_seed(context.seed)
        for start in range(0, samples, BATCH):
            wanted = torch.randint(classes[0], (max(2, min(BATCH, samples - start)),)).to(device)
            inputs = torch.randn(len(wanted), *model.example[0].shape[1:]).to(device)
            for loss in maker.improve(inputs, wanted):
                task.advance(1, f"loss {loss:.3f}")
            made.append(inputs.cpu().numpy())
            labels.append(wanted.cpu().numpy())
    return _in_place(context, np.concatenate(made)[:samples], np.concatenate(labels)[:samples], samples)


class _Maker(fx.Interpreter):
    """Runs a network and gathers how far the inputs of its BatchNorms are from what they have seen."""

    def __init__(self, graph: fx.GraphModule, norms: list[fx.Node]) -> None:
        super().__init__(graph)
        self.statistics = {node: tuple(constant(graph, operand(node, name)) for name in ("running_mean", "running_var")) for node in norms}
        self.distances: list[torch.Tensor] = []

    def improve(self, inputs: torch.Tensor, wanted: torch.Tensor) -> Iterator[float]:
        """Changes the inputs in place, step by step."""
        inputs.requires_grad_(True)
        optimizer = torch.optim.Adam([inputs], lr=RATE)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            shifts = tuple(int(shift) for shift in torch.randint(-SHIFT, SHIFT + 1, (2,))) if inputs.ndim == 4 else ()
            loss = self._loss(inputs.roll(shifts, (2, 3)) if shifts else inputs, wanted)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            rates.step()
            yield float(loss.detach())
        inputs.requires_grad_(False)

    def run_node(self, n: fx.Node) -> object:
        """Runs one node, and notes the distance where it is a BatchNorm."""
        if n in self.statistics:
            values = self.env[n.all_input_nodes[0]]
            mean, variance = self.statistics[n]
            axes = [axis for axis in range(values.ndim) if axis != 1]
            deviation = (variance + 1e-5).sqrt()
            self.distances.append((((values.mean(axes) - mean) / deviation).pow(2) + (values.std(axes) / deviation - 1).pow(2)).mean())
        return super().run_node(n)

    def _loss(self, inputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        self.distances = []
        outputs = first_output(self.run(inputs))
        rough = sum((inputs.diff(dim=axis).pow(2).mean() for axis in range(2, inputs.ndim)), torch.zeros((), device=inputs.device))
        return torch.stack(self.distances).mean() + F.cross_entropy(outputs, wanted) + SMOOTH * rough


def _in_place(context: Context, inputs: Array, labels: Array, samples: int) -> Context:
    split = Split(samples, lambda rows: ((inputs[rows],), labels[rows]))
    return replace(context, data=replace(context.data, training=split, fingerprint=f"{context.data.fingerprint} synthetic {samples}"))
