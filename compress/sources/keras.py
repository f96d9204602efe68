"""A Keras model: a `.keras` or `.h5` file, or a configuration with its weights beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from compress.model import Model, capture, refresh
from compress.reading.faults import UNFIT
from compress.reading.inputs import Input
from compress.reading.tidy import cancel
from compress.sources.base import SourceOptions
from targets.errors import UserError
from targets.registry import first_line, load_named, own_code


@dataclass(frozen=True)
class Keras:
    """Becomes a torch graph with images NCHW and one module a layer, called as the layer is. No code of the file runs.

    `weights` beside a `config.json` names the file of its weights. `custom` names, for a class or function that is not built into
    Keras, `package.module:name`: called with the layer's configuration (a dictionary) and its weights (NumPy arrays in Keras's
    order), it returns a torch.nn.Module that takes the layer's inputs, images NCHW and everything else as in Keras.
    """

    kind: ClassVar[str] = "a Keras model (.keras, .h5)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a Keras model, by its content, or by its name."""
        from compress.reading.keras.file import is_keras

        return options.path.is_file() and is_keras(options.path)

    def inputs(self) -> tuple[Input, ...] | None:
        """The model's input layers."""
        from compress.reading.keras.model import inputs

        return inputs(self.options.path, self._weights)

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError for a damaged file, a layer that isn't known, or inputs that are not the data's."""
        from compress.reading.keras.model import network

        path = self.options.path
        custom = {
            name: partial(self._own, load_named(reference, self.options.folder), name) for name, reference in self.options.custom.items()
        }
        module = network(path, self._weights, custom, example)
        try:
            with torch.no_grad():
                module(*example)
        except UNFIT as error:
            raise UserError(f"{path}: can't be run: {first_line(error)}; does Keras load it?") from error
        model = capture(module, tuple(example), self.options.name or path.stem.removesuffix(".weights"))
        cancel(model.graph)
        refresh(model.graph, model.example)
        return replace(model, labels=self.options.labels)

    @property
    def _weights(self) -> Path | None:
        return self.options.folder / self.options.weights if self.options.weights else None

    def _own(self, build: Callable[..., Any], name: str, config: Mapping[str, Any], weights: Sequence[Any]) -> torch.nn.Module:
        """What the user's own function makes for a layer."""
        reference = self.options.custom[name]
        try:
            with own_code(self.options.folder):
                module = build(dict(config), list(weights))
        except Exception as error:
            raise UserError(f"custom: {reference} failed for '{name}': {first_line(error)}") from error
        if not isinstance(module, torch.nn.Module):
            raise UserError(f"custom: {reference} gives {type(module).__name__} for '{name}', not a torch.nn.Module")
        return module
