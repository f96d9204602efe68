"""Operators that compute with integers, spelled out: their inputs made real, the operator itself, its result made integers again.

ONNX's own (QLinearConv, QLinearMatMul) and those that ONNX Runtime adds (com.microsoft, docs/ContribOperators.md of its repository).
Between them integers may also be pooled, moved and reshaped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compress.reading.onnx.values import Call, Sizes, Step

PRODUCTS = {"QLinearConv": "Conv", "QLinearMatMul": "MatMul", "QGemm": "Gemm"}
SUMS = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
OF_ONE = {
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearAveragePool": "AveragePool",
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSoftmax": "Softmax",
}
SPELLED_OUT = {**PRODUCTS, **SUMS, **OF_ONE, "QLinearConcat": "Concat"}
"""What can be spelled out, and the operator that it is of real numbers."""

MOVING = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Identity")
"""Operators that take integers as they are; their result has their first input's scale."""

Pair = tuple[str, str]
"""The names of a scale and a zero point."""


def spell_out(steps: Sequence[Step], constants: dict[str, Sizes]) -> tuple[Step, ...]:
    """The steps without operators of integers. Adds the scales of biases to the constants. UserError for an unknown layout."""
    speller = _Speller(constants)
    return tuple(made for step in steps for made in speller.step(step))


@dataclass
class _Speller:
    constants: dict[str, Sizes]
    pairs: dict[str, Pair] = field(default_factory=dict)
    """The scale and zero point of every name that holds integers."""

    def step(self, step: Step) -> Iterator[Step]:
        name = step.call.operator
        if name in SPELLED_OUT and step.call.get("channels_last", 0):
            raise step.call.refuse("has its channels last, which isn't known here; quantize the network with ONNX Runtime's QDQ format")
        if name == "QuantizeLinear":
            self.pairs[step.outputs[0]] = (step.inputs[1], step.inputs[2] if len(step.inputs) > 2 else "")
            yield step
        elif name in PRODUCTS:
            yield from self._product(step)
        elif name in SUMS:
            a, a_scale, a_zero, b, b_scale, b_zero, *result = step.inputs
            yield from self._around(step, [(a, (a_scale, a_zero)), (b, (b_scale, b_zero))], result)
        elif name in OF_ONE:
            given, scale, zero, *result = step.inputs
            yield from self._around(step, [(given, (scale, zero))], result)
        elif name == "QLinearConcat":
            parts = [step.inputs[start : start + 3] for start in range(2, len(step.inputs), 3)]
            yield from self._around(step, [(part[0], (part[1], part[2])) for part in parts], step.inputs[:2])
        elif name in MOVING and step.inputs[0] in self.pairs:
            pair = self.pairs[step.inputs[0]]
            yield from self._around(step, [(step.inputs[0], pair)], pair, others=step.inputs[1:])
        else:
            yield step

    def _product(self, step: Step) -> Iterator[Step]:
        """A layer with weights, which may have a scale for each of its outputs; its bias has the scale of both multiplied."""
        name = step.call.operator
        a, a_scale, a_zero, b, b_scale, b_zero, *rest = step.inputs
        if name == "QGemm":
            bias, result = (rest[0] if rest else ""), rest[1:]
        else:
            result, bias = rest[:2], (rest[2] if len(rest) > 2 else "")
        outputs_first = name == "QLinearConv" or step.call.get("transB", 0)
        given = [(a, (a_scale, a_zero)), (b, (b_scale, b_zero))]
        if bias:
            scale = f"{bias}.scale"
            self.constants[scale] = np.asarray(self._constant(step.call, a_scale) * self._constant(step.call, b_scale), np.float32)
            given.append((bias, (scale, "")))
        yield from self._around(step, given, result, axes=(0, 0 if outputs_first else 1, 0))

    def _constant(self, call: Call, name: str) -> Sizes:
        if name not in self.constants:
            raise call.refuse("computes its scales; only constant ones are known")
        return self.constants[name]

    def _around(
        self, step: Step, given: Sequence[tuple[str, Pair]], result: Sequence[str], axes: Sequence[int] = (), others: Sequence[str] = ()
    ) -> Iterator[Step]:
        label, opset = step.call.name, step.call.opset
        names = []
        for number, (name, pair) in enumerate(given):
            names.append(f"{label}.real{number}")
            axis = {"axis": axes[number]} if axes else {}
            inputs = (name, *(each for each in pair if each))
            yield Step(Call(names[-1], "DequantizeLinear", axis, opset), inputs, (names[-1],))
        made = f"{label}.real" if any(result) else step.outputs[0]
        call = replace(step.call, operator=SPELLED_OUT.get(step.call.operator, step.call.operator))
        yield Step(call, (*names, *others), (made,))
        if any(result):
            self.pairs[step.outputs[0]] = (result[0], result[1] if len(result) > 1 else "")
            yield Step(
                Call(f"{label}.integers", "QuantizeLinear", {}, opset), (made, *(each for each in result if each)), (step.outputs[0],)
            )
