"""Channel pruners side by side: each takes a network and gives a smaller one with the plan that it followed."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from architectures import Architecture
from masked import Plan, plan_of
from torch import nn

from compress import cost
from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import Model, capture
from compress.passes.prune_channels import PruneChannels
from compress.pruning.analysis import analyse
from compress.pruning.rules import RULES, fallback


@dataclass(frozen=True)
class Pruned:
    """The smaller network, and which indices of which weights are left."""

    model: Model
    plan: Plan


@dataclass(frozen=True)
class Task:
    """What to prune, and by how much of every group of channels."""

    name: str
    architecture: Architecture
    ratio: float

    def captured(self) -> Model:
        """The whole network."""
        return capture(self.architecture.network(), (self.architecture.inputs(2),), self.name)


def data(architecture: Architecture) -> Data:
    """A few samples; nothing is trained."""
    inputs, labels = architecture.inputs(8, 1).numpy(), np.zeros(8, np.int64)
    split = Split(8, lambda rows: ((inputs[rows],), labels[rows]))
    return Data("benchmark", split, split, split, "benchmark")


def edgepress(task: Task) -> Pruned:
    """Ours, by magnitude and without correcting weights, so that the rest is as it was."""
    model = task.captured()
    context = Context(data(task.architecture), model, metric("accuracy"), device="cpu")
    pruned = PruneChannels(ratio=task.ratio, criterion="l1", correct=False)(model, context)
    return Pruned(pruned, pruned.history[-1].details["plan"])


def torch_pruning(task: Task) -> Pruned:
    """Torch-Pruning by magnitude, with what its pages ask of a user: layers that make outputs ignored, numbers of heads told and kept."""
    try:
        import torch_pruning as tool
    except ModuleNotFoundError:
        raise ModuleNotFoundError("torch-pruning is not installed; pip install torch-pruning") from None
    network = task.architecture.network()
    before = copy.deepcopy(network.state_dict())
    example = task.architecture.inputs(2)
    heads = _heads(network)
    pruner = tool.pruner.BasePruner(
        network,
        example,
        tool.importance.MagnitudeImportance(p=1),
        pruning_ratio=task.ratio,
        ignored_layers=_output_layers(network, task),
        num_heads={layer: count for layers, count in heads.values() for layer in layers},
    )
    pruner.step()
    for module, (layers, count) in heads.items():
        _tell_heads(module, layers, count)
    return Pruned(capture(network, (example,), task.name), plan_of(before, network.state_dict()))


def _output_layers(network: nn.Module, task: Task) -> list[nn.Module]:
    """Layers whose channels are the network's outputs, or are tied to them; found by our analysis."""
    analysis = analyse(task.captured(), RULES, fallback)
    fixed = [layer.weight for layer in analysis.layers if not analysis.classes.find(analysis.axes[layer.weight][layer.output_axis]).any()]
    return [network.get_submodule(name.rpartition(".")[0]) for name in fixed]


def _heads(network: nn.Module) -> dict[nn.Module, tuple[list[nn.Module], int]]:
    """Attention modules with their linear layers of queries, keys and values, and their number of heads."""
    names = {"query", "key", "value", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin", "q", "k", "v", "qkv", "c_attn"}
    found = {}
    for module in network.modules():
        counts = (getattr(module, name, None) for name in ("num_attention_heads", "num_heads", "n_heads", "heads"))
        count = next((each for each in counts if isinstance(each, int)), None)
        layers = [child for name, child in module.named_children() if name in names]
        layers = [module] if isinstance(module, nn.MultiheadAttention) else layers
        if count and layers:
            found[module] = (layers, count)
    return found


def _tell_heads(module: Any, layers: list[Any], count: int) -> None:
    """Sizes that attention modules of `transformers` keep beside their layers."""
    size = getattr(layers[0], "out_features", None)
    if size:
        sizes = {"attention_head_size": size // count, "head_dim": size // count, "all_head_size": size, "inner_dim": size, "dim": size}
        for name in sizes.keys() & vars(module).keys():
            setattr(module, name, sizes[name])


def share_left(whole: Model, pruned: Model) -> float:
    """Parameters of the smaller network over those of the whole one."""
    return cost.parameters(pruned) / cost.parameters(whole)


TOOLS: dict[str, Callable[[Task], Pruned]] = {"edgepress": edgepress, "torch-pruning": torch_pruning}
