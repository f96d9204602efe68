"""The graph of a TorchScript module as a torch module."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.reading.modules import store, stored, with_arguments
from compress.reading.torchscript.values import ON_ANYTHING, ON_TENSORS, ON_VALUES, small
from targets.errors import UserError

MOST_STEPS = 50_000
"""Of operators and rounds of loops, which are written out: what a network of a thousand time steps takes, many times over."""

DTYPES = dict(enumerate((torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64)))
DTYPES |= {11: torch.bool, 15: torch.bfloat16}
MEMORY_FORMATS = {0: torch.contiguous_format, 1: torch.preserve_format, 2: torch.channels_last}
ENUMERATIONS: dict[str, dict[int, Any]] = {"ScalarType": DTYPES, "MemoryFormat": MEMORY_FORMATS, "Layout": {0: torch.strided}}
"""What TorchScript has numbers for, by the word in an operator's schema."""

Values = dict[str, Any]


@dataclass(frozen=True)
class _Place:
    """A module of the network, by its name."""

    name: str

    def inner(self, name: str) -> str:
        """What lies in it."""
        return f"{self.name}.{name}" if self.name else name


class ScriptNetwork(nn.Module):
    """Takes and gives what the archive's `forward` does. Parameters and buffers have their own names; tied ones stay one.

    Only operators of torch itself are run, and none that touches files. UserError for another, for state that is kept between calls,
    and for a loop or condition that hangs on the numbers in a tensor.
    """

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.graph = script.inlined_graph
        self.constants = dict(_constants(self.graph))
        self.steps = 0
        self.tensors: set[str] = set()
        self.places: dict[int, str] = {}
        for trained, found in ((True, script.named_parameters), (False, script.named_buffers)):
            for name, tensor in found(remove_duplicate=False):
                self._store(name, tensor.detach(), trained=trained)
        self.owners = dict(script.named_modules(remove_duplicate=False))
        names = [value.debugName().partition(".")[0] for value in list(self.graph.inputs())[1:]]
        self.forward = with_arguments(self._forward, names)

    def _store(self, name: str, tensor: torch.Tensor, *, trained: bool) -> None:
        store(self, name, tensor, trained=trained)
        self.tensors.add(name)
        first = self.places.setdefault(tensor.data_ptr(), name) if tensor.numel() else name
        if first != name and stored(self, first).shape == tensor.shape:
            owner, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(owner), leaf, stored(self, first))

    def _forward(self, *inputs: torch.Tensor) -> Any:
        names = [value.debugName() for value in self.graph.inputs()]
        values: Values = dict(zip(names, [_Place(""), *inputs], strict=True))
        self.steps = 0
        made = self._run(self.graph, values)
        return made[0] if len(made) == 1 else tuple(made)

    def _run(self, block: Any, values: Values) -> list[Any]:
        """Runs a graph or block; gives what it returns."""
        for node in block.nodes():
            made = self._step(node, values)
            values |= dict(zip((output.debugName() for output in node.outputs()), made, strict=True))
        return [values[value.debugName()] for value in block.outputs()]

    def _step(self, node: Any, values: Values) -> list[Any]:
        """What one node makes, a value for each of its outputs."""
        self._count(node)
        kind, given = node.kind(), [values[value.debugName()] for value in node.inputs()]
        if kind == "prim::Constant":
            return [self.constants[node.output().debugName()]]
        if kind == "prim::GetAttr":
            return [self._attribute(given[0], node.s("name"))]
        if kind == "prim::If":
            yes, no = node.blocks()
            return self._run(yes if _condition(given[0], node) else no, values)
        if kind == "prim::Loop":
            return self._loop(node, given, values)
        if kind in BUILDING:
            return BUILDING[kind](node, given)
        made = _call(node, given)
        return list(made) if node.outputsSize() > 1 else [made][: node.outputsSize()]

    def _count(self, node: Any) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise _refusal(node, f"comes after {MOST_STEPS:,} others, loops written out; no network for the edge has so many")

    def _loop(self, node: Any, given: list[Any], values: Values) -> list[Any]:
        (body,) = node.blocks()
        names = [value.debugName() for value in body.inputs()]
        rounds, going, carried = given[0], given[1], given[2:]
        number = 0
        while number < rounds and _condition(going, node):
            self._count(node)
            going, *carried = self._run(body, values | dict(zip(names, [number, *carried], strict=True)))
            number += 1
        return carried

    def _attribute(self, owner: Any, name: str) -> Any:
        if not isinstance(owner, _Place):
            raise UserError(f"attribute '{name}' belongs to no module; trace the network with torch.jit.trace and save that")
        inner = owner.inner(name)
        if inner in self.owners:
            return _Place(inner)
        if inner in self.tensors:
            return stored(self, inner)
        return self._own(getattr(self.owners[owner.name], name))

    def _own(self, value: Any) -> Any:
        """A list of weights (as LSTM keeps one) with the weights that are stored here."""
        if isinstance(value, list):
            return [self._own(each) for each in value]
        return stored(self, self.places[value.data_ptr()]) if isinstance(value, torch.Tensor) and value.data_ptr() in self.places else value


def _constants(block: Any) -> Iterator[tuple[str, Any]]:
    """Every constant of a graph; a tensor of one number without axes, which traces make of Python's numbers, is such a number again."""
    for node in block.nodes():
        for inner in node.blocks():
            yield from _constants(inner)
        if node.kind() == "prim::Constant":
            value = node.output().toIValue()
            yield node.output().debugName(), value.item() if isinstance(value, torch.Tensor) and not value.dim() else value


def _build_dictionary(_: Any, given: list[Any]) -> list[Any]:
    return [dict(zip(given[::2], given[1::2], strict=True))]


BUILDING: dict[str, Callable[[Any, list[Any]], list[Any]]] = {
    "prim::ListConstruct": lambda _, given: [list(given)],
    "prim::TupleConstruct": lambda _, given: [tuple(given)],
    "prim::DictConstruct": _build_dictionary,
    **dict.fromkeys(("prim::ListUnpack", "prim::TupleUnpack"), lambda _, given: list(given[0])),
    "prim::TupleIndex": lambda _, given: [given[0][given[1]]],
    "prim::unchecked_cast": lambda _, given: given,
    "prim::Uninitialized": lambda *_: [None],
    "prim::data": lambda _, given: given,
}
"""Nodes that put values together and take them apart."""


def _call(node: Any, given: list[Any]) -> Any:
    """Runs one operator: Python's own on values and lists, torch's on tensors."""
    kind = node.kind()
    tensors = any(isinstance(value, torch.Tensor) for value in _flat(given))
    if kind in ON_ANYTHING or (kind in ON_VALUES and (not tensors or isinstance(given[0], list | dict))):
        return small({**ON_VALUES, **ON_ANYTHING}[kind](*given))
    if kind in ON_TENSORS and isinstance(given[0], torch.Tensor):
        return ON_TENSORS[kind](*given)
    if kind == "aten::_convolution":
        return _convolution(*given[:9])
    function = _operator(node)
    positional, named = [], {}
    for argument, value in zip(function._schema.arguments, given, strict=True):  # noqa: SLF001  its only description
        converted = _converted(str(argument.real_type), value)
        if argument.kwarg_only:
            named[argument.name] = converted
        else:
            positional.append(converted)
    return function(*positional, **named)


def _operator(node: Any) -> Any:
    """torch's own operator; UserError for one of another library, or that works on files."""
    match = re.match(r"aten::(\w+)(?:\.(\w+))?\(", node.schema())
    if not match or "filename" in node.schema():
        raise _refusal(node, "can't be followed")
    return getattr(getattr(torch.ops.aten, match[1]), match[2] or "default")


def _converted(wanted: str, value: Any) -> Any:
    """A value as torch's operators take it: words for TorchScript's numbers, and everything on this machine's processor."""
    if "Device" in wanted:
        return torch.device("cpu")
    word = next((word for word in ENUMERATIONS if word in wanted), None)
    return ENUMERATIONS[word].get(value, value) if word and isinstance(value, int) else value


def _convolution(  # noqa: PLR0913, PLR0917  the operator's own
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int
) -> torch.Tensor:
    """Traces have one operator for all convolutions; passes know each by its own."""
    axes = weight.dim() - 2
    made: torch.Tensor
    if transposed:
        function = (nn.functional.conv_transpose1d, nn.functional.conv_transpose2d, nn.functional.conv_transpose3d)[axes - 1]
        made = function(x, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        made = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[axes - 1](
            x, weight, bias, stride, padding, dilation, groups
        )
    return made


def _condition(value: Any, node: Any) -> bool:
    if isinstance(value, torch.Tensor):
        raise _refusal(node, "hangs on the numbers in a tensor, which no exported network can; trace it with torch.jit.trace and save that")
    return bool(value)


def _refusal(node: Any, reason: str) -> UserError:
    place = re.search(r'([^/"]+\.py):(\d+)', node.sourceRange())
    where = f" ({place[1]}, line {place[2]})" if place else ""
    return UserError(f"operator '{node.kind()}'{where} {reason}")


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        yield from _flat(value) if isinstance(value, list | tuple) else (value,)
