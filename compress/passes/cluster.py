"""Gives each layer's weights a few values to share: the file compresses better; nothing gets faster."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch

from compress.clustering import codebook
from compress.context import Context
from compress.model import Model, Stage, Step
from compress.pruning.surgery import weight_of
from compress.recipe import plain
from compress.sparsity.layers import find
from compress.training import TrainingOptions, learn_labels, train
from targets.errors import UserError, did_you_mean

FEWEST, MOST = 3, 256
KEPT = "the file gets smaller when compressed ('zipped' in the report); latency stays"

Granularity = Literal["channel", "tensor"]


@dataclass(frozen=True)
class Cluster:
    """Gives the weights of each convolution and linear layer a codebook of `clusters` values, by k-means (Han et al. 2016).

    With `granularity: channel` the values are shares of the largest weight of each output channel, so that int8 weights, whose scales
    are just that, have no more integers in the whole layer; with `tensor` they are the weights' own, which float files zip best.
    `init` says where the values start: `linear`, evenly between the extremes, or `density`, as many weights for each. Weights that are
    zero stay zero, and zero is one of the values then. `keep` lists layers that stay as they are, by patterns as file names have; so do
    layers with no more weights than twice the clusters. With `epochs` the values are trained on the labels at `learning_rate`, each by
    the mean of the gradients of its weights; which weight has which value stays. Later training keeps that too (`keep_clusters`).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    clusters: int = 32
    init: codebook.Init = "linear"
    granularity: Granularity = "channel"
    keep: tuple[str, ...] = ()
    epochs: int = 0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if not FEWEST <= self.clusters <= MOST:
            raise UserError(f"clusters must be a number from {FEWEST} to {MOST}, not {self.clusters}")
        for name, possible in (("init", get_args(codebook.Init)), ("granularity", get_args(Granularity))):
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        if self.epochs < 0:
            raise UserError(f"epochs must be at least 0, not {self.epochs}")
        self._training()

    def __call__(self, model: Model, context: Context) -> Model:
        """The network of the same shapes. UserError where a pattern of `keep` matches no layer, or none is left that is large enough."""
        graph, lines, weights = model.copy_graph(), list[str](), dict[str, int | None]()
        for layer in find(model, self.keep, "cluster"):
            weight = weight_of(graph, layer.weight)
            if weight.numel() <= 2 * self.clusters or not bool(weight.any()):
                continue
            axis = None if self.granularity == "tensor" else int(layer.transposed)
            before = weight.detach().clone()
            with torch.no_grad():
                weight.copy_(codebook.clustered(before, self.clusters, self.init, axis))
                error = float((weight - before).norm() / before.norm())
            weights[layer.weight] = axis
            values = int(codebook.members(weight, axis).max()) + 1
            lines.append(f"{layer.name}: {weight.numel():,} weights share {values} values, {error:.2%} off")
        if not weights:
            raise UserError(f"cluster: no layer of {model.name} has more than {2 * self.clusters} weights; use fewer clusters")
        details = {"weights": weights, "clusters": self.clusters}
        made = model.then(graph, Step("cluster", plain(self), (*lines, KEPT), details))
        if not self.epochs:
            return made
        trained = train(made, context, self._training(), learn_labels(), "training of the clusters")
        lines.append(trained.line(context.metric.name))
        return model.then(trained.graph, Step("cluster", plain(self), (*lines, KEPT), details | trained.details()))

    def _training(self) -> TrainingOptions:
        return TrainingOptions(epochs=max(1, self.epochs), learning_rate=self.learning_rate)
