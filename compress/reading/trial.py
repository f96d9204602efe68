"""Runs a network on one sample before anything else is done with it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode  # torch.export's own way to run without numbers
from torch.utils._python_dispatch import TorchDispatchMode  # sees what every operator makes; untyped in torch
from torch.utils._pytree import tree_leaves

from compress.reading.faults import UNFIT
from targets.errors import UserError
from targets.registry import first_line

LARGEST = 2**27
"""Numbers in one tensor for one sample: half a gigabyte, more than a device of the kind meant here has."""


def try_out(module: torch.nn.Module, example: Sequence[torch.Tensor]) -> None:
    """Runs the module of a file on the shapes of an example, then on its numbers, so that nothing wrong with it can fill the memory.

    UserError, without the file's name, for what fails and for tensors beyond `LARGEST`.
    """
    mode, sizes = FakeTensorMode(allow_non_fake_inputs=True), _Sizes()  # type: ignore[no-untyped-call]
    try:
        with mode, sizes, torch.no_grad():
            module(*(mode.from_tensor(tensor) for tensor in example))
        with torch.no_grad():
            module(*example)  # finds what torch checks with numbers alone, such as mixed types
    except UNFIT as error:
        raise UserError(f"can't be run: {first_line(error)}") from error


def check_example(module: torch.nn.Module, example: Sequence[torch.Tensor], source: str) -> None:
    """Runs one sample through a network whose code is trusted. UserError where the data's shape is not what it takes, with its reason."""
    try:
        with torch.no_grad():
            module(*example)
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in example)
        raise UserError(f"model.source: {source} does not take data of shape {shapes}: {first_line(error)}") from error


class _Sizes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, torch.Tensor) and made.numel() > LARGEST:
                raise UserError(f"{func} would make a tensor of shape {list(made.shape)}; the network is too large, or the file damaged")
        return result
