"""A folder as Hugging Face's transformers saves one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.model import Model, capture
from compress.reading.inputs import Input
from compress.reading.trial import check_example
from compress.sources.base import SourceOptions


@dataclass(frozen=True)
class HuggingFace:
    """A classifier of images or sound, built by transformers' own class that `config.json` names, with its logits as the output.

    Code that lies in the folder is run only where the recipe says `trust: true`.
    """

    kind: ClassVar[str] = "a folder of Hugging Face's transformers (config.json and model.safetensors)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a folder whose `config.json` names an architecture of transformers."""
        from compress.reading import hugging_face

        return hugging_face.is_folder(options.path)

    def inputs(self) -> tuple[Input, ...] | None:
        """Images of the size that the configuration tells; None where it tells none."""
        from compress.reading import hugging_face

        return hugging_face.inputs(self.options.path)

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError where transformers can't build it, weights are missing or pickled code, or it takes token numbers."""
        from compress.reading import hugging_face

        path = self.options.path
        network, labels = hugging_face.network(path, trust=self.options.trust)
        check_example(network, example, self.options.source)
        name = self.options.name or path.resolve().name
        return replace(capture(network, example, name), labels=self.options.labels or labels)
