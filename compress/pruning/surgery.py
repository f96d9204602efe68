"""Removes classes of labels from a network: slices its weights and corrects the numbers written into its operators."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from compress.model import Model, layer_name, refresh
from compress.pruning.analysis import Analysis, Rule, operator
from compress.pruning.labels import Labels, pinned

Kept = dict[str, dict[int, torch.Tensor]]
"""For each weight and axis, which of its indices are left, int64."""

TOLERANCE = 1e-4
"""How far values may lie from those of the masked network, relative to the largest."""


class Cut:
    """What a set of removed classes means for the tensors of a network; made for one graph and its copy."""

    def __init__(self, analysis: Analysis, removed: set[int], nodes: dict[fx.Node, fx.Node]) -> None:
        self.analysis, self.nodes = analysis, nodes
        self._removed = torch.tensor(sorted(removed), dtype=torch.int64)

    @property
    def largest(self) -> int:
        """How many elements the network's largest tensor has for one sample."""
        return self.analysis.largest

    def mask(self, labels: Labels) -> torch.Tensor:
        """Which elements are left, bool of the same shape."""
        return ~torch.isin(self.analysis.classes.find(labels), self._removed)

    def keeps(self, labels: Labels, axis: int) -> torch.Tensor:
        """Which slices across this axis are left, bool [size]; all of them where the channels lie along another axis."""
        if not self.analysis.classes.varies(labels, axis % labels.ndim):
            return torch.ones(labels.shape[axis], dtype=torch.bool)
        return self.mask(self.analysis.classes.along(labels, axis))

    def kept(self, node: Any, axis: int) -> torch.Tensor:
        """The same for the value of a node of the copy."""
        return self.keeps(self.pieces(node), axis)

    def sizes(self, node: Any, axis: int) -> tuple[int, int]:
        """The size of an axis before and after."""
        kept = self.kept(node, axis)
        return len(kept), int(kept.sum())

    def element_counts(self, node: Any) -> tuple[int, int]:
        """How many elements a value has before and after."""
        kept = self.mask(self.pieces(node))
        return kept.numel(), int(kept.sum())

    def rank(self, node: fx.Node) -> int:
        """The number of axes of a node's value."""
        return int(self.pieces(node).ndim)

    def pieces(self, node: Any) -> Any:
        """The labels of a node of the copy, a tuple of them where it has several values."""
        original = self.nodes[node]
        known = self.analysis.labels.get(original, self.analysis.elements.get(str(original.target)))
        return pinned(original.meta["val"].shape) if known is None else known

    def replace(self, node: fx.Node, other: fx.Node) -> None:
        """From now on another node of the copy stands for what this one stood for."""
        self.nodes[other] = self.nodes.pop(node)

    def left(self, node: fx.Node, value: torch.Tensor) -> torch.Tensor:
        """What is left of the value of a node of the whole network."""
        labels = self.analysis.labels[node]
        axis = self.analysis.classes.axis_of(labels)
        return value if axis is None else value.index_select(axis, self.keeps(labels, axis).nonzero().flatten())

    def weights(self) -> Kept:
        """What is left of every weight that loses something."""
        vectors = {name: dict(axes) for name, axes in self.analysis.axes.items()}
        for name, elements in self.analysis.elements.items():
            axis = self.analysis.classes.axis_of(elements)
            if axis is not None:
                vectors.setdefault(name, {})[axis] = self.analysis.classes.along(elements, axis)
        masks = {name: {axis: self.mask(vector) for axis, vector in axes.items()} for name, axes in vectors.items()}
        return {
            name: {axis: mask.nonzero().flatten() for axis, mask in axes.items() if not bool(mask.all())}
            for name, axes in masks.items()
            if not all(bool(mask.all()) for mask in axes.values())
        }


def remove(
    model: Model, analysis: Analysis, removed: set[int], rules: Mapping[str, Rule], inputs: tuple[torch.Tensor, ...]
) -> tuple[fx.GraphModule, Cut]:
    """A copy of the model's graph without the removed classes, compared with the masked network on `inputs`, and the cut that made it.

    Raises RuntimeError, which names the layer, where the result isn't what the network would give with those channels zeroed:
    that is never the user's mistake.
    """
    graph = model.copy_graph()
    cut = Cut(analysis, removed, dict(zip(graph.graph.nodes, model.graph.graph.nodes, strict=True)))
    for name, axes in cut.weights().items():
        for axis, indices in axes.items():
            set_weight(graph, name, weight_of(graph, name).detach().index_select(axis, indices))
    for node in list(graph.graph.nodes):
        rule = rules.get(operator(node)) if node.op == "call_function" else None
        if rule and rule.adjust and cut.nodes[node] in analysis.labels:
            rule.adjust(cut, node)
    refresh(graph, model.example)
    compare_with_masked(model, graph, cut, rules, inputs)
    return graph, cut


def weight_of(graph: fx.GraphModule, name: str) -> torch.Tensor:
    """A parameter or buffer by its dotted name."""
    owner, _, last = name.rpartition(".")
    return getattr(graph.get_submodule(owner), last)  # type: ignore[no-any-return]


def set_weight(graph: fx.GraphModule, name: str, value: torch.Tensor) -> None:
    """Puts new values, of any shape, in the place of a parameter or buffer."""
    owner, _, last = name.rpartition(".")
    old = weight_of(graph, name)
    new = torch.nn.Parameter(value, old.requires_grad) if isinstance(old, torch.nn.Parameter) else value
    setattr(graph.get_submodule(owner), last, new)


def compare_with_masked(model: Model, graph: fx.GraphModule, cut: Cut, rules: Mapping[str, Rule], inputs: tuple[torch.Tensor, ...]) -> None:
    """Compares what is left of every tensor with the same tensor of the whole network, removed channels zeroed where they arise."""

    weights = cut.weights()

    def masked(node: fx.Node, value: Any, before: dict[fx.Node, Any]) -> Any:
        if node.op == "get_attr":
            return _without(value, weights.get(str(node.target), {}))
        rule = rules.get(operator(node)) if node.op == "call_function" else None
        return _zeroed(cut, node, rule.masked(cut, node, before) if rule and rule.masked else value)

    whole, small = _Recorder(model.graph, masked), _Recorder(graph, lambda node, value, before: value)  # noqa: ARG005  of one kind
    with torch.no_grad():
        whole.run(*inputs)
        small.run(*inputs)
    for copied, node in cut.nodes.items():
        if copied in small.values and isinstance(whole.values[node], torch.Tensor) and node in cut.analysis.labels:
            expected, given = cut.left(node, whole.values[node]), small.values[copied]
            if expected.shape != given.shape or not _close(expected, given):
                raise RuntimeError(f"pruning changed more than it removed, first seen at {layer_name(node)} ({operator(node)})")


def _without(weight: torch.Tensor, kept: dict[int, torch.Tensor]) -> torch.Tensor:
    """A weight whose other indices are zero."""
    for axis, indices in kept.items():
        weight = torch.zeros_like(weight).index_copy(axis, indices, weight.index_select(axis, indices))
    return weight


def _close(expected: torch.Tensor, given: torch.Tensor) -> bool:
    if not expected.is_floating_point():
        return torch.equal(expected, given)
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(expected, given, rtol=0, atol=TOLERANCE * max(scale, 1e-6), equal_nan=True)


def _zeroed(cut: Cut, node: fx.Node, value: Any) -> Any:
    labels = cut.analysis.labels.get(node)
    if not isinstance(value, torch.Tensor) or not isinstance(labels, torch.Tensor) or not value.is_floating_point():
        return value
    return torch.where(cut.mask(labels.expand(value.shape)), value, torch.zeros((), dtype=value.dtype))


class _Recorder(fx.Interpreter):
    """Runs a graph with each value changed on its way (by node, value and the values before), and remembers the values.

    Those that are passed on are copies, which operators may change in place.
    """

    def __init__(self, graph: fx.GraphModule, change: Callable[[fx.Node, Any, dict[fx.Node, Any]], Any]) -> None:
        super().__init__(graph)
        self.change = change
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.values[n] = self.change(n, super().run_node(n), self.values)
        return fx.node.map_aggregate(self.values[n], lambda each: each.clone() if isinstance(each, torch.Tensor) else each)
