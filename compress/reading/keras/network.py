"""A Keras model as a torch module: planned call by call on stand-ins for a sample, so that every layout is known before it runs."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from compress.reading.faults import UNFIT
from compress.reading.keras.config import Call, LayerConfig, ModelConfig, Ref, Tree, read
from compress.reading.keras.layer import Array, Layer, Made
from compress.reading.keras.layers import LAYERS, ROLES
from compress.reading.keras.layers.masking import mask_behind
from compress.reading.keras.operations import operation
from compress.reading.keras.values import FIRST, KERAS, Layout, Value, mover
from compress.reading.keras.weights import Weights, key_of
from compress.reading.trial import LARGEST
from targets.errors import UserError
from targets.registry import first_line

IGNORED = {"training", "mask"}
"""What a call may say that changes nothing in inference, unless it is a tensor."""


@dataclass(frozen=True)
class Step:
    """A module, or a change of layout, from which values to which."""

    work: str | Callable[[torch.Tensor], torch.Tensor]
    takes: tuple[int, ...]
    gives: tuple[int, ...]


class Network(nn.Module):
    """The layers of a model by their names, called in order. Gives one tensor, or a tuple of the outputs.

    `inputs`, where it is set, holds samples' shapes that inputs are brought to: data may leave out axes of length 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.outputs: list[int] = []
        self.inputs: list[tuple[int, ...]] = []

    def forward(self, *inputs: torch.Tensor) -> Any:
        """The model."""
        shapes = self.inputs or [tuple(given.shape[1:]) for given in inputs]
        shaped = zip(inputs, shapes, strict=True)
        values = dict(enumerate(given if given.shape[1:] == shape else given.reshape(-1, *shape) for given, shape in shaped))
        for step in self.steps:
            work = self.get_submodule(step.work) if isinstance(step.work, str) else step.work
            made = work(*(values[index] for index in step.takes))
            values |= dict(zip(step.gives, made if isinstance(made, list | tuple) else [made], strict=True))
        outputs = [values[index] for index in self.outputs]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


@dataclass(frozen=True)
class Reading:
    """What all layers of a file share: the generation of Keras, and the user's own modules by the names of classes or functions."""

    version: int
    custom: Mapping[str, Callable[[Mapping[str, Any], Sequence[Array]], nn.Module]]
    mode: FakeTensorMode = field(default_factory=lambda: FakeTensorMode(allow_non_fake_inputs=True))

    def stand_in(self, sample: torch.Tensor) -> torch.Tensor:
        """A tensor with the sample's shape that is never computed."""
        return self.mode.from_tensor(sample)

    def run(self, work: Callable[..., Any], samples: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What a module gives for stand-ins, in inference."""
        if isinstance(work, nn.Module):
            work.eval()
        with torch.no_grad(), self.mode:
            made = work(*samples)
        return list(made) if isinstance(made, list | tuple) else [made]


class Planner:
    """Makes the network of a model. `network` holds it when `plan` is done."""

    def __init__(self, reading: Reading, model: ModelConfig, weights: Weights) -> None:
        self.reading, self.model, self.weights = reading, model, weights
        self.network = Network()
        self.keys = dict(_keys(model))
        self.made: dict[str, tuple[str, Made]] = {}
        self.values: list[Value] = []
        self.moved: dict[tuple[int, Layout], int] = {}
        self.known: dict[Ref, int] = {}

    def plan(self, inputs: Sequence[Value], outputs: Callable[[Value], Layout] = lambda value: value.layout) -> tuple[Layout, ...]:
        """Plans all calls, for inputs in the order of the model's; `outputs` says the layout that each output is wanted in."""
        if len(inputs) != len(self.model.inputs):
            raise UserError(f"model '{self.model.name}' takes {len(self.model.inputs)} inputs, its call gives {len(inputs)}")
        self.known = {ref: self._add(value) for ref, value in zip(self.model.inputs, inputs, strict=True)}
        pending = [(layer, number) for layer in self.model.layers for number in range(len(layer.calls)) if layer.kind != "InputLayer"]
        while pending:
            ready = [(layer, number) for layer, number in pending if self._is_ready(layer, number)]
            if not ready:
                raise UserError(f"layer '{pending[0][0].name}' takes what no layer gives; save the model again")
            for layer, number in ready:
                self._call(layer, number)
            pending = [each for each in pending if each not in ready]
        ends = [self._known(ref) for ref in self.model.outputs]
        wanted = [outputs(self.values[index]) for index in ends]
        self.network.outputs = [self._in(index, layout) for index, layout in zip(ends, wanted, strict=True)]
        return tuple(self.values[index].layout for index in self.network.outputs)

    def _is_ready(self, layer: LayerConfig, number: int) -> bool:
        before = number == 0 or Ref(layer.name, number - 1, 0) in self.known
        return before and all(ref in self.known for ref in _refs(layer.calls[number]))

    def _known(self, ref: Ref) -> int:
        if ref not in self.known:
            raise UserError(f"output {ref.output} of layer '{ref.layer}' is made by no call; save the model again")
        return self.known[ref]

    def _call(self, config: LayerConfig, number: int) -> None:
        call = config.calls[number]
        slots = [self.known[ref] for ref in _refs(call)]
        given = tuple(self.values[slot] for slot in slots)
        try:
            name, made = self._made(config, call, given)
            takes = tuple(self._in(slot, layout) for slot, layout in zip(slots, made.takes, strict=True))
            samples = self.reading.run(self.network.get_submodule(name), [self.values[slot].sample for slot in takes])
            mask = mask_behind(Layer(config.name, config.kind, config.config, ()), given)
        except UNFIT as error:
            raise UserError(f"layer '{config.name}' ({config.kind}): can't be read: {first_line(error)}") from error
        gives = tuple(self._add(Value(sample, layout, mask)) for sample, layout in zip(samples, made.gives, strict=True))
        self.network.steps.append(Step(name, takes, gives))
        self.known |= {Ref(config.name, number, output): slot for output, slot in enumerate(gives)}

    def _made(self, config: LayerConfig, call: Call, given: tuple[Value, ...]) -> tuple[str, Made]:
        """The layer's module: the one it has, unless that has no weights and lies otherwise."""
        found = self.made.get(config.name)
        if found is not None and any(True for _ in found[1].module.parameters()) and len(found[1].takes) == len(given):
            return found
        made = self._operation(config, call, given) if config.operation else self._layer(config, call, given)
        if found is not None and (made.takes, made.gives) == (found[1].takes, found[1].gives):
            return found
        name = _free(self.network, config.name)
        self.network.add_module(name, made.module)
        self.made[config.name] = (name, made)
        return name, made

    def _operation(self, config: LayerConfig, call: Call, given: tuple[Value, ...]) -> Made:
        values = iter(given)
        args = [_with_values(each, values) for each in call.args]
        kwargs = {key: _with_values(each, values) for key, each in call.kwargs.items()}
        return operation(Layer(config.name, config.kind, config.config, (), self.reading.version), args, kwargs)

    def _layer(self, config: LayerConfig, call: Call, given: tuple[Value, ...]) -> Made:
        weights = self.weights.child(self.keys[config.name], config.name, config.is_model)
        roles = ("",) * len(list(_refs(call.args))) + tuple(key for key, each in call.kwargs.items() for _ in _refs(each))
        unknown = set(roles) - ROLES.get(config.kind, set()) - {"", "inputs", "x"}
        if unknown:
            reason = f"is given '{min(unknown)}' as a tensor, which can't be read; leave it out"
            raise Layer(config.name, config.kind, config.config, ()).refuse(reason)
        options = {key: each for key, each in call.kwargs.items() if not list(_refs(each)) and key not in IGNORED}
        return self._any(config, weights, given, tuple("" if role in ("inputs", "x") else role for role in roles), options)

    def _any(
        self,
        config: LayerConfig,
        weights: Weights,
        given: tuple[Value, ...],
        roles: tuple[str, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Made:
        if config.is_model and config.kind not in self.reading.custom:
            return self._model(config, weights, given)
        layer = Layer(
            *(config.name, config.kind, config.config, weights.arrays(config.kind), self.reading.version, self.reading.custom),
            inner=lambda inner, part, value: self._any(_wrapped(inner), weights.part(part), (value,)),
            roles=roles,
            options=options or {},
        )
        if config.kind in self.reading.custom:
            return self._custom(layer, given)
        if config.kind not in LAYERS:
            raise _unknown(layer)
        _refuse_quantized(layer)
        return LAYERS[config.kind](layer, *given)

    def _custom(self, layer: Layer, given: tuple[Value, ...]) -> Made:
        """The user's module takes and gives images NCHW, everything else as Keras has it."""
        module = layer.custom[layer.kind](layer.config, layer.weights)
        takes = tuple(FIRST if value.rank == 4 and not layer.channels_first else KERAS for value in given)
        made = self.reading.run(module, [self._sample(value, layout) for value, layout in zip(given, takes, strict=True)])
        return Made(module, takes, tuple(FIRST if each.dim() == 4 and not layer.channels_first else KERAS for each in made))

    def _model(self, config: LayerConfig, weights: Weights, given: tuple[Value, ...]) -> Made:
        inner = Planner(self.reading, read({"class_name": config.kind, "config": config.config}), weights)
        takes = tuple(value.layout for value in given)
        gives = inner.plan(given)
        return Made(inner.network, takes, gives)

    def _sample(self, value: Value, layout: Layout) -> torch.Tensor:
        way = mover(value, layout)
        return value.sample if way is None else self.reading.run(way, [value.sample])[0]

    def _in(self, slot: int, layout: Layout) -> int:
        """The slot of a value in a layout: its own, or one that a step moves it to."""
        value = self.values[slot]
        way = mover(value, layout)
        if way is None:
            return slot
        if (slot, layout) not in self.moved:
            moved = self._add(replace(value, sample=self.reading.run(way, [value.sample])[0], layout=layout))
            self.network.steps.append(Step(way, (slot,), (moved,)))
            self.moved[slot, layout] = moved
        return self.moved[slot, layout]

    def _add(self, value: Value) -> int:
        if value.sample.numel() > LARGEST:
            raise ValueError(f"makes {value.sample.numel():,} numbers of one sample, more than any network for the edge")
        self.values.append(value)
        return len(self.values) - 1


def _keys(model: ModelConfig) -> Iterator[tuple[str, str]]:
    """What Keras 3's weight files call each layer: its class, counted."""
    counted: dict[str, int] = {}
    for layer in model.layers:
        key = "functional" if layer.kind == "Model" else key_of(layer.kind)
        if not layer.operation:
            yield layer.name, f"{key}_{counted[key]}" if key in counted else key
            counted[key] = counted.get(key, 0) + 1


def _refs(tree: Tree) -> Iterator[Ref]:
    if isinstance(tree, Ref):
        yield tree
    elif isinstance(tree, Call):
        yield from _refs([*tree.args, *tree.kwargs.values()])
    elif isinstance(tree, Mapping):
        for key in tree:
            yield from _refs(tree[key])
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _refs(each)


def _with_values(tree: Tree, values: Iterator[Value]) -> Tree:
    if isinstance(tree, Ref):
        return next(values)
    if isinstance(tree, Mapping):
        return {key: _with_values(each, values) for key, each in tree.items()}
    return [_with_values(each, values) for each in tree] if isinstance(tree, list | tuple) else tree


def _wrapped(entry: Mapping[str, Any]) -> LayerConfig:
    config = entry.get("config") or {}
    return LayerConfig(str(config.get("name") or "layer"), str(entry.get("class_name")), config, [])


def _free(network: nn.Module, name: str) -> str:
    """The layer's name as a module can have it, numbered where it is taken."""
    wanted = name.replace(".", "_") or "layer"
    while hasattr(network, wanted):
        wanted += "_"
    return wanted


def _unknown(layer: Layer) -> UserError:
    if layer.kind == "Lambda":
        return layer.refuse(
            "is code in the file, which is never run; write it as a torch module and name that under 'custom' of 'model': "
            "{Lambda: package.module:name}"
        )
    near = difflib.get_close_matches(layer.kind, LAYERS, n=1)
    hint = f"did you mean '{near[0]}'? Or " if near else ""
    return layer.refuse(
        f"is no layer that can be read; {hint}name a torch module for it under 'custom' of 'model': {{{layer.kind}: package.module:name}}"
    )


def _refuse_quantized(layer: Layer) -> None:
    policy: Any = layer.get("dtype")
    config = policy.get("config") if isinstance(policy, Mapping) else None
    if isinstance(policy, Mapping) and "Quantized" in str(policy.get("class_name")) and isinstance(config, Mapping):
        raise layer.refuse("is quantized by Keras; save the model before model.quantize and let edgepress do it")
