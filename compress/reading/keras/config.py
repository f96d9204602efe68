"""A model's configuration, as Keras 2 and Keras 3 write it, in one form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from targets.errors import UserError

MODELS = ("Functional", "Model", "Sequential")
Tree = Any
"""Lists, dictionaries and plain values with `Ref`s in them."""


@dataclass(frozen=True)
class Ref:
    """An output of a layer's call."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Call:
    """One use of a layer: what it is given by position and by name."""

    args: Sequence[Tree]
    kwargs: Mapping[str, Tree] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerConfig:
    """A layer of a model. `operation`: a function of keras.ops or TensorFlow, which has no weights."""

    name: str
    kind: str
    config: Mapping[str, Any]
    calls: Sequence[Call]
    operation: bool = False

    @property
    def is_model(self) -> bool:
        """Whether it is a model inside the model."""
        return self.kind in MODELS or "layers" in self.config


@dataclass(frozen=True)
class ModelConfig:
    """The layers of a model, its inputs and its outputs."""

    name: str
    layers: Sequence[LayerConfig]
    inputs: Sequence[Ref]
    outputs: Sequence[Ref]


def read(config: Mapping[str, Any]) -> ModelConfig:
    """A model from what its class's `get_config` gave, with the class. UserError for a subclassed one, whose code isn't in the file."""
    kind, inner = config.get("class_name"), config.get("config")
    if isinstance(inner, list):  # Sequential of Keras before 2.2
        inner = {"name": "sequential", "layers": inner}
    if not isinstance(inner, Mapping) or not isinstance(inner.get("layers"), list):
        raise UserError(
            f"holds the model class '{kind}', whose network is code and not in the file; save it as a functional model, "
            "or export it (.pt2, .onnx, .tflite)"
        )
    return _functional(inner) if "output_layers" in inner else _sequential(inner)


def _sequential(config: Mapping[str, Any]) -> ModelConfig:
    """Each layer is called with what the one before gives."""
    layers: list[LayerConfig] = []
    shape = config.get("build_input_shape")
    for entry in config["layers"]:
        name = _name(entry)
        if not layers and entry["class_name"] != "InputLayer":
            given = entry["config"].get("batch_shape") or entry["config"].get("batch_input_shape") or shape
            layers.append(LayerConfig("input", "InputLayer", {"batch_shape": given}, [Call([])]))
        calls = [Call([Ref(layers[-1].name, 0, 0)])] if layers else [Call([])]
        layers.append(LayerConfig(name, str(entry["class_name"]), entry["config"], calls))
    if len(layers) < 2:
        raise UserError("is a Sequential without layers")
    return ModelConfig(str(config.get("name", "sequential")), layers, [Ref(layers[0].name, 0, 0)], [Ref(layers[-1].name, 0, 0)])


def _functional(config: Mapping[str, Any]) -> ModelConfig:
    entries: list[Any] = config["layers"]
    names = {_name(entry) for entry in entries}
    models = {_name(entry) for entry in entries if isinstance(entry.get("config"), Mapping) and "layers" in entry["config"]}
    new = any(isinstance(node, Mapping) for entry in entries for node in entry.get("inbound_nodes") or [])
    # a model's own making counts as its call 0 where outputs are named; in Keras 3 that of a functional one only
    counted = {_name(entry) for entry in entries if _name(entry) in models and not (new and entry["class_name"] == "Sequential")}
    layers = []
    for entry in entries:
        calls = [_call(node, names, models) for node in entry.get("inbound_nodes") or []]
        if entry["class_name"] == "InputLayer":
            calls = [Call([])]
        layers.append(LayerConfig(_name(entry), str(entry["class_name"]), entry.get("config") or {}, calls, _is_operation(entry, new)))
    ends = [
        [Ref(ref.layer, ref.call - (ref.layer in counted), ref.output) for ref in _ends(config[key])]
        for key in ("input_layers", "output_layers")
    ]
    return ModelConfig(str(config.get("name", "model")), layers, *ends)


def _is_operation(entry: Mapping[str, Any], new: bool) -> bool:
    """A function's call: by its module, or in Keras 3's HDF5 files, which have none, by what every layer's configuration has."""
    if "module" in entry:
        return ".ops" in str(entry["module"])
    no_layer = new and not {"trainable", "dtype", "layers"} & set(entry.get("config") or {})
    return no_layer or entry["class_name"] in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")


def _ends(given: Tree) -> Iterator[Ref]:
    """Inputs or outputs of a model in Keras's order: of dictionaries, that of their keys."""
    if isinstance(given, Mapping):
        for key in sorted(given):
            yield from _ends(given[key])
    elif len(given) == 3 and isinstance(given[0], str):
        yield Ref(str(given[0]), int(given[1]), int(given[2]))
    else:
        for each in given:
            yield from _ends(each)


def _call(node: Any, names: set[str], models: set[str]) -> Call:
    if isinstance(node, Mapping):
        return Call([_new(each) for each in node["args"]], {key: _new(each) for key, each in node["kwargs"].items()})
    entries = [node] if node and isinstance(node[0], str) else _inputs(node)
    given = [_old(entry[:3], names, models) for entry in entries]
    kwargs: dict[str, Any] = {}
    for entry in entries:
        kwargs |= {key: _old(each, names, models) for key, each in (entry[3] if len(entry) > 3 else {}).items()}
    return Call([given[0] if len(given) == 1 else given], kwargs)


def _inputs(node: Any) -> list[Any]:
    if isinstance(node, Mapping):
        return [each for key in sorted(node) for each in _inputs(node[key])]
    return list(node)


def _array(config: Mapping[str, Any]) -> Tree:
    return np.asarray(config["value"], dtype=np.float32 if "float" in str(config["dtype"]) else np.int64)


REVIVED: dict[str, Callable[[Any], Tree]] = {
    "__keras_tensor__": lambda config: Ref(*config["keras_history"]),
    "__numpy__": _array,
    "__tensor__": _array,
    "__slice__": lambda config: slice(*(_new(config[key]) for key in ("start", "stop", "step"))),
    "__ellipsis__": lambda _: ...,
}
"""What Keras 3 wraps in dictionaries."""


def _new(tree: Tree) -> Tree:
    """Keras 3's serialized arguments."""
    if isinstance(tree, list):
        return [_new(each) for each in tree]
    if not isinstance(tree, Mapping):
        return tree
    revive = REVIVED.get(str(tree.get("class_name")))
    return revive(tree.get("config")) if revive else {key: _new(each) for key, each in tree.items()}


def _old(tree: Tree, names: set[str], models: set[str]) -> Tree:
    """Keras 2's: a tensor is [layer, call, output], a constant ["_CONSTANT_VALUE", -1, value]."""
    if isinstance(tree, Mapping):
        if set(tree) == {"start", "stop", "step"}:
            return slice(*(_old(tree[key], names, models) for key in ("start", "stop", "step")))
        return {key: _old(each, names, models) for key, each in tree.items()}
    if not isinstance(tree, list):
        return tree
    if tree[:1] == ["_CONSTANT_VALUE"]:
        return tree[2]
    if len(tree) == 3 and isinstance(tree[0], str) and tree[0] in names and all(isinstance(number, int) for number in tree[1:]):
        return Ref(tree[0], tree[1] - (tree[0] in models), tree[2])
    return [_old(each, names, models) for each in tree]


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or entry["config"].get("name") or entry["class_name"])
