"""TFLite's fused recurrent layer, as torch's own."""

from typing import Any

import torch

from compress.reading.tflite.values import Call
from targets.formats.tflite_options import Activation

Tensor = torch.Tensor


def lstm(call: Call, values: Tensor, *given: Any) -> Tensor:
    """UNIDIRECTIONAL_SEQUENCE_LSTM from zero states: [N, T, input] to [N, T, hidden], or with `time_major` the time first.

    Refused: peepholes, projections, normalized or coupled gates, clipping, other activations than tanh, and integers.
    """
    weights, recurrence, peepholes, bias, others = given[:4], given[4:8], given[8:11], given[11:15], (*given[15:17], *given[19:])
    plain = all(each is not None for each in (*weights, *recurrence, *bias)) and all(each is None for each in (*peepholes, *others))
    options = call.options
    if not plain or options.cell_clip or options.projection_clip or options.activation != Activation.TANH or call.dtype != "float32":
        raise call.refuse("has peepholes, projections, coupled or clipped gates, or integers, which torch's LSTM hasn't")
    flat = [torch.cat(parts) for parts in (weights, recurrence, bias)]  # input, forget, cell, output, as torch has them
    steps = values if options.time_major else values.transpose(0, 1)
    start = steps.new_zeros(1, steps.shape[1], recurrence[0].shape[1])
    made: Tensor = torch.lstm(steps, [start, start], [*flat, torch.zeros_like(flat[2])], True, 1, 0.0, False, False, False)[0]
    return made if options.time_major else made.transpose(0, 1)
