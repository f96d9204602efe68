"""How large a network's tensors are, as functions of how many classes of each group are left; nothing is cut for it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import fx

from compress.pruning.analysis import Analysis, operator, untransposed
from compress.pruning.choice import Group, Kept
from compress.pruning.labels import Labels
from compress.pruning.surgery import weight_of

PRODUCTS = frozenset({"linear", "matmul", "mm", "bmm", "scaled_dot_product_attention"})


@dataclass(frozen=True)
class Width:
    """The length of an axis: so many elements that stay, and so many for each class that is left of some groups."""

    fixed: int
    parts: tuple[tuple[int, float], ...]

    def __call__(self, kept: Kept) -> int:
        """The length with so many classes left."""
        return self.fixed + round(sum(each * kept[group] for group, each in self.parts))


@dataclass(frozen=True)
class Product:
    """A number of elements or of multiply-accumulates: the product of `times` and some widths."""

    times: int
    widths: tuple[Width, ...]

    def __call__(self, kept: Kept) -> int:
        """The number with so many classes left."""
        return self.times * prod(width(kept) for width in self.widths)


class Sizes:
    """The sizes of a network's tensors by its groups."""

    def __init__(self, graph: fx.GraphModule, analysis: Analysis, found: Sequence[Group]) -> None:
        self.graph, self.analysis, self.groups = graph, analysis, tuple(found)
        self.whole: Kept = tuple(len(group.classes) for group in found)
        self._layers = {layer.weight for layer in analysis.layers}
        self._group_of = {each: number for number, group in enumerate(found) for each in group.classes}

    def kept(self, removed: set[int]) -> Kept:
        """How many classes are left of each group."""
        gone = Counter(self._group_of[each] for each in removed if each in self._group_of)
        return tuple(count - gone[number] for number, count in enumerate(self.whole))

    def width(self, vector: Labels) -> Width:
        """The length of an axis with these labels."""
        counted = Counter(self._group_of.get(each, -1) for each in self.analysis.classes.find(vector).tolist())
        fixed = counted.pop(-1, 0)
        return Width(fixed, tuple((group, count / self.whole[group]) for group, count in counted.items()))

    def along(self, labels: Labels, axis: int) -> Width:
        """The length of an axis of a tensor."""
        axis %= labels.ndim
        if not self.analysis.classes.varies(labels, axis):
            return Width(labels.shape[axis], ())
        return self.width(labels[tuple(slice(None) if each == axis else 0 for each in range(labels.ndim))])

    def elements(self, labels: Labels) -> Product:
        """How many elements a tensor has for one sample."""
        axis = self.analysis.classes.axis_of(labels)
        if axis is None:
            return Product(max(1, labels.numel() // self.analysis.batch), ())
        others = prod(size for each, size in enumerate(labels.shape) if each != axis)
        return Product(max(1, others // self.analysis.batch), (self.along(labels, axis),))

    def weight(self, name: str, times: int = 1) -> Product:
        """How many numbers a weight has, `times` over."""
        shape = list(weight_of(self.graph, name).shape)
        known = self.analysis.axes.get(name, {})
        if not known and name in self.analysis.elements:
            found = self.elements(self.analysis.elements[name])
            return Product(found.times * self.analysis.batch * times, found.widths)
        fixed = prod(size for axis, size in enumerate(shape) if axis not in known)
        return Product(fixed * times, tuple(self.width(vector) for vector in known.values()))

    def macs(self) -> tuple[Product, ...]:
        """Multiply-accumulates for one sample, of layers and of what attention multiplies without weights."""
        layers = [self.weight(layer.weight, layer.positions) for layer in self.analysis.layers]
        return (*layers, *(part for node in self.graph.graph.nodes for part in self._products(node)))

    def parameters(self) -> tuple[Product, ...]:
        """How many numbers the network has learned."""
        used = {str(node.target) for node in self.graph.graph.nodes if node.op == "get_attr"}
        return tuple(self.weight(name) for name, _ in self.graph.named_parameters() if name in used)

    def _products(self, node: fx.Node) -> list[Product]:
        """The multiply-accumulates of a product of calculated tensors, or of a linear layer across the channels."""
        name = operator(node) if node.op == "call_function" else ""
        if name not in PRODUCTS or {untransposed(each)[0] for each in node.all_input_nodes} & self._layers:
            return []
        first, second = (self.analysis.labels.get(each) for each in node.all_input_nodes[:2])
        result = self.analysis.labels[node]
        if first is None:
            return []
        if name != "scaled_dot_product_attention" or second is None:
            return [self._times(result, self.along(first, -1))]
        keys = Width(second.shape[-2], ())
        return [self._times(first, keys), self._times(result, keys)]

    def _times(self, labels: Labels, width: Width) -> Product:
        found = self.elements(labels)
        return Product(found.times, (*found.widths, width))


def total(parts: Sequence[Product], kept: Kept) -> int:
    """The sum with so many classes left."""
    return sum(part(kept) for part in parts)
