"""LSTM, GRU and simple RNN: torch's own layers where they compute the same, steps written out where they don't."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from compress.reading.keras.activations import Function, activation
from compress.reading.keras.layer import Array, Layer, Made, Rule, parameter
from compress.reading.keras.values import KERAS, Value

Tensor = torch.Tensor
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
ORDER = {"LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2], "SimpleRNN": [0]}
"""Torch's gates among Keras's: a GRU's are update, reset, new in Keras and reset, update, new in torch."""
MERGES: dict[str, Any] = {"sum": torch.add, "mul": torch.mul, "ave": lambda one, other: (one + other) / 2.0}


@dataclass(frozen=True)
class Ending:
    """What a layer gives of its steps [N, T, units] and last states, a list of [N, units]."""

    sequences: bool
    states: bool

    def __call__(self, steps: Tensor, last: Tensor, states: Sequence[Tensor]) -> Any:
        """One tensor, or a list with the states behind it."""
        result = steps if self.sequences else last
        return [result, *states] if self.states else result


class Lstm(nn.LSTM):
    """An LSTM of one layer, in one direction."""

    ending: Ending
    backwards: bool

    def forward(self, values: Tensor, *start: Tensor) -> Any:  # type: ignore[override]
        """Steps or the last state, and states where they are wanted; `start` holds the first states [N, units]."""
        given = values.flip(1) if self.backwards else values
        steps, (hidden, cell) = super().forward(given, (start[0].unsqueeze(0), start[1].unsqueeze(0)) if start else None)
        return self.ending(steps, hidden[0], [hidden[0], cell[0]])


class Gru(nn.GRU):
    """A GRU of one layer, in one direction."""

    ending: Ending
    backwards: bool

    def forward(self, values: Tensor, *start: Tensor) -> Any:  # type: ignore[override]
        """Steps or the last state, and that state where it is wanted; `start` holds the first [N, units]."""
        given = values.flip(1) if self.backwards else values
        steps, hidden = super().forward(given, start[0].unsqueeze(0) if start else None)
        return self.ending(steps, hidden[0], [hidden[0]])


class Steps(nn.Module):
    """Any recurrent layer, step by step. Weights [gates * units, in], gates in Keras's order."""

    def __init__(self, layer: Layer, backwards: bool, ending: Ending) -> None:
        super().__init__()
        self.kind, self.backwards, self.ending = layer.kind, backwards, ending
        weights = Weights.of(layer)
        self.weight_ih, self.weight_hh = parameter(weights.inputs), parameter(weights.hidden)
        self.bias_ih, self.bias_hh = (None if bias is None else parameter(bias) for bias in weights.biases)
        self.activate: Function = activation(layer)
        self.gate: Function = activation(layer, "recurrent_activation") if layer.kind != "SimpleRNN" else self.activate
        self.reset_after = bool(layer.get("reset_after", False))

    def forward(self, values: Tensor, *start: Tensor) -> Any:
        """Steps or the last state, and states where they are wanted."""
        given = values.flip(1) if self.backwards else values
        zero = given.new_zeros(given.shape[0], self.weight_hh.shape[1])
        states = list(start) or [zero] * (2 if self.kind == "LSTM" else 1)
        inputs = F.linear(given, self.weight_ih, self.bias_ih)
        functions: dict[str, Any] = {"LSTM": self._lstm, "GRU": self._gru, "SimpleRNN": self._simple}
        one_step, steps = functions[self.kind], []
        for step in range(given.shape[1]):
            states = one_step(inputs[:, step], *states)
            steps.append(states[0])
        return self.ending(torch.stack(steps, 1) if self.ending.sequences else steps[-1], states[0], states)

    def _simple(self, inputs: Tensor, hidden: Tensor) -> list[Tensor]:
        return [self.activate(inputs + F.linear(hidden, self.weight_hh))]

    def _lstm(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> list[Tensor]:
        entry, forget, new, output = (inputs + F.linear(hidden, self.weight_hh)).chunk(4, 1)
        cell = self.gate(forget) * cell + self.gate(entry) * self.activate(new)
        return [self.gate(output) * self.activate(cell), cell]

    def _gru(self, inputs: Tensor, hidden: Tensor) -> list[Tensor]:
        update, reset, new = inputs.chunk(3, 1)
        units = hidden.shape[1]
        if self.reset_after:
            of_update, of_reset, of_new = F.linear(hidden, self.weight_hh, self.bias_hh).chunk(3, 1)
            update, reset = self.gate(update + of_update), self.gate(reset + of_reset)
            new = self.activate(new + reset * of_new)
        else:
            of_update, of_reset = F.linear(hidden, self.weight_hh[: 2 * units]).chunk(2, 1)
            update, reset = self.gate(update + of_update), self.gate(reset + of_reset)
            new = self.activate(new + F.linear(reset * hidden, self.weight_hh[2 * units :]))
        return [update * hidden + (1.0 - update) * new]


@dataclass(frozen=True)
class Weights:
    """Of one direction, as torch has them but for the order of gates: [gates * units, in], [gates * units, units], two biases."""

    inputs: Tensor
    hidden: Tensor
    biases: tuple[Tensor | None, Tensor | None]

    @classmethod
    def of(cls, layer: Layer) -> "Weights":
        """From the file."""
        hidden = layer.weight(1, None, None)
        width = GATES[layer.kind] * hidden.shape[0]
        inputs, hidden = layer.weight(0, None, width).T, layer.weight(1, None, width).T
        if not layer.get("use_bias", True):
            return cls(inputs, hidden, (None, None))
        if layer.kind == "GRU" and layer.get("reset_after", False):
            both = layer.weight(2, 2, width)
            return cls(inputs, hidden, (both[0], both[1]))
        return cls(inputs, hidden, (layer.weight(2, width), None))

    def in_torch(self, kind: str, suffix: str) -> dict[str, Tensor]:
        """State of torch's layer."""
        found = {"weight_ih": self.inputs, "weight_hh": self.hidden}
        if self.biases[0] is not None:
            other = torch.zeros_like(self.biases[0]) if self.biases[1] is None else self.biases[1]
            found |= {"bias_ih": self.biases[0], "bias_hh": other}
        gates = GATES[kind]
        return {f"{name}_l0{suffix}": torch.cat([each.chunk(gates)[gate] for gate in ORDER[kind]]) for name, each in found.items()}


def recurrent(layer: Layer, value: Value, *states: Value) -> Made:
    """LSTM, GRU and SimpleRNN, forwards or backwards, from zero or given states."""
    _refuse_unusual(layer, value, states)
    ending = Ending(bool(layer.get("return_sequences")), bool(layer.get("return_state")))
    module = _module(layer, bool(layer.get("go_backwards")), ending)
    count = 1 + (2 if layer.kind == "LSTM" else 1) if ending.states else 1
    return Made(module, (KERAS,) * (1 + len(states)), (KERAS,) * count)


def cells(layer: Layer, value: Value, *states: Value) -> Made:
    """RNN around one cell of a built-in kind."""
    given = layer.get("cell") or {}
    kind = str(given.get("class_name")).removesuffix("Cell")
    if kind not in GATES:
        raise layer.refuse(f"goes on with {given.get('class_name')}; LSTMCell, GRUCell and SimpleRNNCell can be read")
    config = {
        **given.get("config", {}),
        **{key: layer.get(key) for key in ("return_sequences", "return_state", "go_backwards", "stateful")},
    }
    inner = Layer(layer.name, kind, config, layer.weights, layer.version, layer.custom, roles=layer.roles, options=layer.options)
    return recurrent(inner, value, *states)


class Both(nn.Module):
    """Two directions, their steps merged."""

    def __init__(self, merge: str | None, ending: Ending) -> None:
        super().__init__()
        self.merge, self.ending = merge, ending

    def merged(self, one: Tensor, other: Tensor) -> Any:
        """Both as one tensor, or as they are."""
        if self.merge is None:
            return [one, other]
        return torch.cat([one, other], -1) if self.merge == "concat" else MERGES[self.merge](one, other)

    def ended(self, result: Any, states: Sequence[Tensor]) -> Any:
        """With the states where they are wanted."""
        return [*(result if isinstance(result, list) else [result]), *states] if self.ending.states else result


class Bidirectional(Both):
    """One torch layer that goes both ways."""

    def __init__(self, kind: str, state: dict[str, Tensor], merge: str | None, ending: Ending) -> None:
        super().__init__(merge, ending)
        inputs, hidden = state["weight_ih_l0"].shape[1], state["weight_hh_l0"].shape[1]
        function = nn.LSTM if kind == "LSTM" else nn.GRU
        self.rnn = function(inputs, hidden, bias="bias_ih_l0" in state, batch_first=True, bidirectional=True)
        self.rnn.load_state_dict(state)

    def forward(self, values: Tensor) -> Any:
        """The layer."""
        steps, last = self.rnn(values)
        states = [part[direction] for direction in (0, 1) for part in (last if isinstance(last, tuple) else [last])]
        if not self.ending.sequences:
            return self.ended(self.merged(states[0], states[len(states) // 2]), states)
        return self.ended(steps if self.merge == "concat" else self.merged(*steps.chunk(2, -1)), states)


class TwoLayers(Both):
    """A layer for each direction."""

    def __init__(self, forwards: nn.Module, backwards: nn.Module, merge: str | None, ending: Ending) -> None:
        super().__init__(merge, ending)
        self.forward_layer, self.backward_layer = forwards, backwards

    def forward(self, values: Tensor) -> Any:
        """The layer."""
        (one, *first), (other, *second) = self.forward_layer(values), self.backward_layer(values)
        return self.ended(self.merged(one, other.flip(1) if self.ending.sequences else other), [*first, *second])


def bidirectional(layer: Layer, value: Value) -> Made:
    """Bidirectional around LSTM, GRU or SimpleRNN."""
    merge = layer.get("merge_mode", "concat")
    half = len(layer.weights) // 2
    given = layer.get("layer") or {}
    ways = [
        _direction(layer, given, layer.weights[:half], backwards=False),
        _direction(layer, layer.get("backward_layer") or given, layer.weights[half:], backwards=True),
    ]
    if ways[0].kind not in GATES or merge not in ("concat", None, *MERGES):
        raise layer.refuse(f"goes around {ways[0].kind}, merged by '{merge}'; LSTM, GRU and SimpleRNN can be read")
    _refuse_unusual(ways[0], value, ())
    ending = Ending(bool(ways[0].get("return_sequences")), bool(ways[0].get("return_state")))
    count = (2 if merge is None else 1) + (2 * (2 if ways[0].kind == "LSTM" else 1) if ending.states else 0)
    if all(_usual(way) for way in ways) and ways[0].kind == ways[1].kind:
        pairs = zip(("", "_reverse"), ways, strict=True)
        state = {name: each for suffix, way in pairs for name, each in Weights.of(way).in_torch(way.kind, suffix).items()}
        return Made(Bidirectional(ways[0].kind, state, merge, ending), (KERAS,), (KERAS,) * count)
    whole = Ending(ending.sequences, True)
    forwards, backwards = (_module(way, bool(way.get("go_backwards")), whole) for way in ways)
    return Made(TwoLayers(forwards, backwards, merge, ending), (KERAS,), (KERAS,) * count)


def _direction(layer: Layer, given: Mapping[str, Any], weights: Sequence[Array], *, backwards: bool) -> Layer:
    config = {**given.get("config", {}), "go_backwards": backwards}
    return Layer(layer.name, str(given.get("class_name")), config, weights, layer.version, layer.custom)


def _module(layer: Layer, backwards: bool, ending: Ending) -> nn.Module:
    if not _usual(layer):
        return Steps(layer, backwards, ending)
    weights = Weights.of(layer)
    state = weights.in_torch(layer.kind, "")
    function = Lstm if layer.kind == "LSTM" else Gru
    module = function(weights.inputs.shape[1], weights.hidden.shape[1], bias=weights.biases[0] is not None, batch_first=True)
    module.load_state_dict(state)
    module.ending, module.backwards = ending, backwards
    return module


def _usual(layer: Layer) -> bool:
    """Whether torch's own layer computes the same."""
    usual = (layer.get("activation", "tanh"), layer.get("recurrent_activation", "sigmoid")) == ("tanh", "sigmoid")
    return usual and (layer.kind == "LSTM" or (layer.kind == "GRU" and bool(layer.get("reset_after", False))))


def _refuse_unusual(layer: Layer, value: Value, states: Sequence[Value]) -> None:
    if value.mask:
        raise layer.refuse(f"leaves out steps that '{value.mask}' masks; train it on one length without a mask")
    if layer.get("stateful"):
        raise layer.refuse("keeps its state from call to call; save it with stateful=False and the state as an input")
    if layer.get("time_major"):
        raise layer.refuse("has steps before samples; save it with time_major=False")
    if states and len(states) != (2 if layer.kind == "LSTM" else 1):
        raise layer.refuse(f"is given {len(states)} first states")


LAYERS: dict[str, Rule] = {**dict.fromkeys(GATES, recurrent), "RNN": cells, "Bidirectional": bidirectional}
ROLES = {kind: {"initial_state", "sequences", "sequence"} for kind in (*GATES, "RNN")}
"""By which names a call may give inputs."""
