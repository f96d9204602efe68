"""Names of layers as their author gave them, out of the names that TensorFlow's converter gives tensors.

The converter joins the names of all operations that it fused with semicolons, scopes with slashes, and adds numbers: a convolution
with its activation comes out as `model/relu/Relu;model/conv1/BiasAdd;model/conv1/Conv2D1`. Its layer is `conv1`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from targets.formats.tflite import Graph, Operator

KERNELS = {
    "CONV_2D": {"Conv2D", "Conv1D", "convolution", "separable_conv2d"},
    "DEPTHWISE_CONV_2D": {"depthwise"},
    "FULLY_CONNECTED": {"MatMul", "Tensordot", "Einsum"},
    "TRANSPOSE_CONV": {"conv_transpose", "conv2d_transpose"},
}
"""What TensorFlow calls the operation that has the weights; `BiasAdd` comes with any of them."""

ACTIVATIONS = {"Relu", "Relu6", "Elu", "Sigmoid", "Tanh", "Softmax", "Gelu", "LeakyRelu", "Selu"}
OPENED = {"batchnorm", "moments", "einsum", "resize", "concat", "strided_slice", "zeros", "split", "Repeat", "BiasAdd", "ReadVariableOp"}
OPERATIONS = {*ACTIVATIONS, *OPENED, *(word for words in KERNELS.values() for word in words)}
"""Scopes that TensorFlow itself opens inside a layer."""

CALLS = {"Identity", "StatefulPartitionedCall", "PartitionedCall"}
"""What the converter calls a network's outputs."""

Scope = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where an operation stands: the scopes of its layer, and its own name, which our own files and other authors don't tell."""

    layer: Scope
    operation: Scope = ()
    scoped: bool = False


def layer_names(graph: Graph) -> list[str]:
    """For each operator the name of its layer, each once.

    The operator with weights has the layer's own name (`conv1`, `attention.query`), any other one has it where it is the layer's only
    operator; else its operation follows (`norm.moments.mean`). Names without scopes are kept as they are.
    """
    weighted = [_weights(graph, operator) != [] for operator in graph.operators]
    places = _without_model([_place(graph, operator) for operator in graph.operators], weighted)
    shared = Counter(place.layer for place in places)
    given: dict[int, str] = {}
    for index in sorted(range(len(places)), key=lambda index: not weighted[index]):  # who has weights chooses first
        place = places[index]
        long = [*place.layer, *place.operation] or [graph.operators[index].name.lower()]
        short = list(place.layer) if place.layer and (weighted[index] or shared[place.layer] == 1) else long
        given[index] = _unused([".".join(short), ".".join(long)], given.values())
    return [given[index] for index in range(len(places))]


def _place(graph: Graph, operator: Operator) -> Place:
    result = graph.tensors[operator.outputs[0]].name
    if operator.name in KERNELS:
        words = KERNELS[operator.name] | {"BiasAdd"}
        named = [place for joined in (*_weights(graph, operator), result) for place in _places(joined)]
        found = [place for place in named if place.operation and _word(place.operation[-1]) in words]
        if found:
            return next((place for place in found if len(place.layer) > 1), found[0])
    places = _places(result)
    return next((place for place in places if not place.operation or _word(place.operation[-1]) not in ACTIVATIONS), places[0])


def _weights(graph: Graph, operator: Operator) -> list[str]:
    """The names of the constants of an operator that has a kernel."""
    constants = [graph.tensors[index] for index in operator.inputs if index >= 0 and graph.tensors[index].data is not None]
    return [tensor.name for tensor in constants] if operator.name in KERNELS else []


def _places(joined: str) -> list[Place]:
    paths = [re.sub(r"^((Stateful)?PartitionedCall(_\d+)?/)+", "", path).strip("/") for path in joined.partition(":")[0].split(";")]
    scoped = [path for path in paths if "/" in path]
    if scoped:
        return [_scoped(tuple(part.replace(".", "_") for part in path.split("/") if part not in ("", "while"))) for path in scoped]
    named = [path for path in paths if path and not path.isdigit()]
    if not named or _word(named[-1]) in CALLS:
        return [Place(())]
    return [Place(tuple(part for part in named[-1].split(".") if part))]


def _scoped(path: Scope) -> Place:
    end = len(path) - 1
    while end > (1 if path[end - 1][0].isupper() else 2) and _word(path[end - 1]) in OPERATIONS:  # a layer may be called `depthwise`
        end -= 1
    return Place(path[:end], path[end:], scoped=True)


def _without_model(places: list[Place], weighted: list[bool]) -> list[Place]:
    """Without the scope of the model itself, and without the number that Keras 3 adds to every scope when it exports a model."""
    roots = {place.layer[0] for place in places if place.scoped}
    depths = [len(place.layer) for place, has in zip(places, weighted, strict=True) if has and place.scoped]
    if len(roots) != 1 or depths.count(1) * 2 > len(depths):
        return places
    inside = [Place(place.layer[1:], place.operation, place.scoped) if place.scoped else place for place in places]
    tops = {place.layer[0] for place in inside if place.scoped and place.layer}
    if not all(_numbered(name) for name in (*roots, *tops)):
        return inside
    siblings: defaultdict[Scope, set[str]] = defaultdict(set)
    for place in inside:
        for depth, name in enumerate(place.layer):
            siblings[place.layer[:depth]].add(name)
    cleaned = [tuple(_cleaned(name, siblings[place.layer[:depth]]) for depth, name in enumerate(place.layer)) for place in inside]
    return [Place(layer, place.operation, place.scoped) for layer, place in zip(cleaned, inside, strict=True)]


def _cleaned(name: str, siblings: Collection[str]) -> str:
    stripped = {re.sub(r"_\d+$", "", each) for each in siblings}
    return re.sub(r"_\d+$", "", name) if len(stripped) == len(siblings) else name


def _numbered(name: str) -> bool:
    return re.search(r"_\d+$", name) is not None


def _word(segment: str) -> str:
    return re.sub(r"_?\d+$", "", segment)


def _unused(wanted: list[str], used: Collection[str]) -> str:
    free = [name for name in wanted if name not in used]
    number = 2
    while not free:
        free = [name for name in [f"{wanted[-1]}_{number}"] if name not in used]
        number += 1
    return free[0]
