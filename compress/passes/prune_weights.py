"""Sets single weights to zero: the file compresses better, and runs faster only where a runtime has sparse kernels."""

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

import torch

from compress.context import Context
from compress.model import Model, Stage, Step, layer_name
from compress.pruning.analysis import operator
from compress.pruning.surgery import weight_of
from targets.errors import UserError, did_you_mean

WEIGHTED = frozenset(f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3)) | {"linear"}


@dataclass(frozen=True)
class PruneWeights:
    """Zeroes the `sparsity` share of smallest magnitude (Han et al. 2015) among the weights of convolutions and linear layers.

    `scope: global` compares all layers' weights with each other, `layer` takes the share of each layer. `keep` lists layers that stay
    whole, by patterns as file names have. Biases and normalization stay. Later training keeps the zeros (its option `keep_zeros`).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    sparsity: float = 0.5
    scope: Literal["global", "layer"] = "global"
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise UserError(f"sparsity must be a share from 0 to below 1, not {self.sparsity}")
        if self.scope not in ("global", "layer"):
            raise UserError(f"scope '{self.scope}' is not known; {did_you_mean(self.scope, ('global', 'layer'))}")

    def __call__(self, model: Model, context: Context) -> Model:  # noqa: ARG002  magnitudes need no data
        """The sparse network, of the same shapes. UserError where a pattern of `keep` matches no layer, or no weight is left."""
        graph = model.copy_graph()
        layers = self._layers(model)
        weights = [weight_of(graph, name) for name in layers.values()]
        with torch.no_grad():
            for together in [weights] if self.scope == "global" else [[weight] for weight in weights]:
                _zero_smallest(together, self.sparsity)
        zeros = {layer: int((weight == 0).sum()) for layer, weight in zip(layers, weights, strict=True)}
        lines = [f"{layer}: {zeros[layer]:,} of {weight.numel():,} weights are zero" for layer, weight in zip(layers, weights, strict=True)]
        total, gone = sum(weight.numel() for weight in weights), sum(zeros.values())
        lines.append(f"in all {gone:,} of {total:,}; the file gets smaller when compressed, and faster only with sparse kernels")
        details = {"zeros": zeros, "weights": total, "sparsity": gone / total}
        return model.then(graph, Step("prune_weights", asdict(self), tuple(lines), details))

    def _layers(self, model: Model) -> dict[str, str]:
        """The weight's name of each layer that is not kept; a shared weight counts with its first layer."""
        layers: dict[str, str] = {}
        for node in model.graph.graph.nodes:
            weight = node.args[1] if node.op == "call_function" and operator(node) in WEIGHTED else None
            if isinstance(weight, torch.fx.Node) and weight.op == "get_attr" and str(weight.target) not in layers.values():
                layers[layer_name(node)] = str(weight.target)
        for pattern in self.keep:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                raise UserError(f"keep: '{pattern}' matches no layer; {did_you_mean(pattern, layers)}")
        pruned = {layer: name for layer, name in layers.items() if not any(fnmatchcase(layer, pattern) for pattern in self.keep)}
        if not pruned:
            raise UserError(f"prune_weights finds no weights of convolutions or linear layers to prune in {model.name}")
        return pruned


def _zero_smallest(weights: list[torch.Tensor], share: float) -> None:
    """Zeroes this share, to the nearest weight, of the smallest magnitudes of several tensors taken together; in place."""
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    smallest = torch.topk(magnitudes, round(len(magnitudes) * share), largest=False).indices
    start = 0
    for weight in weights:
        mask = torch.ones(weight.numel(), dtype=torch.bool)
        mask[smallest[(smallest >= start) & (smallest < start + weight.numel())] - start] = False
        weight.mul_(mask.view(weight.shape))
        start += weight.numel()
