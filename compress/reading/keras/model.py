"""A Keras file as a torch module that takes inputs as the data have them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.reading.inputs import Input
from compress.reading.keras.config import ModelConfig, read
from compress.reading.keras.file import opened
from compress.reading.keras.layer import Array
from compress.reading.keras.network import Network, Planner, Reading
from compress.reading.keras.values import FIRST, KERAS, Value
from compress.reading.modules import with_arguments
from targets.errors import UserError

Custom = Mapping[str, Callable[[Mapping[str, Any], Sequence[Array]], nn.Module]]


def network(path: Path, weights: Path | None, custom: Custom, example: Sequence[torch.Tensor]) -> Network:
    """The module of a `.keras`, `.h5` or `config.json` file, checked on data like the example [N, …], images NCHW.

    Its outputs are Keras's, those of four axes NCHW. UserError, naming file and layer, for what can't be read.
    """
    with opened(path, weights) as saved:
        model = read(saved.config)
        first = _channels_first(saved.config)
        wanted = [_shape(model, ref.layer) for ref in model.inputs]
        if len(wanted) != len(example):
            raise UserError(f"takes {len(wanted)} inputs, the data gives {len(example)}")
        reading = Reading(saved.version, custom)
        planner = Planner(reading, model, saved.weights)
        values = [_input(reading, shape, given, first) for shape, given in zip(wanted, example, strict=True)]
        planner.plan(values, lambda value: FIRST if value.rank == 4 and not first else KERAS)
        made = planner.network
        made.inputs = [tuple(value.sample.shape[1:]) for value in values]
        made.forward = with_arguments(made.forward, [ref.layer for ref in model.inputs])  # type: ignore[method-assign]
        return made.train(False)


def inputs(path: Path, weights: Path | None) -> tuple[Input, ...] | None:
    """What the model takes, as data have it: images NCHW. None where it doesn't say."""
    with opened(path, weights) as saved:
        model = read(saved.config)
        first = _channels_first(saved.config)
        found = []
        for ref in model.inputs:
            shape = _shape(model, ref.layer)
            if shape is None:
                return None
            laid_out = (shape[2], *shape[:2]) if len(shape) == 3 and not first else shape
            layer = next(layer for layer in model.layers if layer.name == ref.layer)
            found.append(Input(ref.layer, (1, *laid_out), str(layer.config.get("dtype") or "float32")))
        return tuple(found)


def _shape(model: ModelConfig, name: str) -> tuple[int | None, ...] | None:
    """A sample's shape as the model says it, None where it leaves a length open, or says nothing."""
    layer = next(layer for layer in model.layers if layer.name == name)
    given = layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
    return None if given is None else tuple(given[1:])


def _input(reading: Reading, wanted: tuple[int | None, ...] | None, given: torch.Tensor, channels_first: bool) -> Value:
    """A stand-in for one sample of the data, laid out as the model wants it as far as that moves nothing."""
    sample = given[:1]
    shape = tuple(sample.shape[1:])
    last = (*shape[1:], shape[0]) if len(shape) == 3 else None
    if last is not None and not channels_first and _fits(last, wanted):
        return Value(reading.stand_in(sample), FIRST)
    if _fits(shape, wanted):
        return Value(reading.stand_in(sample))
    sizes = [size for size in shape if size > 1]
    if wanted is not None and None not in wanted and [size for size in wanted if size != 1] == sizes:
        return Value(reading.stand_in(sample.reshape(1, *(size or 1 for size in wanted))))
    raise UserError(f"takes samples of shape {list(wanted or ())}, the data's are {list(shape)}")


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...] | None) -> bool:
    return wanted is None or (len(shape) == len(wanted) and all(want in (None, size) for size, want in zip(shape, wanted, strict=True)))


def _channels_first(config: Any) -> bool:
    pending = [config]
    while pending:
        found = pending.pop()
        if isinstance(found, Mapping):
            if found.get("data_format") == "channels_first":
                return True
            pending.extend(found.values())
        elif isinstance(found, list):
            pending.extend(found)
    return False
