"""After a cut, solves each layer's remaining weights anew, so that the network answers as before (He, Zhang and Sun 2017)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import fx

from compress.context import Context
from compress.model import Model
from compress.pruning.analysis import operator
from compress.pruning.patches import SUPPORTED, Geometry, calibration_batches, thinned
from compress.pruning.surgery import set_weight, weight_of

RIDGE = 0.1
"""How strongly weights are held where they were, relative to the mean square of their inputs."""

Batches = Sequence[tuple[torch.Tensor, ...]]
RowsOf = Mapping[fx.Node, Callable[[torch.Tensor], torch.Tensor]]


class Change(Protocol):
    """How a smaller graph stands to the whole network's."""

    @property
    def nodes(self) -> dict[fx.Node, fx.Node]:
        """The whole network's nodes by those that stand for them in the smaller graph."""

    @property
    def largest(self) -> int:
        """How many elements the whole network's largest tensor has for one sample."""

    def left(self, node: fx.Node, value: torch.Tensor) -> torch.Tensor:
        """What the smaller graph has of the value of a node of the whole network."""


@dataclass(frozen=True)
class Whole:
    """A change that leaves every value its shape: layers were replaced or left out."""

    nodes: dict[fx.Node, fx.Node]

    @property
    def largest(self) -> int:
        """See `Change`."""
        values = [value for node in self.nodes.values() if isinstance(value := node.meta.get("val"), torch.Tensor)]
        return max(value.numel() // max(1, value.shape[0] if value.ndim else 1) for value in values)

    def left(self, node: fx.Node, value: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  as `Change` has it
        """All of it."""
        return value


@dataclass(frozen=True)
class Aim:
    """A layer, and what its output should be.

    `norm` is the BatchNorm that alone takes its output; it can hold the shift that a layer without a bias can't. `joined` is the
    sum in which that meets a shortcut, `shortcut`: the layer then also makes up for what the shortcut has lost.
    """

    layer: fx.Node
    norm: fx.Node | None
    joined: fx.Node | None
    shortcut: fx.Node | None

    @property
    def recorded(self) -> fx.Node:
        """The node of the whole network whose output is aimed at."""
        return self.joined or self.layer

    @property
    def nodes(self) -> list[fx.Node]:
        """The nodes of the whole network that the smaller one must have for the layer to be solved anew."""
        return [node for node in (self.layer, self.norm, self.shortcut) if node is not None]


def correct(model: Model, graph: fx.GraphModule, cut: Change, context: Context) -> None:
    """Changes the weights of the smaller graph, layer by layer in the order in which they run, in place.

    Each layer's inputs are those of the smaller network as corrected so far, over the calibration data.
    """
    copies = {node: copied for copied, node in cut.nodes.items()}
    aims = {node: aim for node, aim in _aims(model.graph).items() if all(each in copies for each in aim.nodes)}
    batches = list(calibration_batches(context.data.calibration, model.free_batch, cut.largest))
    nodes = [(copied, cut.nodes.get(copied)) for copied in graph.graph.nodes]
    with torch.no_grad(), context.progress.task("least-squares correction", len(nodes)) as task:
        rows_of = {node: _geometry(graph, copies[node]).results for node in aims}
        wanted = _record(model, cut, aims, rows_of, batches)
        small = _NodeByNode(graph, batches)
        for copied, node in nodes:
            if node is not None and node in aims:
                _solve(small, copied, aims[node], wanted.pop(node), copies)
            small.step(copied)
            task.advance()


def _aims(graph: fx.GraphModule) -> dict[fx.Node, Aim]:
    """Every layer whose weight is not calculated and not shared."""
    order = {node: position for position, node in enumerate(graph.graph.nodes)}
    aims = {}
    for node, place in order.items():
        if node.op != "call_function" or operator(node) not in SUPPORTED:
            continue
        weight: Any = node.args[1]
        if weight.op != "get_attr" or len(weight.users) > 1:
            continue
        user = _only_user(node)
        norm = user if user is not None and operator(user) == "batch_norm" else None
        joined = _only_user(norm or node)
        others = [each for each in joined.all_input_nodes if each not in (norm or node,)] if joined is not None else []
        shortcut = len(others) == 1 and others[0].op != "get_attr" and order[others[0]] < place
        if joined is None or operator(joined) != "add" or joined.kwargs or not shortcut:
            aims[node] = Aim(node, norm, None, None)
        else:
            aims[node] = Aim(node, norm, joined, others[0])
    return aims


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _record(model: Model, cut: Change, aims: dict[fx.Node, Aim], rows_of: RowsOf, batches: Batches) -> dict[fx.Node, list[torch.Tensor]]:
    """For each layer and batch the whole network's outputs aimed at, as rows of the channels that are left."""
    recorder = _Recorder(model.graph, {aim.recorded for aim in aims.values()})
    wanted: dict[fx.Node, list[torch.Tensor]] = {node: [] for node in aims}
    for batch in batches:
        recorder.run(*batch)
        for node, aim in aims.items():
            left = cut.left(aim.recorded, recorder.values[aim.recorded])
            wanted[node].append(thinned(rows_of[node](left)).clone())
    return wanted


def _geometry(graph: fx.GraphModule, node: fx.Node) -> Geometry:
    weight: Any = node.args[1]
    return Geometry.of(node, weight_of(graph, weight.target))


def _solve(small: "_NodeByNode", layer: fx.Node, aim: Aim, wanted: list[torch.Tensor], copies: dict[fx.Node, fx.Node]) -> None:
    """Ridge regression around the present weights, per group; with a shift where bias or BatchNorm can hold it."""
    graph, geometry = small.graph_module, _geometry(small.graph_module, layer)
    arguments: Any = layer.args
    bias = arguments[2] if len(arguments) > 2 else None
    norm = copies[aim.norm] if aim.norm else None
    equations = _Equations(shifted=bias is not None or norm is not None)
    for number, rows in enumerate(wanted):
        inputs = thinned(geometry.rows(small.values[arguments[0]][number]))
        if aim.shortcut is not None:
            rows = rows - thinned(geometry.results(small.values[copies[aim.shortcut]][number]))  # noqa: PLW2901  what is left to give
            rows = _before_norm(graph, norm, rows) if norm is not None else rows  # noqa: PLW2901
        equations.add(inputs, rows)
    weight = weight_of(graph, arguments[1].target)
    present = weight.detach().reshape(geometry.groups, -1, weight[0].numel()).transpose(1, 2)
    solved, shift = equations.solve(present)
    set_weight(graph, arguments[1].target, solved.transpose(1, 2).reshape(weight.shape))
    if bias is not None:
        set_weight(graph, bias.target, shift)
    elif norm is not None:
        mean: Any = norm.args[3]
        set_weight(graph, mean.target, weight_of(graph, mean.target) - shift)


def _before_norm(graph: fx.GraphModule, norm: fx.Node, rows: torch.Tensor) -> torch.Tensor:
    """What a BatchNorm must be given, [groups, rows, channels of a group], to give these; its scales are not let go below a hundredth."""
    arguments: Any = norm.args
    scale, offset, mean, variance = (weight_of(graph, each.target).detach().reshape(len(rows), 1, -1) for each in arguments[1:5])
    smallest = scale.abs().max() / 100
    scale = torch.where(scale < 0, -1.0, 1.0) * scale.abs().clamp(min=smallest)
    before: torch.Tensor = (rows - offset) / scale * (variance + arguments[7]).sqrt() + mean
    return before


class _Equations:
    """The normal equations of inputs [groups, rows, K] and outputs [groups, rows, M], gathered batch by batch in double precision."""

    def __init__(self, shifted: bool) -> None:
        self.shifted, self.rows = shifted, 0
        self.squares: Any = 0.0
        self.products: Any = 0.0
        self.input_sum: Any = 0.0
        self.output_sum: Any = 0.0

    def add(self, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        self.squares = self.squares + (inputs.transpose(1, 2) @ inputs).double()
        self.products = self.products + (inputs.transpose(1, 2) @ outputs).double()
        self.input_sum = self.input_sum + inputs.sum(1, keepdim=True).double()
        self.output_sum = self.output_sum + outputs.sum(1, keepdim=True).double()
        self.rows += inputs.shape[1]

    def solve(self, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights [groups, K, M] and shifts [groups * M], float32."""
        squares, products = self.squares, self.products
        if self.shifted:
            squares = squares - self.input_sum.transpose(1, 2) @ self.input_sum / self.rows
            products = products - self.input_sum.transpose(1, 2) @ self.output_sum / self.rows
        held = RIDGE * squares.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + 1e-9
        missing = products - squares @ present.double()
        weights = present.double() + torch.linalg.solve(squares + held * torch.eye(squares.shape[1], dtype=torch.float64), missing)
        shift = (self.output_sum - self.input_sum @ weights) / self.rows
        return weights.float(), shift.flatten().float()


class _Recorder(fx.Interpreter):
    """Runs a graph and remembers the values of some nodes; those that are passed on are copies, which operators may change in place."""

    def __init__(self, graph: fx.GraphModule, nodes: set[fx.Node]) -> None:
        super().__init__(graph)
        self.nodes = nodes
        self.values: dict[fx.Node, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self.nodes:
            self.values[n] = result
            return result.clone()
        return result


class _NodeByNode(fx.Interpreter):
    """Runs a graph whose weights change on the way: each node on all batches before the next. Values that nothing needs are let go."""

    def __init__(self, graph: fx.GraphModule, batches: Batches) -> None:
        super().__init__(graph)
        self.graph_module = graph
        self.values: dict[fx.Node, list[Any]] = {}
        self._inputs = iter(zip(*batches, strict=True))
        self._count = len(batches)
        self._waiting = {node: set(node.users) for node in graph.graph.nodes}

    def step(self, node: fx.Node) -> None:
        """Runs the next node."""
        if node.op == "placeholder":
            self.values[node] = list(next(self._inputs))
        elif node.op == "call_function":
            self.values[node] = [self._once(node, number) for number in range(self._count)]
        for operand in node.all_input_nodes:
            self._waiting[operand].discard(node)
            if not self._waiting[operand]:
                self.values.pop(operand, None)

    def _once(self, node: fx.Node, number: int) -> Any:
        weights = [operand for operand in node.all_input_nodes if operand.op == "get_attr"]
        self.env = {operand: self.fetch_attr(str(operand.target)) for operand in weights}
        self.env |= {operand: self.values[operand][number] for operand in node.all_input_nodes if operand.op != "get_attr"}
        return self.run_node(node)
