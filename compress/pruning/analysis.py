"""Runs a network once and labels every element of every tensor in it (see the package's own page for the idea)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from compress.model import Model, layer_name
from compress.pruning.labels import Classes, Labels, pinned
from compress.schemas import schema

LARGEST_FREE_TENSOR = 1 << 18


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: its weight's name, the axes of its output and input channels, and MACs a weight element and sample."""

    name: str
    weight: str
    output_axis: int
    input_axis: int
    positions: int


@dataclass
class Analysis:
    """What is known of a network's labels.

    `batch` is the number of samples it ran; `labels` has those of each node's value (a tuple where it gives several); `axes` those
    of the weights' axes, by name and axis; `elements` those of weights that take part in the calculation as tensors; `anchors`
    are stretches of channels that are cut alike on their own (the halves of a split); `scales` names the scales of BatchNorm;
    `vanishing` are the nodes whose removed elements are zero in the masked network; `notes` says what had to be kept and why.
    """

    batch: int = 1
    classes: Classes = field(default_factory=Classes)
    labels: dict[fx.Node, Any] = field(default_factory=dict)
    axes: dict[str, dict[int, Labels]] = field(default_factory=dict)
    elements: dict[str, Labels] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    anchors: list[Labels] = field(default_factory=list)
    scales: list[str] = field(default_factory=list)
    vanishing: set[fx.Node] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def largest(self) -> int:
        """How many elements the largest tensor has for one sample."""
        return max(labels.numel() for labels in self.labels.values() if isinstance(labels, torch.Tensor)) // self.batch

    def of(self, operand: Any, value: Any) -> Any:
        """The labels of an operand, given the value that it had: a tensor, or a tuple where it has several.

        A weight's elements get labels of their own when it is used as a tensor; big ones, and whole numbers, stay as they are.
        """
        if isinstance(operand, fx.Node) and operand in self.labels:
            return self.labels[operand]
        if not isinstance(value, torch.Tensor):
            return pinned(())
        if not isinstance(operand, fx.Node) or not value.is_floating_point() or not 1 < value.numel() <= LARGEST_FREE_TENSOR:
            return pinned(value.shape)
        name, first = untransposed(operand)
        if name is None:
            return pinned(value.shape)
        if name not in self.elements:
            self.elements[name] = self.classes.fresh(value.numel()).reshape(value.t().shape if first else value.shape)
        return self.elements[name].t() if first else self.elements[name]

    def weight_axis(self, name: str, axis: int, vector: Labels) -> None:
        """The labels [size] of a weight's axis; tied to those that it has already."""
        known = self.axes.setdefault(name, {}).setdefault(axis, vector)
        if known is not vector:
            self.classes.tie(known, vector)

    def new_axis(self, name: str, axis: int, size: int) -> Labels:
        """The labels of the axis in which a layer makes its channels: new ones, unless another use of the weight made them.

        A channel that is alone stays: a layer keeps at least one.
        """
        fresh = self.classes.fresh(size) if size > 1 else pinned((1,))
        return self.axes.setdefault(name, {}).setdefault(axis, fresh)


@dataclass(frozen=True)
class Call:
    """One operator being run: its operands by the names of its schema, as nodes and constants and as the values they had."""

    analysis: Analysis
    node: fx.Node
    operands: dict[str, Any]
    values: dict[str, Any]
    result: Any

    @property
    def classes(self) -> Classes:
        """Shorthand."""
        return self.analysis.classes

    def labels(self, operand: str) -> Labels:
        """An operand's labels; of constants they are pinned."""
        found: Labels = self.analysis.of(self.operands[operand], self.values[operand])
        return found

    def along(self, operand: str, axis: int) -> Labels:
        """The labels [size] of an operand's slices across an axis."""
        return self.classes.along(self.labels(operand), axis)

    def weight(self, operand: str) -> str | None:
        """The name of the weight that an operand is; None where it is calculated or absent."""
        return weight_name(self.operands.get(operand))

    def keep(self, labels: Labels, reason: str) -> None:
        """Pins labels and notes why, unless they were pinned anyway or are no channels that a layer makes."""
        found = torch.unique(self.classes.find(labels))
        if bool((found != 0).any()):
            made = [self.classes.find(vector) for axes in self.analysis.axes.values() for vector in axes.values()]
            self.classes.pin(labels)
            if not any(bool(torch.isin(each[each != 0], found).any()) for each in made):
                return
            note = f"{layer_name(self.node)}: its input channels are kept, because {reason}"
            self.analysis.notes += [note] if note not in self.analysis.notes else []


@dataclass(frozen=True)
class Rule:
    """How an operator passes labels on.

    `adjust` changes its arguments where elements are removed (surgery.Cut, node). `masked` gives its value in the masked network
    (surgery.Cut, node, values of the nodes before), where that isn't what the operator gives for operands with zeros in them.
    """

    spread: Callable[[Call], Any]
    adjust: Callable[[Any, fx.Node], None] | None = None
    masked: Callable[[Any, fx.Node, dict[fx.Node, Any]], Any] | None = None


def analyse(model: Model, rules: dict[str, Rule], fallback: Callable[[Call], Any]) -> Analysis:
    """Labels a model's graph on its example inputs."""
    runner = _Labeller(model, rules, fallback)
    with torch.no_grad():
        runner.run(*model.example)
    analysis = runner.analysis
    for name, elements in analysis.elements.items():
        for axis, vector in analysis.axes.get(name, {}).items():
            analysis.classes.tie(analysis.classes.along(elements, axis), vector)
    for labels in [*analysis.labels.values(), *analysis.elements.values()]:
        for each in labels if isinstance(labels, tuple | list) else (labels,):
            analysis.classes.make_rectangular(each)
    return analysis


def operator(node: fx.Node) -> str:
    """`conv2d` of `aten.conv2d.default`, `getitem` of Python's own."""
    declared = schema(node)
    if declared:
        return str(declared.name).partition("::")[2].removesuffix("_")
    return getattr(node.target, "__name__", str(node.target))


class _Labeller(fx.Interpreter):
    def __init__(self, model: Model, rules: dict[str, Rule], fallback: Callable[[Call], Any]) -> None:
        super().__init__(model.graph)
        self.analysis, self.rules, self.fallback = Analysis(batch=model.example[0].shape[0]), rules, fallback

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        labels = self._labels(n, result)
        if labels is not None:
            self.analysis.labels[n] = labels
        return result

    def _labels(self, node: fx.Node, result: Any) -> Any:
        if node.op == "output":
            for operand in node.all_input_nodes:
                for labels in _each(self.analysis.labels.get(operand)):
                    self.analysis.classes.pin(labels)
            return None
        if not any(isinstance(each, torch.Tensor) for each in _each(result)):
            return None
        if node.op == "placeholder":
            return pinned(result.shape)
        if node.op == "get_attr" or (_turns(node) and untransposed(node)[0]):
            return None
        values = named_arguments(node, *self.fetch_args_kwargs_from_env(node))
        if not any(_real(value) for value in (result, *values.values())):
            return pinned(result.shape) if isinstance(result, torch.Tensor) else tuple(pinned(each.shape) for each in result)
        call = Call(self.analysis, node, named_arguments(node, node.args, node.kwargs), values, result)
        if vanishes(call):
            self.analysis.vanishing.add(node)
        rule = self.rules.get(operator(node))
        return rule.spread(call) if rule else self.fallback(call)


def named_arguments(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names that the operator's schema gives them, defaults included; by position where it has no schema."""
    declared = schema(node)
    if not declared:
        return {str(position): value for position, value in enumerate(args)} | kwargs
    given = {argument.name: value for argument, value in zip(declared.arguments, args, strict=False)} | kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in declared.arguments}


def weight_name(node: Any) -> str | None:
    """The name of the weight that an operand is; None where it is calculated or absent."""
    return str(node.target) if isinstance(node, fx.Node) and node.op == "get_attr" else None


def untransposed(node: Any) -> tuple[str | None, int]:
    """The weight [a, b] that an operand is, and which of its axes comes first: 1 where it was transposed. None where it is calculated."""
    first = 0
    while isinstance(node, fx.Node) and _turns(node):
        node, first = node.all_input_nodes[0], 1 - first
    return weight_name(node), first


def _turns(node: fx.Node) -> bool:
    """Whether a node is a matrix, transposed."""
    if node.op != "call_function" or operator(node) not in ("t", "numpy_T", "transpose", "permute"):
        return False
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.ndim == 2 and list(node.args[1:]) not in ([[0, 1]], [0, 0], [1, 1])


_MAKE = {"linear", "addmm", "embedding", "batch_norm", "layer_norm", "group_norm", "lstm", "gru", "rnn_tanh", "rnn_relu"}
_MAKE |= {f"conv{way}{rank}d" for way in ("", "_transpose") for rank in (1, 2, 3)}
_CARRY = {
    "relu",
    "relu6",
    "leaky_relu",
    "gelu",
    "silu",
    "tanh",
    "hardswish",
    "abs",
    "neg",
    "sqrt",
    "square",
    "pow",
    "dropout",
    "contiguous",
}
_CARRY |= {"to", "_to_copy", "clone", "view", "reshape", "permute", "transpose", "flatten", "unflatten", "squeeze", "unsqueeze", "slice"}
_CARRY |= {"div", "expand", "mean", "sum", "getitem", "select"}


def vanishes(call: Call) -> bool:
    """Whether removed elements of a result are zero once weights are: layers make zeros, many operators carry them, others may not."""
    operands = [each for each in call.node.all_input_nodes if isinstance(each.meta.get("val"), torch.Tensor) or each.op == "call_function"]
    zero = [each in call.analysis.vanishing or weight_name(each) in call.analysis.elements for each in operands]
    name = operator(call.node)
    if name == "pow" and not (isinstance(call.values["exponent"], int | float) and call.values["exponent"] > 0):
        return False
    if name in ("add", "sub", "cat"):
        return all(zero) and not isinstance(call.values.get("other"), int | float)
    return name in _MAKE or (name == "mul" and any(zero)) or (name in _CARRY and zero[:1] == [True])


def _real(value: Any) -> bool:
    return any(isinstance(each, torch.Tensor) and each.is_floating_point() for each in _each(value))


def _each(value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple | list):
        return tuple(value)
    return () if value is None else (value,)
