"""Modules made from a file: how operators, weights and inputs keep the names that they have there."""

import inspect
import keyword
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


class Operator(nn.Module):
    """One operator of a file; a module so that what it computes carries its name, and holds its weights where they have none."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Any) -> Any:
        """Runs it."""
        return self.function(*given)


class Names:
    """Module names for operators: the last of those that a converter has joined, without dots, each once, none that `owner` has.

    >>> Names().unique("model/relu;model/conv2d/Conv2D", "Conv")
    'model/conv2d/Conv2D'
    """

    def __init__(self, owner: nn.Module | None = None) -> None:
        self._used: Counter[str] = Counter(dir(owner) if owner is not None else ())

    def unique(self, name: str, otherwise: str) -> str:
        """The module's name for an operator that the file calls `name`, if it calls it anything."""
        label = name.rpartition(";")[2].strip("/").replace(".", "_") or otherwise
        self._used[label] += 1
        return label if self._used[label] == 1 else self.unique(f"{label}_{self._used[label]}", otherwise)


def add_operator(module: nn.Module, name: str, operator: Operator) -> str:
    """Puts an operator at a dotted name, next to what is below that already, and says where: words of torch and Python get `_`."""
    taken = [keyword.iskeyword(part) or hasattr(nn.Module, part) or part in vars(module) for part in name.split(".")]
    *owners, leaf = (f"{part}_" if has_meaning else part for part, has_meaning in zip(name.split("."), taken, strict=True))
    for owner in owners:
        if owner not in module._modules:  # noqa: SLF001  named_children skips what is there twice
            module.add_module(owner, nn.Module())
        module = module.get_submodule(owner)
    if leaf in module._modules:  # noqa: SLF001
        for below, child in module.get_submodule(leaf).named_children():
            operator.add_module(below, child)
    module._modules[leaf] = operator  # noqa: SLF001  what stood there held nothing else
    return ".".join([*owners, leaf])


def store(module: nn.Module, place: str, value: torch.Tensor, *, trained: bool) -> str:
    """Keeps a tensor under a dotted name, as a parameter where it is trained. Gives the name, longer where a module has such a method."""
    *owners, leaf = place.split(".")
    for name in owners:
        if name not in module._modules:  # noqa: SLF001  named_children skips what is there twice
            module.add_module(name, nn.Module())
        module = module.get_submodule(name)
    while hasattr(type(module), leaf) or leaf in vars(module):
        leaf += "_"
    if trained:
        module.register_parameter(leaf, nn.Parameter(value))
    else:
        module.register_buffer(leaf, value)
    return ".".join([*owners, leaf])


def stored(module: nn.Module, place: str) -> torch.Tensor:
    """What `store` keeps."""
    owner, _, leaf = place.rpartition(".")
    found: torch.Tensor = getattr(module.get_submodule(owner), leaf)
    return found


def with_arguments(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The function with these arguments, from which torch.export takes the names of a network's inputs."""

    def forward(*inputs: torch.Tensor) -> Any:
        """The file's outputs for its inputs."""
        return function(*inputs)

    cleaned = [re.sub(r"\W", "_", name) for name in names]
    usable = [name if name.isidentifier() and cleaned.count(name) == 1 else f"input_{number}" for number, name in enumerate(cleaned)]
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in usable]
    vars(forward)["__signature__"] = inspect.Signature(parameters)
    return forward
