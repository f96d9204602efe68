"""A network saved by `torch.export.save`: a `.pt2` file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import fx
from torch.export import ExportedProgram

from compress.model import Model, capture, from_program, inference_graph
from compress.reading.inputs import Input
from compress.reading.trial import try_out
from compress.reading.unreadable import only_named
from compress.sources.base import SourceOptions
from compress.trust import checked_archive, entries
from targets.errors import UserError
from targets.registry import first_line


@dataclass(frozen=True)
class Exported:
    """Loads an exported program. Its archive is searched for anything that could run code before torch opens it."""

    kind: ClassVar[str] = "a network saved by torch.export.save (.pt2)"

    options: SourceOptions

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether the source is a torch.export archive."""
        names = entries(options.path)
        if not names:
            return only_named(options.path, ".pt2")
        return any(name.endswith("archive_format") or name == "serialized_exported_program.json" for name in names)

    def inputs(self) -> tuple[Input, ...]:
        """The program's inputs; a free axis has no size."""
        return tuple(_described(node) for node in _input_nodes(load_program(self.options.path, trust=self.options.trust)))

    def __call__(self, example: Sequence[torch.Tensor]) -> Model:
        """The network; UserError where the file is damaged or unsafe, or its inputs are not the data's."""
        path = self.options.path
        program = load_program(path, trust=self.options.trust)
        name = self.options.name or path.stem
        return replace(_with_example(program, tuple(example), name, path), labels=self.options.labels)


def load_program(path: Path, *, trust: bool = False) -> ExportedProgram:
    """The exported program in a file; UserError where it is damaged, or could run code and is not trusted to."""
    file = path.open("rb") if trust else checked_archive(path)
    try:
        with file:
            return torch.export.load(file)
    except Exception as error:
        raise UserError(f"{path}: can't be read as an exported program: {first_line(error)}") from error


def _with_example(program: ExportedProgram, example: tuple[torch.Tensor, ...], name: str, path: Path) -> Model:
    batch = _input_batches(program)
    if len(batch) != len(example):
        raise UserError(f"{path}: the network takes {len(batch)} inputs, the data gives {len(example)}")
    if all(isinstance(size, torch.SymInt) or size == 1 for size in batch):
        _check(program, example, path)
    if all(isinstance(size, torch.SymInt) for size in batch):
        example = tuple(torch.cat([tensor, tensor]) for tensor in example)
        return from_program(program, example, name)
    if all(size == 1 for size in batch):
        return from_program(program, example, name)
    return _recaptured(program, example, name, path, batch)


def _check(program: ExportedProgram, example: tuple[torch.Tensor, ...], path: Path) -> None:
    try:
        try_out(inference_graph(program), example)
    except UserError as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in example)
        raise UserError(f"model.source: {path} does not take data of shape {shapes}: {error}") from error


def _recaptured(
    program: ExportedProgram, example: tuple[torch.Tensor, ...], name: str, path: Path, batch: list[int | torch.SymInt]
) -> Model:
    try:
        return capture(inference_graph(program), example, name)
    except UserError:
        cure = "export it again with batch size 1, or with a free batch axis (dynamic_shapes)"
        raise UserError(f"{path}: the batch dimension is fixed to {batch[0]} and can't be changed; {cure}") from None


def _input_batches(program: ExportedProgram) -> list[int | torch.SymInt]:
    return [node.meta["val"].shape[0] if node.meta["val"].ndim else 1 for node in _input_nodes(program)]


def _input_nodes(program: ExportedProgram) -> list[fx.Node]:
    names = set(program.graph_signature.user_inputs)
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def _described(node: fx.Node) -> Input:
    value = node.meta["val"]
    sizes = tuple(None if isinstance(size, torch.SymInt) else int(size) for size in value.shape[1:])
    return Input(node.name, (1, *sizes) if value.ndim else (), str(value.dtype).removeprefix("torch."))
