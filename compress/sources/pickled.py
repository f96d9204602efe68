"""A whole torch module in a pickle: torch.save(network)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.model import Model, capture
from compress.reading.pickles import Named, outline, tensors
from compress.reading.torchscript.archive import names
from compress.reading.trial import check_example
from compress.reading.unreadable import is_pickle
from compress.sources.base import SourceOptions
from targets.errors import UserError
from targets.registry import first_line, own_code


@dataclass(frozen=True)
class Pickled:
    """Loading a pickle runs any code that its maker put into it, so it is refused unless the recipe says `trust: true`."""

    kind: ClassVar[str] = "a pickled module, where it is trusted (.pt, .pth)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a file of torch.save that holds a module rather than tensors; nothing in it is run to know."""
        path = options.path
        if not path.is_file():
            return False
        with path.open("rb") as file:
            pickled = is_pickle(file.read(2))
        if not pickled and "data.pkl" not in names(path):
            return False
        try:
            held = outline(path)
        except UserError:
            return False
        return isinstance(held, Named) and any(True for _ in tensors(held))

    def inputs(self) -> None:
        """Only data can tell."""

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The module, where it is trusted; UserError where it isn't, or where its classes can't be imported."""
        path = self.options.path
        if not self.options.trust:
            raise UserError(
                f"{path}: is a pickled {outline(path).name}, and loading it runs any code that its maker put into it; save it with "
                "torch.export.save, or say 'trust: true' under 'model' if you know who made it"
            )
        try:
            with own_code(self.options.folder), warnings.catch_warnings(action="ignore"):  # of classes that have changed since
                module = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:
            raise UserError(f"{path}: can't be loaded: {first_line(error)}; its classes must lie where they were") from error
        if not isinstance(module, torch.nn.Module):
            raise UserError(f"{path}: holds a {type(module).__name__}, not a torch.nn.Module")
        check_example(module.eval(), example, self.options.source)
        return replace(capture(module, example, self.options.name or path.stem), labels=self.options.labels)
