"""Loops that make a fixed number of turns, as recurrent layers do, written out: each turn's operators one after the other."""

import math
from collections.abc import Sequence
from dataclasses import replace

from compress.reading.tflite.values import UnliftedError
from targets.errors import UserError
from targets.formats.tflite import Graph, Operator, Tensor
from targets.formats.tflite_options import WhileOptions

MOST_OPERATORS = 20_000


def unrolled(graphs: Sequence[Graph]) -> Graph:
    """The first of a file's graphs without its WHILE operators; constants of a loop's body stay one tensor for all turns.

    UserError for a loop that doesn't count its turns up to a number in the file, that holds another loop, or that is too long.
    """
    graph = graphs[0]
    if all(operator.name != "WHILE" for operator in graph.operators):
        return graph
    tensors, operators = list(graph.tensors), list[Operator]()
    renamed: dict[int, int] = {}
    for operator in graph.operators:
        inputs = tuple(renamed.get(index, index) for index in operator.inputs)
        if operator.name != "WHILE":
            operators.append(replace(operator, index=len(operators), inputs=inputs))
            continue
        condition, body = _called(graphs, operator, graph)
        turns = _turns(graph, operator, condition, body)
        if len(operators) + turns * len(body.operators) > MOST_OPERATORS:
            name = graph.tensors[operator.outputs[0]].name
            raise UnliftedError(f"operator '{name}': a loop of {turns} turns is too long to be written out")
        constants = {tensor.index: _added(tensors, tensor) for tensor in body.tensors if tensor.data is not None}
        for _ in range(turns):
            inputs = _turn(body, inputs, constants, tensors, operators)
        renamed |= dict(zip(operator.outputs, inputs, strict=True))
    outputs = tuple(renamed.get(index, index) for index in graph.outputs)
    return Graph(graph.path, tuple(tensors), tuple(operators), graph.inputs, outputs)


def _turn(
    body: Graph, inputs: tuple[int, ...], constants: dict[int, int], tensors: list[Tensor], operators: list[Operator]
) -> tuple[int, ...]:
    places = {**constants, **dict(zip(body.inputs, inputs, strict=True)), -1: -1}
    for operator in body.operators:
        places |= {index: _added(tensors, body.tensors[index]) for index in operator.outputs}
        operators.append(
            replace(
                operator,
                index=len(operators),
                inputs=tuple(places[index] for index in operator.inputs),
                outputs=tuple(places[index] for index in operator.outputs),
            )
        )
    return tuple(places[index] for index in body.outputs)


def _added(tensors: list[Tensor], tensor: Tensor) -> int:
    tensors.append(replace(tensor, index=len(tensors)))
    return len(tensors) - 1


def _called(graphs: Sequence[Graph], operator: Operator, graph: Graph) -> tuple[Graph, Graph]:
    name, options = graph.tensors[operator.outputs[0]].name, operator.options
    if not isinstance(options, WhileOptions) or not all(0 < number < len(graphs) for number in (options.condition, options.body)):
        raise UserError(f"operator '{name}': WHILE names graphs that aren't in the file; export or download it again")
    condition, body = graphs[options.condition], graphs[options.body]
    if any(inner.name == "WHILE" for inner in body.operators):
        raise UnliftedError(f"operator '{name}': a loop in a loop can't be lifted to torch")
    if {len(condition.inputs), len(body.inputs), len(body.outputs), len(operator.outputs)} != {len(operator.inputs)}:
        raise UserError(f"operator '{name}': WHILE carries other values than its graphs take; export or download it again")
    return condition, body


def _turns(graph: Graph, operator: Operator, condition: Graph, body: Graph) -> int:
    """How often a loop goes round: as long as each of some counters is less than a number in the file."""
    bounds = [_bound(graph, operator, condition, body, test) for test in condition.operators if test.name == "LESS"]
    known = [bound for bound in bounds if bound is not None]
    if not known or len(known) < len(bounds) or any(test.name not in ("LESS", "LOGICAL_AND") for test in condition.operators):
        name = graph.tensors[operator.outputs[0]].name
        raise UnliftedError(f"operator '{name}': how often this loop goes round isn't in the file, so it can't be lifted to torch")
    return min(known)


def _bound(graph: Graph, operator: Operator, condition: Graph, body: Graph, test: Operator) -> int | None:
    counter, limit = test.inputs
    if counter not in condition.inputs:
        return None
    place = condition.inputs.index(counter)
    step = next((each.inputs for each in body.operators if each.name == "ADD" and each.outputs[0] == body.outputs[place]), ())
    steps = [body.tensors[index].data for index in step if index != body.inputs[place]]
    numbers = [graph.tensors[operator.inputs[place]].data, condition.tensors[limit].data, *steps]
    values = [int(number.reshape(-1)[0]) for number in numbers if number is not None and number.size]
    if len(values) != 3 or len(step) != 2 or body.inputs[place] not in step or values[2] < 1:
        return None
    return max(0, math.ceil((values[1] - values[0]) / values[2]))
