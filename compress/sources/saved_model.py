"""A folder that TensorFlow saved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from compress.model import Model
from compress.reading.inputs import Input, of_file
from compress.reading.layout import CHANNELS_LAST
from compress.sources.base import SourceOptions
from targets.errors import UserError
from targets.formats import tflite


@dataclass(frozen=True)
class SavedModel:
    """Becomes a TFLite file by TensorFlow's own converter, in a process of its own, and that a torch graph with images NCHW.

    Layers are called as in TensorFlow. Its signature `serving_default` is taken, or the only one. Models with Python functions, custom
    operations or access to files are refused.
    """

    kind: ClassVar[str] = "a TensorFlow SavedModel (a folder with saved_model.pb)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a folder with a saved_model.pb."""
        return (options.path / "saved_model.pb").is_file()

    def inputs(self) -> tuple[Input, ...]:
        """What the signature takes."""
        from compress.reading.saved_model.converting import converted

        done = converted(self.options.path)
        if done.path is not None:
            return of_file(tflite.read(done.path).inputs)
        return tuple(Input(name, (1, *_as_data(shape)), dtype) for name, shape, dtype in done.inputs)

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError where TensorFlow can't convert it, for an operator that isn't known, or inputs that are not the data's."""
        from compress.reading.saved_model.converting import converted
        from compress.reading.tflite.lifting import lift

        path = self.options.path
        done = converted(path)
        if done.path is None:
            done = converted(path, [_possible(tuple(tensor.shape)) for tensor in example])
        if done.path is None:
            wanted = ", ".join(str(list(shape[1:])) for _, shape, _ in done.inputs)
            given = ", ".join(str(list(tensor.shape[1:])) for tensor in example)
            raise UserError(f"{path}: takes samples of shape {wanted}, the data's are {given}")
        return replace(lift(done.path, example, path, self.options.name or path.name), labels=self.options.labels)


def _possible(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that a sample of the data may have in the file."""
    one = (1, *shape[1:])
    return [tuple(one[axis] for axis in CHANNELS_LAST), one] if len(one) == 4 else [one]


def _as_data(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return (shape[3], shape[1], shape[2]) if len(shape) == 4 else shape[1:]
