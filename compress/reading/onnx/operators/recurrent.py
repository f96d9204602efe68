"""LSTM, GRU and RNN with ONNX's order of gates, as torch's own layers where they agree."""

from collections.abc import Callable
from typing import Any

import torch

from compress.reading.onnx.values import Call, Value, tensor

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULT = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}


def recurrent(call: Call, value: Value, *given: Value | None) -> list[torch.Tensor]:
    """[T, N, input] to [T, directions, N, hidden] and the last states. `layout: 1` has the batch first.

    Refused: clipping, other activations than the usual, coupled gates, peepholes and sequences of different lengths.
    """
    weights, recurrence, bias, lengths, hidden, cell, peepholes = (*given, *[None] * 7)[:7]
    _refuse_unusual(call, lengths, peepholes)
    values = tensor(value)
    if call.get("layout", 0):
        values = values.transpose(0, 1)
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[call.get("direction", "forward")]
    results, states = [], []
    for index, backwards in enumerate(directions):
        parameters = _Parameters(call, *(each[index] if each is not None else None for each in map(_optional, (weights, recurrence, bias))))
        start = [each[index] if each is not None else None for each in map(_optional, (hidden, cell))]
        steps, last = parameters.run(values.flip(0) if backwards else values, start)
        results.append(steps.flip(0) if backwards else steps)
        states.append(last)
    outputs = [torch.stack(results, 1), *(torch.stack(each) for each in zip(*states, strict=True))]
    return [outputs[0].permute(2, 0, 1, 3), *(each.transpose(0, 1) for each in outputs[1:])] if call.get("layout", 0) else outputs


class _Parameters:
    """One direction's weights, gates in torch's order."""

    def __init__(self, call: Call, weights: torch.Tensor | None, recurrence: torch.Tensor | None, bias: torch.Tensor | None) -> None:
        if weights is None or recurrence is None:
            raise call.refuse("has no weights")
        self.kind, self.size = call.operator, recurrence.shape[-1]
        # ONNX: input, output, forget, cell and update, reset, hidden; torch: input, forget, cell, output and reset, update, new
        order = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}[self.kind]
        self.weights, self.recurrence = (self._ordered(each, order) for each in (weights, recurrence))
        terms = torch.zeros(2 * GATES[self.kind] * self.size) if bias is None else bias
        self.bias, self.recurrent_bias = (self._ordered(each, order) for each in terms.chunk(2))
        self.reset_after = bool(call.get("linear_before_reset", 0))
        if self.kind == "GRU" and not self.reset_after:
            raise call.refuse("resets before its matrix product, which torch's GRU can't; train it with reset_after (linear_before_reset)")

    def run(self, values: torch.Tensor, start: list[torch.Tensor | None]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """All steps [T, N, hidden] and the last states [N, hidden]."""
        shape = (1, values.shape[1], self.size)
        states = [values.new_zeros(shape) if each is None else each.unsqueeze(0).expand(shape) for each in start]
        flat = [self.weights, self.recurrence, self.bias, self.recurrent_bias]
        options = (True, 1, 0.0, False, False, False)
        if self.kind == "LSTM":
            steps, hidden, cell = torch.lstm(values, states, flat, *options)
            return steps, [hidden[0], cell[0]]
        function: Any = torch.gru if self.kind == "GRU" else torch.rnn_tanh
        steps, hidden = function(values, states[0], flat, *options)
        return steps, [hidden[0]]

    def _ordered(self, parameters: torch.Tensor, order: list[int]) -> torch.Tensor:
        parts = parameters.chunk(GATES[self.kind])
        return torch.cat([parts[gate] for gate in order])


def _optional(value: Value | None) -> torch.Tensor | None:
    return None if value is None else tensor(value)


def _refuse_unusual(call: Call, lengths: Value | None, peepholes: Value | None) -> None:
    given = [str(name).lower() for name in call.get("activations", DEFAULT[call.operator])]
    usual = DEFAULT[call.operator] * (len(given) // len(DEFAULT[call.operator]))
    if call.get("clip") or call.get("input_forget", 0) or peepholes is not None or tuple(given) != usual:
        raise call.refuse("clips, couples gates, has peepholes or unusual activations, which torch's layer can't")
    if isinstance(lengths, torch.Tensor):
        raise call.refuse("takes sequences of different lengths; export it for one length")


OPERATORS: dict[str, Callable[..., Any]] = dict.fromkeys(GATES, recurrent)
