"""Models whose graph is a TFLite file."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from compress.lowering.nodes import constant, set_constant
from compress.model import Model
from compress.model import capture as capture_module
from compress.reading.layout import arrange
from compress.reading.modules import with_arguments
from targets import jobs
from targets.base import Array, Artifact, RunOptions
from targets.errors import ExportError, UserError
from targets.formats import tflite

CHANNELS_FIRST = (0, 3, 1, 2)
ONE_RUN = RunOptions(warmup=0, repetitions=1, layers=False, energy=False)
MEMORY, SECONDS = 3 << 30, 10
"""Bytes of address space and seconds of processor time that one sample may take at first."""
LIMITED = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script that is named after it within these."""


@dataclass(frozen=True)
class Held:
    """The file that a model's graph runs: `content` its bytes, `why` what kept it from being lifted to torch."""

    content: bytes
    why: str


class _Network(nn.Module):
    """Takes samples as data have them (images NCHW) and gives the file's outputs, images NCHW too where those that come in are turned."""

    def __init__(self, artifact: Artifact, example: Sequence[torch.Tensor], outputs: Sequence[tuple[int, ...]], why: str) -> None:
        super().__init__()
        self.register_buffer("file", torch.frombuffer(bytearray(artifact.path.read_bytes()), dtype=torch.uint8))
        self.inputs = [tensor.shape for tensor in artifact.inputs]
        self.sizes, self.ranks, self.why = [size for shape in outputs for size in shape], [len(shape) for shape in outputs], why
        self.turned = _turned([tuple(tensor.shape) for tensor in example], self.inputs)
        names = [tensor.name.removeprefix("serving_default_").partition(":")[0] for tensor in artifact.inputs]
        self.forward = with_arguments(self._forward, names)

    def _forward(self, *inputs: torch.Tensor) -> Any:
        given = [arrange(values, shape) for values, shape in zip(inputs, self.inputs, strict=True)]
        made = torch.ops.edgepress.run_tflite(self.file, given, self.sizes, self.ranks, self.why)
        outputs = [values.permute(CHANNELS_FIRST) if self.turned and values.dim() == 4 else values for values in made]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def capture(path: Path, example: Sequence[torch.Tensor], name: str, why: str) -> Model:
    """The network of a float file that can't be lifted because of `why`, with one sample for each input; any batch size goes.

    The file is run first in a process of its own, within `MEMORY` and `SECONDS`. ExportError where LiteRT can't run it or gives something
    else than a row of numbers for a sample, UserError where it takes more samples than one at a time.
    """
    artifact = tflite.read(path)
    problems = jobs.problems(artifact, "LiteRT", ("tflite",))
    if problems:
        raise UserError(str(problems[0]))
    ran = _tried(artifact, example)
    for port, values in zip(artifact.outputs, ran, strict=True):
        if values.dtype.kind not in "biuf" or values.shape != port.shape or port.shape[:1] != (1,):
            raise ExportError(f"{path}: output '{port.name}' is {values.dtype} {list(values.shape)}, no row of numbers for one sample")
    shapes = [port.shape[1:] for port in artifact.outputs]
    return capture_module(_Network(artifact, example, shapes, why), tuple(example), name)


def _tried(artifact: Artifact, example: Sequence[torch.Tensor]) -> Sequence[Array]:
    """The outputs of a file that may be damaged: what it asks for ends with a process of its own."""
    batch = tuple(port.encode(arrange(values, port.shape).numpy()) for port, values in zip(artifact.inputs, example, strict=True))
    with tempfile.TemporaryDirectory(prefix="edgepress-") as name:
        jobs.write(Path(name), artifact, [batch], ONE_RUN)
        jobs.execute([sys.executable] if sys.platform == "win32" else [sys.executable, "-c", LIMITED], Path(name), artifact)
        return jobs.outputs(Path(name))


def held(model: Model) -> Held | None:
    """The file that a model's graph runs; None of a network of torch's operators."""
    node = _runner(model.graph)
    return None if node is None else Held(constant(model.graph, node.args[0]).numpy().tobytes(), str(node.args[4]))


def refuse(model: Model, who: str, cure: Callable[[], str]) -> None:
    """Raises UserError in the name of a pass or command that follows torch's operators where a model's graph runs a file."""
    found = held(model)
    if found is not None:
        raise UserError(f"{who}: needs a graph of torch's operators, and this TFLite file has none: {found.why}; {cure()}")


def replaced(model: Model, content: bytes) -> fx.GraphModule:
    """A copy of a model's graph that runs another file, of the same inputs and outputs."""
    graph = model.copy_graph()
    node: Any = _runner(graph)
    set_constant(graph, str(node.args[0].target), torch.frombuffer(bytearray(content), dtype=torch.uint8))
    return graph


def channels_last(model: Model) -> bool:
    """Whether the file that a model's graph runs has images NHWC, as exported files have."""
    node: Any = _runner(model.graph)
    shapes = [] if node is None else [tuple(each.meta["val"].shape) for each in node.args[1]]
    return bool(shapes) and _turned([tuple(tensor.shape) for tensor in model.example], shapes)


@contextmanager
def as_file(content: bytes) -> Iterator[Path]:
    """The bytes in a file for a while."""
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(content)
        yield path


def _turned(samples: Sequence[tuple[int, ...]], inputs: Sequence[tuple[int, ...]]) -> bool:
    """Whether images of the data, NCHW, are laid out in another way in the file."""
    return any(len(given) == 4 and given[1:] != shape[1:] for given, shape in zip(samples, inputs, strict=True))


def _runner(graph: fx.GraphModule) -> fx.Node | None:
    return next((node for node in graph.graph.nodes if node.target == torch.ops.edgepress.run_tflite.default), None)
