"""The graph of a file as a torch module: its initializers are parameters, its operators run in the file's order."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from compress.reading.layout import Shape, arrange
from compress.reading.modules import Names, Operator, store, stored, with_arguments
from compress.reading.onnx.graph import Graph
from compress.reading.onnx.operators import OPERATORS
from compress.reading.onnx.values import Call, Step, Value, tensor

STATISTICS = {"BatchNormalization": (3, 4)}
"""Inputs that are no parameters: training updates them in another way."""

KNOWN = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Clip"), (1, 2)),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    **dict.fromkeys(("Upsample", "Pow"), (1,)),
}
"""Inputs that are part of the call, scales and bounds, rather than anything that is trained."""


class OnnxNetwork(nn.Module):
    """Takes the file's inputs in their order, laid out as data are, and gives its outputs, a tensor or a tuple of several.

    `shapes` are those of the file's inputs, for one sample.

    Floating-point initializers are parameters under their own names. One without a dot in its name, which says nothing about its
    layer, belongs to the module of the operator that reads it first. Whole numbers are constants.
    """

    def __init__(self, graph: Graph, shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.main, self.shapes = graph, shapes
        self.modules_of: dict[int, str] = {}
        self.places: dict[str, str] = {}
        names = Names(self)
        for step in graph.steps:
            name = names.unique(step.call.name, step.call.operator)
            self.modules_of[id(step)] = name
            self.add_module(name, Operator(partial(_run, step.call)))
        self.places = dict(self._stored(graph))
        self.forward = with_arguments(self._forward, graph.inputs)

    def _forward(self, *inputs: torch.Tensor) -> Any:
        values: dict[str, Value] = {name: array for name, array in self.main.constants.items() if name not in self.places}
        values |= {name: stored(self, place) for name, place in self.places.items()}
        given = zip(self.main.inputs, inputs, self.shapes, strict=True)
        values |= {name: arrange(value, shape) for name, value, shape in given}
        outputs = [tensor(value) for value in self._run(self.main, values)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _run(self, graph: Graph, values: dict[str, Value]) -> list[Value]:
        values |= {name: array for name, array in graph.constants.items() if name not in values}
        for step in graph.steps:
            given = [values[name] if name else None for name in step.inputs]
            if step.call.operator == "Scan":
                made = self._scan(step.call, given, values)
            elif step.call.operator == "If":
                chosen = step.call.get("then_branch" if bool(step.call.sizes(_known(given[0])).item()) else "else_branch")
                made = self._run(chosen, dict(values))
            else:
                made = self._call(step, given)
            values |= {name: value for name, value in zip(step.outputs, made, strict=False) if name}
        return [values[name] for name in graph.outputs]

    def _call(self, step: Step, given: list[Value | None]) -> list[Value]:
        name = self.modules_of.get(id(step))
        made = _run(step.call, *given) if name is None else self.get_submodule(name)(*given)
        return made if isinstance(made, list) else [made]

    def _scan(self, call: Call, given: list[Value | None], values: dict[str, Value]) -> list[Value]:
        """A loop over the entries of some axes, written out."""
        body, scanned = call.get("body"), call.get("num_scan_inputs")
        kept = len(given) - scanned
        states, sequences = given[:kept], [tensor(_known(value)) for value in given[kept:]]
        axes, backwards = (call.get(name, [0] * scanned) for name in ("scan_input_axes", "scan_input_directions"))
        steps = sequences[0].shape[axes[0]]
        if not isinstance(steps, int):
            raise call.refuse("loops over the batch or another free axis; export it with a fixed length")
        collected: list[list[torch.Tensor]] = []
        for number in range(steps):
            places = [steps - 1 - number if reverse else number for reverse in backwards]
            entries = [sequence.select(axis, place) for sequence, axis, place in zip(sequences, axes, places, strict=True)]
            made = self._run(body, values | dict(zip(body.inputs, [*states, *entries], strict=True)))
            states = list(made[:kept])
            collected.append([tensor(value) for value in made[kept:]])
        ways = zip(
            call.get("scan_output_axes", [0] * len(collected[0])), call.get("scan_output_directions", [0] * len(collected[0])), strict=True
        )
        stacked = [
            torch.stack(parts[::-1] if reverse else parts, axis)
            for parts, (axis, reverse) in zip(map(list, zip(*collected, strict=True)), ways, strict=True)
        ]
        return [*(_known(state) for state in states), *stacked]

    def _stored(self, graph: Graph) -> Iterator[tuple[str, str]]:
        """Stores the floating-point constants; gives their names in the file and here."""
        readers: dict[str, list[tuple[Step, int]]] = {}
        for step in graph.steps:
            for position, name in enumerate(step.inputs):
                readers.setdefault(name, []).append((step, position))
        for name, array in graph.constants.items():
            if array.dtype.kind not in "f" and not (array.ndim and array.dtype.itemsize == 1):
                continue
            reading = readers.get(name, [])
            if reading and all(position in KNOWN.get(step.call.operator, ()) for step, position in reading):
                continue
            owner, _, leaf = name.rpartition(".")
            if not owner and reading:
                owner = self.modules_of[id(reading[0][0])]
            place = f"{owner}.{leaf}" if owner else leaf
            statistic = any(position in STATISTICS.get(step.call.operator, ()) for step, position in reading)
            yield name, store(self, place, torch.from_numpy(array.copy()), trained=array.dtype.kind == "f" and not statistic)


def _run(call: Call, *given: Value | None) -> Any:
    return OPERATORS[call.operator](call, *given)


def _known(value: Value | None) -> Value:
    if value is None:
        raise ValueError("an input is missing")
    return value
