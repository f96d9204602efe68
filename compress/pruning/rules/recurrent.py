"""LSTM, GRU and plain recurrent layers: a hidden unit goes with its rows in every gate, in all layers and both directions alike."""

from typing import Any

from compress.model import layer_name
from compress.pruning.analysis import Call, Layer, Rule, operator
from compress.pruning.labels import Labels, pinned, spread
from compress.pruning.rules.pointwise import keep_all

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def recurrent(call: Call) -> Any:
    """Input [N, T, F] (or [T, N, F]); weights a layer and direction: [gates * H, F], [gates * H, R], two biases, [R, H] where projected.

    A zeroed unit stays 0 if it starts there, so initial states made of zeros shrink with it. The states of all layers are one tensor
    [layers * directions, N, H], which is why they lose the same units.
    """
    names = [each.target if each.op == "get_attr" else None for each in call.operands.get("params", ())]
    if call.values["input"].ndim != 3 or None in names:
        return keep_all(call, "its input has no batch axis, or its weights are calculated")
    gates, directions = GATES[operator(call.node)], 1 + call.values["bidirectional"]
    size = len(names) // (call.values["num_layers"] * directions)
    shapes = [weight.shape for weight in call.values["params"][:size]]
    hidden = _units(call, shapes[1][0] // gates)
    projected = size - 2 * call.values["has_biases"] == 3
    outputs = _units(call, shapes[1][1]) if projected else hidden
    features = call.along("input", -1)
    for start in range(0, len(names), size):
        if start // size == directions:
            features = outputs.repeat(directions)
        of_weights = [{0: hidden.repeat(gates), 1: features}, {0: hidden.repeat(gates), 1: outputs}]
        of_weights += [{0: hidden.repeat(gates)}] * (2 * call.values["has_biases"]) + [{0: outputs, 1: hidden}] * projected
        _assign(call, [str(name) for name in names[start : start + size]], of_weights)
    states = call.values["hx"]
    for number, units in enumerate([outputs, hidden] if isinstance(states, list | tuple) else [hidden]):
        operand = call.operands["hx"][number] if isinstance(states, list | tuple) else call.operands["hx"]
        value = states[number] if isinstance(states, list | tuple) else states
        call.classes.tie(call.classes.along(call.analysis.of(operand, value), -1), units)
    vectors = [outputs.repeat(directions), outputs, hidden]
    return tuple(spread(vector, -1, value.shape) for vector, value in zip(vectors, call.result, strict=False))


def _units(call: Call, count: int) -> Labels:
    return call.classes.fresh(count) if count > 1 else pinned((1,))


def _assign(call: Call, names: list[str], of_weights: list[dict[int, Labels]]) -> None:
    steps = call.values["input"].numel() // (call.values["input"].shape[-1] * call.analysis.batch)
    for name, vectors in zip(names, of_weights, strict=True):
        for axis, vector in vectors.items():
            call.analysis.weight_axis(name, axis, vector)
        if len(vectors) == 2:
            call.analysis.layers.append(Layer(layer_name(call.node), name, 0, 1, steps))


RULES = dict.fromkeys(GATES, Rule(recurrent))
