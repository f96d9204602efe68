"""What a network takes on a target, as a function of how many channels are left: the sum of its operators' measured staircases."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import fx

from compress.model import layer_name
from compress.progress import Progress
from compress.pruning.analysis import named_arguments, operator
from compress.pruning.choice import Kept
from compress.pruning.patches import Geometry
from compress.pruning.sizes import Sizes, Width
from compress.pruning.surgery import weight_of
from compress.staircase import curves, table
from compress.staircase.convolution import convolution, pair
from compress.staircase.files import Precision
from compress.staircase.operation import Operation, Pair
from targets.errors import UserError


@dataclass(frozen=True)
class Place:
    """An operator of the network, and the numbers of its channels by what is left."""

    name: str
    operation: Operation
    inputs: Width
    outputs: Width

    def with_channels(self, kept: Kept) -> Operation:
        """The operator with so many classes left."""
        return self.operation.with_channels(self.inputs(kept), self.outputs(kept))

    @property
    def groups(self) -> frozenset[int]:
        """The groups that it has channels of."""
        return frozenset(group for width in (self.inputs, self.outputs) for group, _ in width.parts)


@dataclass(frozen=True)
class Latency:
    """Costs on one target, in `unit`; `noise` is the share below which two costs count as the same."""

    target: str
    unit: str
    noise: float
    places: tuple[Place, ...]
    surfaces: dict[Operation, curves.Surface]

    def __call__(self, kept: Kept) -> float:
        """Of the operators that are timed, all together."""
        return sum(self.of(place, kept) for place in self.places)

    def words(self, cost: float) -> str:
        """A cost for people."""
        return f"{cost:.3g} ms" if self.unit == "ms" else f"{cost:,.0f} {self.unit}"

    def of(self, place: Place, kept: Kept) -> float:
        """Of one operator."""
        return self.surfaces[place.operation](place.inputs(kept), place.outputs(kept))

    def near(self, group: int, kept: Kept) -> float:
        """Of the operators that have channels of a group."""
        return sum(self.of(place, kept) for place in self._by_group.get(group, ()))

    @cached_property
    def _by_group(self) -> dict[int, list[Place]]:
        found: dict[int, list[Place]] = {}
        for place in self.places:
            for group in place.groups:
                found.setdefault(group, []).append(place)
        return found


def measure(sizes: Sizes, target: str, precision: Precision, progress: Progress) -> Latency:
    """Times on a target what isn't in the cache of this network's operators, at a few numbers of channels each.

    Raises UserError where operators can't be timed there.
    """
    known = table.of(target, precision)
    found = tuple(places(sizes).values())
    if not found:
        raise UserError(f"target: none of this network's operators can be timed by itself on {target}; leave target out and limit macs")
    period = known.clock.period
    least: dict[Operation, Pair] = {}
    for place in found:
        own = (0 if place.inputs.parts else place.operation.inputs, 0 if place.outputs.parts else place.operation.outputs)
        before = least.get(place.operation, own)
        least[place.operation] = (min(own[0], before[0]), min(own[1], before[1]))
    wanted = [each for operation, pair in least.items() for each in curves.wanted(operation, *pair, period)]
    costs = known.costs(wanted, progress)
    surfaces = {operation: curves.Surface(operation, costs, pair, period) for operation, pair in least.items()}
    return Latency(target, known.clock.unit, known.clock.noise, found, surfaces)


def places(sizes: Sizes) -> dict[fx.Node, Place]:
    """The network's operators that can be timed by themselves, in the order in which they run."""
    return {node: place for node in sizes.graph.graph.nodes if (place := _place(node, sizes)) is not None}


def _place(node: fx.Node, sizes: Sizes) -> Place | None:
    """The operator of a node; None where it has none of its own, or none that is timed."""
    if node.op != "call_function" or not isinstance(node.meta.get("val"), torch.Tensor):
        return None
    name, operands = operator(node), node.all_input_nodes
    labels = [sizes.analysis.labels.get(each) for each in (*operands[:1], node)]
    if not all(isinstance(each, torch.Tensor) for each in labels):
        return None
    given: Any = labels[0]
    operation = _operation(name, node, sizes)
    if operation is None:
        return None
    axis = -1 if operation.kind == "fully_connected" else 1
    made: Any = labels[1]
    outputs = sizes.along(made, -1 if axis == -1 else min(1, made.ndim - 1))
    return Place(layer_name(node), operation, sizes.along(given, axis), outputs)


def _operation(name: str, node: fx.Node, sizes: Sizes) -> Operation | None:
    shape, made = node.all_input_nodes[0].meta["val"].shape, node.meta["val"].shape
    if name in ("conv1d", "conv2d"):
        return _convolution(node, sizes, shape, made)
    if name == "linear" and len(node.all_input_nodes) > 1:
        return Operation("fully_connected", (1, made.numel() // made[-1] // sizes.analysis.batch), shape[-1], made[-1])
    return _on_image(name, node, shape, made) if len(shape) == 4 and shape[1] == made[1] else None


def _on_image(name: str, node: fx.Node, shape: torch.Size, made: torch.Size) -> Operation | None:
    """What works on each channel [N, C, H, W] by itself."""
    size, channels = (shape[2], shape[3]), shape[1]
    if name == "add" and len(node.all_input_nodes) == 2 and node.all_input_nodes[1].meta["val"].shape == shape:
        return Operation("add", size, channels, channels)
    if name in ("mean", "adaptive_avg_pool2d") and made.numel() == shape[0] * channels:
        return Operation("mean", size, channels, channels)
    if name not in ("avg_pool2d", "max_pool2d"):
        return None
    given = named_arguments(node, node.args, node.kwargs)
    kernel = pair(given["kernel_size"])
    stride = pair(given["stride"] or kernel)
    padded = any(pair(given["padding"]))
    whole = (made[2] * stride[0], made[3] * stride[1]) if padded else size
    return Operation("average_pool_2d" if name == "avg_pool2d" else "max_pool_2d", whole, channels, channels, kernel, stride, padded=padded)


def _convolution(node: fx.Node, sizes: Sizes, shape: torch.Size, made: torch.Size) -> Operation | None:
    weight: Any = node.args[1]
    if weight.op != "get_attr" or len(shape) != len(weight_of(sizes.graph, weight.target).shape):
        return None
    return convolution(Geometry.of(node, weight_of(sizes.graph, weight.target)), shape, made)
