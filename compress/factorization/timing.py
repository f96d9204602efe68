"""What layers and their factors take on a target, as its own measurements of single operators say (`compress.staircase`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from compress.factorization.choice import Chosen
from compress.factorization.layers import Layer
from compress.factorization.methods import Candidate, Task
from compress.progress import Progress
from compress.staircase import table
from compress.staircase.convolution import convolution, image_size
from compress.staircase.files import Precision
from compress.staircase.operation import Operation


@dataclass(frozen=True)
class Times:
    """A layer's cost before and after, in the target's unit."""

    before: float
    after: float
    unit: str

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.before:.4g} -> {self.after:.4g} {self.unit}"


def measure(tasks: Mapping[str, Task], chosen: Chosen, target: str, precision: Precision, progress: Progress) -> dict[str, Times]:
    """The times of the chosen factors, by layer; of layers with groups nothing is known.

    Operators that aren't in the user's cache are timed. UserError where that can't be done on the target.
    """
    known = table.of(target, precision)
    layers = {name: (tasks[name].layer, each) for name, each in chosen.items()}
    wanted = {name: (first, factors(first, layer, each)) for name, (layer, each) in layers.items() if (first := whole(layer)) is not None}
    costs = known.costs([each for first, others in wanted.values() for each in (first, *others)], progress)
    unit = known.clock.unit
    return {name: Times(costs[first], sum(costs[each] for each in others), unit) for name, (first, others) in wanted.items()}


def whole(layer: Layer) -> Operation | None:
    """A layer as an operator of a file; None where it has groups."""
    if layer.geometry.linear:
        return Operation("fully_connected", (1, layer.output_positions), layer.inputs, layer.outputs)
    return convolution(layer.geometry, layer.node.all_input_nodes[0].meta["val"].shape, layer.node.meta["val"].shape)


def factors(operation: Operation, layer: Layer, chosen: Candidate) -> tuple[Operation, ...]:
    """The operators that a layer becomes."""
    last = operation
    if operation.kind == "conv_2d":
        last = Operation("conv_2d", operation.output_size, operation.inputs, operation.outputs)
    if chosen.method == "separable":
        copies = chosen.ranks[0]
        channels = layer.inputs * copies
        made = replace(operation, kind="depthwise_conv_2d", inputs=channels, outputs=channels), replace(last, inputs=channels)
        copying = Operation("concatenation", operation.size, layer.inputs, channels, padded=True)
        return (copying, *made) if copies > 1 else made
    rank = chosen.ranks[-1]
    if chosen.method == "svd":
        return replace(operation, outputs=rank), replace(last, inputs=rank)
    first = replace(last, size=image_size(layer.node.all_input_nodes[0].meta["val"].shape), outputs=chosen.ranks[0])
    return first, replace(operation, inputs=chosen.ranks[0], outputs=rank), replace(last, inputs=rank)
