"""A network that the user's own code builds: `package.module:factory`, with weights from a file that can't run code."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from compress.model import Model, capture
from compress.reading.faults import DAMAGED
from compress.reading.trial import check_example
from compress.sources.base import SourceOptions
from compress.trust import check_sizes
from targets.errors import UserError
from targets.registry import first_line, load_named, own_code


@dataclass(frozen=True)
class Factory:
    """Calls the factory without arguments, loads the weights into what it returns, and captures it in inference mode."""

    kind: ClassVar[str] = "a function that builds the network (package.module:factory)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source has the form `package.module:name`."""
        module, colon, name = options.source.partition(":")
        return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))

    def inputs(self) -> None:
        """Only data can tell."""

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError where the code fails, returns no module, or the weights don't fit."""
        module = self._build()
        if self.options.weights:
            load_weights(module, self.options.folder / self.options.weights)
        check_example(module, example, self.options.source)
        name = self.options.name or self.options.source.partition(":")[2]
        return replace(capture(module, example, name), labels=self.options.labels)

    def _build(self) -> torch.nn.Module:
        factory = load_named(self.options.source, self.options.folder)
        if not callable(factory):
            raise UserError(f"model.source: {self.options.source} is no function; name one that returns a torch.nn.Module")
        try:
            with own_code(self.options.folder):
                module = factory()
        except Exception as error:
            raise UserError(f"model.source: {self.options.source}() failed: {first_line(error)}") from error
        if not isinstance(module, torch.nn.Module):
            raise UserError(f"model.source: {self.options.source}() returned {type(module).__name__}, not a torch.nn.Module")
        return module.eval()


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Loads a state dictionary into a module, strictly. UserError naming the first tensor that is missing, left over or misshapen."""
    state = read_weights(path)
    own = module.state_dict()
    for key, value in state.items():
        if key not in own:
            raise UserError(f"{path}: tensor '{key}' has no place in the network; is this the file of another network?")
        if value.shape != own[key].shape:
            raise UserError(f"{path}: tensor '{key}' has shape {tuple(value.shape)}, the network wants {tuple(own[key].shape)}")
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(f"{path}: tensor '{missing[0]}' of the network is missing (and {len(missing) - 1} more)")
    module.load_state_dict(state, strict=False)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a `.safetensors` file or a `.pt` file, which is read without running code."""
    if not path.is_file():
        raise UserError(f"model.weights: file {path} does not exist")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    check_sizes(path)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: holds more than tensors, so loading it could run code; save only torch.save(net.state_dict(), …)"
        ) from None
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as weights: {first_line(error)}") from None
    return _state_dictionary(saved, path)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: can't be read as safetensors: {error}") from None


def _state_dictionary(saved: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(saved, dict):
        for key in ("state_dict", "model_state_dict", "model"):
            if isinstance(saved.get(key), dict):
                saved = saved[key]
    if not isinstance(saved, dict) or not all(isinstance(value, torch.Tensor) for value in saved.values()):
        raise UserError(f"{path}: holds no dictionary of tensors; save it with torch.save(net.state_dict(), …)")
    return {str(key).removeprefix("module."): value for key, value in saved.items()}
