"""Gives each layer's weights a few values to share: the file compresses better; nothing gets faster."""

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch

from compress.clustering import codebook
from compress.context import Context
from compress.model import Model, Stage, Step
from compress.pruning.surgery import weight_of
from compress.recipe import plain
from compress.sparsity.layers import find
from compress.training import TrainingOptions, learn_labels, train
from targets.errors import UserError, did_you_mean

LARGEST = 256
KEPT = (
    "the file gets smaller when compressed ('zipped' in the report), not faster; quantize keeps the clusters of a channel, and with "
    "weight_granularity tensor and no BatchNorm behind them those of a layer"
)


@dataclass(frozen=True)
class Cluster:
    """Gives the weights of each convolution and linear layer a codebook of `clusters` values, by k-means (Han et al. 2016).

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
    keep: tuple[str, ...] = ()
    epochs: int = 0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= LARGEST:
            raise UserError(f"clusters must be a number from 2 to {LARGEST}, not {self.clusters}")
        if self.init not in get_args(codebook.Init):
            raise UserError(f"init '{self.init}' is not known; {did_you_mean(self.init, get_args(codebook.Init))}")
        if self.epochs < 0:
            raise UserError(f"epochs must be at least 0, not {self.epochs}")
        self._training()

    def __call__(self, model: Model, context: Context) -> Model:
        """The network of the same shapes. UserError where a pattern of `keep` matches no layer, or none is left that is large enough."""
        graph, lines, weights = model.copy_graph(), list[str](), list[str]()
        for layer in find(model, self.keep, "cluster"):
            weight = weight_of(graph, layer.weight)
            if weight.numel() <= 2 * self.clusters or not bool(weight.any()):
                continue
            before = weight.detach().clone()
            with torch.no_grad():
                weight.copy_(codebook.clustered(before, self.clusters, self.init))
                error = float((weight - before).norm() / before.norm())
            weights.append(layer.weight)
            lines.append(f"{layer.name}: {weight.numel():,} weights share {codebook.count(weight)} values, {error:.2%} off")
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
