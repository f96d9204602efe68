"""Which memory each tensor of a graph lies in: the caller's inputs and outputs, constants, or the arena."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from targets.formats.tflite import Graph
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.planner import Buffer, Plan, aligned, live_bytes, plan
from targets.microcontroller.compiler.streaming import Stream


@dataclass(frozen=True)
class Place:
    """What lies in the arena: a tensor, or a layer's scratch (None), at an offset from layer `first` to layer `last`, both counted."""

    tensor: int | None
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Memory:
    """Where everything is. `places` holds the C expression of each computed tensor's address; `scratch` an arena offset a layer.

    `stream` are the layers that run stripe by stripe, if any.
    """

    places: dict[int, str]
    scratch: dict[int, int]
    live: tuple[int, ...]
    arena_bytes: int
    copies: tuple[tuple[int, int], ...]
    """Outputs whose numbers lie elsewhere: (output's position, tensor)."""
    arena: tuple[Place, ...]
    stream: Stream | None


def assign(graph: Graph, layers: Sequence[Layer], sizes: Mapping[int, int], stream: Stream | None = None, thorough: bool = True) -> Memory:
    """Places all tensors; `sizes` in bytes, by tensor. Not `thorough`: fewer places are tried."""
    owners = _owners(graph, layers)
    fixed = _fixed(graph, owners)
    if stream is not None:
        layers, sizes = _apart(layers, stream), {**sizes, **_held(graph, sizes, stream)}
    first, last = _lifetimes(graph, owners, stream)
    sources = _sources(graph, layers, owners, last)
    tensors = {owner: number for number, owner in enumerate(owner for owner in first if owner not in fixed)}
    buffers = [
        Buffer(
            aligned(sizes[owner]),
            first[owner],
            last[owner],
            {tensors[source]: distance for source, distance in sources.get(owner, {}).items() if source in tensors},
        )
        for owner in tensors
    ]
    spare, scratch = _scratch(layers, stream, len(buffers))
    buffers += spare
    placed = plan(buffers, thorough)
    places = {index: _expression(index, owners, fixed, tensors, placed) for index in owners}
    copies = tuple((position, index) for position, index in enumerate(graph.outputs) if places.get(index) != _output(position))
    live = tuple(live_bytes(buffers, placed.offsets, step) for step in range(len(layers)))
    offsets = {step: placed.offsets[number] for step, number in scratch.items()}
    names = dict.fromkeys(range(len(buffers))) | {number: owner for owner, number in tensors.items()}
    arena = tuple(
        Place(names[number], placed.offsets[number], buffer.size, buffer.first, buffer.last) for number, buffer in enumerate(buffers)
    )
    return Memory(places, offsets, live, placed.arena_bytes, copies, arena, stream)


def _apart(layers: Sequence[Layer], stream: Stream) -> list[Layer]:
    """Layers that run in stripes, none in place, with scratch memory for the largest's."""
    steps = range(stream.first, stream.last + 1)
    scratch = max(layers[step].scratch_bytes for step in steps)
    return [replace(layer, in_place={}, scratch_bytes=scratch) if step in steps else layer for step, layer in enumerate(layers)]


def _held(graph: Graph, sizes: Mapping[int, int], stream: Stream) -> dict[int, int]:
    """Bytes of the rows that are held of tensors between layers that run in stripes."""
    between = {graph.operators[stream.first + index].outputs[0]: held for index, held in enumerate(stream.held[:-1])}
    return {tensor: sizes[tensor] // graph.tensors[tensor].shape[1] * held for tensor, held in between.items()}


def _owners(graph: Graph, layers: Sequence[Layer]) -> dict[int, int]:
    """For every computed tensor the one whose memory it is in: itself, or what it is a view of."""
    owners = {index: index for index in graph.inputs}
    for operator, layer in zip(graph.operators, layers, strict=True):
        for index in operator.outputs:
            source = operator.inputs[0] if layer.is_view else index
            owners[index] = owners.get(source, index) if layer.is_view else index
    return owners


def _fixed(graph: Graph, owners: dict[int, int]) -> dict[int, str]:
    """The owners that lie in the caller's memory."""
    places = {index: f"inputs[{position}]" for position, index in enumerate(graph.inputs)}
    for position, index in enumerate(graph.outputs):
        if index in owners:
            places.setdefault(owners[index], _output(position))
    return places


def _lifetimes(graph: Graph, owners: Mapping[int, int], stream: Stream | None) -> tuple[dict[int, int], dict[int, int]]:
    """The first and the last layer that needs each owner; what layers in stripes touch, they need from the first to the last of them."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for step, operator in enumerate(graph.operators):
        for index in (*operator.inputs, *operator.outputs):
            if index in owners:
                together = stream is not None and step in stream
                first.setdefault(owners[index], stream.first if stream is not None and together else step)
                last[owners[index]] = stream.last if stream is not None and together else step
    return first, last


def _scratch(layers: Sequence[Layer], stream: Stream | None, start: int) -> tuple[list[Buffer], dict[int, int]]:
    """The layers' scratch memory, with each layer's buffer, numbered from `start` on; layers in stripes share one."""
    buffers: list[Buffer] = []
    numbers: dict[int, int] = {}
    for step, layer in enumerate(layers):
        if stream is not None and step in stream and step > stream.first:
            numbers[step] = numbers.get(stream.first, start)
        elif layer.scratch_bytes:
            numbers[step] = start + len(buffers)
            last = stream.last if stream is not None and step in stream else step
            buffers.append(Buffer(aligned(layer.scratch_bytes), step, last))
    return buffers, numbers


def _sources(graph: Graph, layers: Sequence[Layer], owners: dict[int, int], last: dict[int, int]) -> dict[int, dict[int, int]]:
    """By output's owner: the inputs it may overlap, which are needed no longer and used once, with the distance."""
    result: dict[int, dict[int, int]] = {}
    for step, (operator, layer) in enumerate(zip(graph.operators, layers, strict=True)):
        computed = [owners[index] for index in operator.inputs if index in owners]
        for position, distance in layer.in_place.items():
            source = computed[position]
            if last[source] == step and (computed.count(source) == 1 or distance == 0):
                result.setdefault(operator.outputs[0], {})[source] = distance
    return result


def _expression(index: int, owners: dict[int, int], fixed: dict[int, str], numbers: dict[int, int], placed: Plan) -> str:
    owner = owners[index]
    if owner in fixed:
        return fixed[owner]
    return f"memory + {placed.offsets[numbers[owner]]}" if owner in numbers else "memory"


def _output(position: int) -> str:
    return f"outputs[{position}]"
