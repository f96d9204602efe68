"""A network saved by torch.jit: scripted or traced."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.model import Model, capture
from compress.reading.inputs import Input
from compress.reading.torchscript import archive
from compress.reading.trial import try_out
from compress.sources.base import SourceOptions
from targets.errors import UserError


@dataclass(frozen=True)
class Torchscript:
    """Its graph becomes a torch graph with the parameters' own names; torch's interpreter runs nothing of it."""

    kind: ClassVar[str] = "TorchScript (.pt)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a zip archive with torch.jit's entries."""
        return archive.is_script(options.path)

    def inputs(self) -> tuple[Input, ...] | None:
        """The shapes that the network was traced with; a scripted one has none."""
        found = archive.traced_with(self.options.path)
        return None if found is None else tuple(Input(f"input_{i}", (1, *each.shape[1:]), each.dtype) for i, each in enumerate(found))

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError for a damaged file, an operator that can't be followed, or inputs that are not the data's."""
        from compress.reading.torchscript.network import ScriptNetwork

        path = self.options.path
        script = archive.open_script(path, trust=self.options.trust)
        try:
            network = ScriptNetwork(script)
            self._check(network, example)
            try_out(network, example)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return replace(capture(network.eval(), example, self.options.name or path.stem), labels=self.options.labels)

    @staticmethod
    def _check(network: torch.nn.Module, example: Sequence[torch.Tensor]) -> None:
        import inspect

        wanted = len(inspect.signature(network.forward).parameters)
        if wanted != len(example):
            raise UserError(f"takes {wanted} inputs, the data gives {len(example)}")
