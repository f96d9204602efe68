"""AWQ (Lin et al. 2023): columns that large activations read are rounded more finely, by factors that the layer before gives up."""

from collections.abc import Collection
from typing import Any

import torch
from torch import fx, nn

from compress.quantization.neural_compressor import seams
from compress.quantization.neural_compressor.request import OneBlock, Request


class Factors(nn.Module):
    """Stands for the layer before: what AWQ divides its weights by, [channels], all 1 at first."""

    def __init__(self, channels: int, readers: tuple[str, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels), requires_grad=False)
        self.readers = readers

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The values times the factors."""
        return values * self.weight


def expose_factors(graph: fx.GraphModule, layers: Collection[fx.Node]) -> dict[str, Factors]:
    """Puts factors between each seam's value and its readers, in place; gives them by the names of the values."""
    made = {}
    for seam in seams.find(layers):
        readers = tuple(f"product_{reader.name}.linear" for reader in seam.readers)
        made[seam.value.name] = factors = Factors(seam.value.meta["val"].shape[-1], readers)
        graph.add_submodule(f"factors_{seam.value.name}", factors)
        with graph.graph.inserting_after(seam.value):
            call = graph.graph.call_module(f"factors_{seam.value.name}", (seam.value,))
        for reader in seam.readers:
            reader.replace_input_with(seam.value, call)
    return made


def tune(inc: Any, view: fx.GraphModule, request: Request) -> None:
    """Finds factors and rounds the weights of every exposed layer."""
    absorbing = {name: module.readers for name, module in view.named_modules() if isinstance(module, Factors)}
    settings = inc.AWQConfig(**request.options, absorb_layer_dict=absorbing)
    prepared = inc.prepare(OneBlock(view), settings, example_inputs=request.samples[0][0])
    for batch in request.samples:
        prepared(*batch)
    inc.convert(prepared)
