"""Which memory each tensor of a graph lies in: the caller's inputs and outputs, constants, or the arena."""

from dataclasses import dataclass

from targets.formats.tflite import Graph
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.planner import Buffer, Plan, aligned, live_bytes, plan


@dataclass(frozen=True, eq=False)
class Memory:
    """Where everything is. `places` holds the C expression of each computed tensor's address; `scratch` an arena offset a layer."""

    places: dict[int, str]
    scratch: dict[int, int]
    live: tuple[int, ...]
    arena_bytes: int
    copies: tuple[tuple[int, int], ...]
    """Outputs whose numbers lie elsewhere: (output's position, tensor)."""


def assign(graph: Graph, layers: tuple[Layer, ...], sizes: dict[int, int]) -> Memory:
    """Places all tensors; `sizes` in bytes, by tensor."""
    owners = _owners(graph, layers)
    fixed = _fixed(graph, owners)
    buffers, tensors, scratch = _buffers(graph, layers, sizes, owners, fixed)
    placed = plan(buffers)
    places = {index: _expression(index, owners, fixed, tensors, placed) for index in owners}
    copies = tuple((position, index) for position, index in enumerate(graph.outputs) if places.get(index) != _output(position))
    live = tuple(live_bytes(buffers, placed.offsets, step) for step in range(len(layers)))
    offsets = {step: placed.offsets[number] for step, number in scratch.items()}
    return Memory(places, offsets, live, placed.arena_bytes, copies)


def _owners(graph: Graph, layers: tuple[Layer, ...]) -> dict[int, int]:
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


def _buffers(
    graph: Graph, layers: tuple[Layer, ...], sizes: dict[int, int], owners: dict[int, int], fixed: dict[int, str]
) -> tuple[list[Buffer], dict[int, int], dict[int, int]]:
    """What the arena holds, with the number of each tensor's buffer and of each layer's scratch."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for step, operator in enumerate(graph.operators):
        for index in (*operator.inputs, *operator.outputs):
            if index in owners:
                first.setdefault(owners[index], step)
                last[owners[index]] = step
    numbers = {owner: number for number, owner in enumerate(owner for owner in first if owner not in fixed)}
    sources = _sources(graph, layers, owners, last)
    buffers = [
        Buffer(
            aligned(sizes[owner]),
            first[owner],
            last[owner],
            {numbers[source]: aligned(distance) for source, distance in sources.get(owner, {}).items() if source in numbers},
        )
        for owner in numbers
    ]
    scratch = {}
    for step, layer in enumerate(layers):
        if layer.scratch_bytes:
            scratch[step] = len(buffers)
            buffers.append(Buffer(aligned(layer.scratch_bytes), step, step))
    return buffers, numbers, scratch


def _sources(graph: Graph, layers: tuple[Layer, ...], owners: dict[int, int], last: dict[int, int]) -> dict[int, dict[int, int]]:
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
