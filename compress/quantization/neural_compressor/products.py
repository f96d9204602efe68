"""A graph's layers as the modules that Neural Compressor works on: `nn.Linear`, each a matrix product of its input's columns."""

from collections.abc import Collection
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from compress.lowering.nodes import argument, constant, operator_name

Numbers = tuple[int, ...]


class Product(nn.Module):
    """A linear layer or convolution of one group as columns times `linear`'s weights (im2col): [output channels, columns].

    Rows are turned by `signs` so that the largest weight of each is positive: files leave out the lowest integer, which Neural
    Compressor would give to a largest weight that is negative. Rows and columns of zeros fill the weights up to a multiple of
    `multiple`, which some algorithms ask for.
    """

    def __init__(self, graph: fx.GraphModule, node: fx.Node, multiple: int = 1) -> None:
        super().__init__()
        weights, bias = constant(graph, argument(node, "weight")), argument(node, "bias")
        self.shape = weights.shape
        self.window = _window(node)
        matrix = weights.flatten(1)
        rows, columns = matrix.shape
        self.signs = torch.where(matrix.amax(1) + matrix.amin(1) < 0, -1.0, 1.0)
        self.fill = (-rows % multiple, -columns % multiple)
        self.linear = nn.Linear(columns + self.fill[1], rows + self.fill[0], bias=bias is not None)
        self.linear.weight.data = functional.pad(matrix * self.signs[:, None], (0, self.fill[1], 0, self.fill[0]))
        if bias is not None:
            self.linear.bias.data = functional.pad(constant(graph, bias) * self.signs, (0, self.fill[0]))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The layer's output, [N, C, ...] for a convolution, [..., C] for a linear layer."""
        columns, sizes = self._columns(values)
        product: torch.Tensor = self.linear(functional.pad(columns.flatten(0, -2), (0, self.fill[1])))[:, : self.shape[0]] * self.signs
        product = product.reshape(*columns.shape[:-1], self.shape[0])
        return product if sizes is None else product.transpose(1, 2).reshape(len(values), self.shape[0], *sizes)

    def _columns(self, values: torch.Tensor) -> tuple[torch.Tensor, Numbers | None]:
        if self.window is None:
            return values, None
        kernel, (stride, padding, dilation) = self.shape[2:], self.window
        sizes = tuple(
            (size + 2 * pad - step * (width - 1) - 1) // jump + 1
            for size, width, jump, pad, step in zip(values.shape[2:], kernel, stride, padding, dilation, strict=True)
        )
        image = values if len(kernel) == 2 else values.unsqueeze(2)
        flat = [(*([1] if len(kernel) == 1 else []), *numbers) for numbers in (kernel, dilation, stride)]
        edges = padding if len(kernel) == 2 else (0, *padding)
        unfolded = functional.unfold(image, flat[0], flat[1], edges, flat[2])
        return unfolded.transpose(1, 2), sizes


def weight_name(layer: fx.Node) -> str:
    """The name of the constant that holds a layer's weights."""
    return str(getattr(argument(layer, "weight"), "target", ""))


def is_product(node: fx.Node) -> bool:
    """Whether a layer is one matrix product: a linear layer, or a convolution of one group with plain padding."""
    if operator_name(node) == "linear":
        return True
    padding = argument(node, "padding")
    return operator_name(node) in ("conv1d", "conv2d") and argument(node, "groups") == 1 and not isinstance(padding, str)


def expose(graph: fx.GraphModule, layers: Collection[fx.Node], multiple: int = 1) -> dict[str, Product]:
    """Puts a `Product` in the place of each of these layers, in place; gives them by the names of the nodes."""
    products = {}
    for node in layers:
        products[node.name] = product = Product(graph, node, multiple)
        name = f"product_{node.name}"
        graph.add_submodule(name, product)
        with graph.graph.inserting_before(node):
            call = graph.graph.call_module(name, (node.args[0],))
        node.replace_all_uses_with(call)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return products


def _window(node: fx.Node) -> tuple[Numbers, Numbers, Numbers] | None:
    """Stride, padding and dilation of a convolution, a number for each axis; None for a linear layer."""
    if operator_name(node) == "linear":
        return None
    axes = 1 if operator_name(node) == "conv1d" else 2
    stride, padding, dilation = (_each(argument(node, name), axes) for name in ("stride", "padding", "dilation"))
    return stride, padding, dilation


def _each(numbers: Any, axes: int) -> Numbers:
    found = tuple(numbers) if isinstance(numbers, list | tuple) else (numbers,)
    return found if len(found) == axes else found * axes
