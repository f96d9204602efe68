"""Compiles a .tflite file to freestanding C99: one function a layer, the caller's arena, nothing at run time but the kernels it needs."""

import json
import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from targets.base import Artifact
from targets.errors import ExportError, UserError
from targets.formats import c, tflite
from targets.formats.tflite import Graph, Operator
from targets.microcontroller.compiler import fitting, fixed_point, kernels, memory, writer
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.streaming import Stream
from targets.microcontroller.compiler.text import C_TYPES, identifier
from targets.microcontroller.compiler.writer import Program, sizeof
from targets.registry import PluginFolder

OPERATORS = PluginFolder("targets.microcontroller.compiler.operators", "operator")
MAXIMUM_ELEMENTS = 1 << 26


def compile_tflite(path: Path, directory: Path, name: str | None = None, max_ram_kb: float | None = None) -> Artifact:
    """Writes the network as C sources into `directory`, whole or not at all, and reads back what it wrote.

    `name` starts every global name in the C; the file's name by default. An arena of more than `max_ram_kb` times 1024 bytes makes
    neighbouring layers run stripe by stripe. Raises UserError where the file can't be read and ExportError, with layer and operator,
    for what can't be compiled or doesn't fit in this memory.
    """
    program = lower(tflite.load(path), identifier(name or path.stem), max_ram_kb)
    try:
        _write(_files(program), directory)
    except OSError as error:
        raise UserError(f"{directory}: can't be written: {error.strerror}; name another output folder") from None
    return c.read(directory)


def lower(graph: Graph, name: str, max_ram_kb: float | None = None) -> Program:
    """The program for a graph; nothing is written. Raises ExportError for what can't be compiled."""
    for tensor in graph.tensors:
        if tensor.elements > MAXIMUM_ELEMENTS:
            raise ExportError(f"{graph.path}: tensor {tensor.name[:80]!r} has {tensor.elements} numbers; no microcontroller holds so many")
    for index in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[index]
        if tensor.dtype not in C_TYPES or not tensor.elements:
            raise ExportError(
                f"{graph.path}: tensor {tensor.name[:80]!r} is {tensor.dtype} {list(tensor.shape)}; quantize the model to int8"
            )
    for index in graph.outputs:
        if graph.tensors[index].data is not None or graph.tensors[index].variable:
            raise ExportError(f"{graph.path}: output {graph.tensors[index].name[:80]!r} isn't computed; leave it out of the model")
    layers = tuple(_lower(graph, operator) for operator in graph.operators)
    sizes = {index: graph.tensors[index].elements * sizeof(graph.tensors[index]) for op in graph.operators for index in op.outputs}
    limit = None if max_ram_kb is None else int(max_ram_kb * 1024)
    return Program(name, graph, layers, fitting.fit(graph, layers, sizes, limit))


def supported() -> tuple[str, ...]:
    """The operators that can be compiled, by their names in TFLite's schema."""
    return tuple(name.upper() for name in OPERATORS.names())


def _lower(graph: Graph, operator: Operator) -> Layer:
    node = Node(graph, operator)
    if operator.name not in supported():
        raise node.refuse("no kernel for this operator", "replace it in the model before exporting")
    for index in operator.outputs:
        if graph.tensors[index].dtype not in C_TYPES:
            raise node.refuse(f"its output is {graph.tensors[index].dtype}", "quantize the model to int8 in full")
    for index in operator.inputs:
        if index >= 0 and graph.tensors[index].variable:
            raise node.refuse("it keeps numbers from one run to the next", "give them to the model as inputs, and take them as outputs")
    try:
        layer: Layer = OPERATORS.load(operator.name.lower())()(node)
    except fixed_point.OutOfRangeError as error:
        raise node.refuse(f"its scales don't go together: {error}", "quantize the model again") from None
    if not layer.is_view:
        _require_all_used(node, layer)
    return layer


def _require_all_used(node: Node, layer: Layer) -> None:
    """Refuses an operator whose code would miss an input or an output: one that the operator always has as a constant, or one too many."""
    code = layer.body if layer.kernel is None else " ".join(layer.kernel.arguments)
    for letter, tensors in (("x", node.computed()), ("y", node.operator.outputs)):
        used = {int(number) for number in re.findall(rf"\b{letter}(\d+)\b", code)}
        if used != set(range(len(tensors))):
            what = "inputs that are computed" if letter == "x" else "outputs"
            raise node.refuse(f"it has {len(tensors)} {what}, and takes {len(used)}", "export the model again")


def _write(files: dict[str, str], directory: Path) -> None:
    """The files are written beside the folder first, so that a full disk leaves nothing half-written."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".edgepress-") as made:
        folder = Path(made) / "c"
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, encoding="ascii")
        if directory.exists():
            shutil.copytree(folder, directory, dirs_exist_ok=True)
        else:
            folder.replace(directory)


def _files(program: Program) -> dict[str, str]:
    name = program.name
    declared, defined = writer.weights(program)
    files = {
        f"{name}.h": writer.header(program),
        f"{name}.c": writer.source(program),
        f"{name}_weights.h": declared,
        f"{name}_weights.c": defined,
        **kernels.texts(header for layer in program.layers for header in layer.headers),
    }
    return {**files, "model.json": json.dumps(_description(program, sorted(files)), indent=1) + "\n"}


def _description(program: Program, files: list[str]) -> dict[str, Any]:
    graph = program.graph
    return {
        "schema": c.SCHEMA,
        "name": program.name,
        "arena_bytes": program.memory.arena_bytes,
        "inputs": [asdict(tflite.describe(graph.tensors[index])) for index in graph.inputs],
        "outputs": [asdict(tflite.describe(graph.tensors[index])) for index in graph.outputs],
        "memory_plan": [_place(program, place) for place in program.memory.arena],
        "stripes": _stripes(program, program.memory.stream) if program.memory.stream else None,
        "layers": [_layer(program, step) for step in range(len(program.layers))],
        "sources": [file for file in files if file.endswith(".c")],
        "headers": [file for file in files if file.endswith(".h")],
    }


def _place(program: Program, place: memory.Place) -> dict[str, Any]:
    """A tensor, or a layer's scratch memory (no name), in the arena: offset and bytes, first and last layer that need it."""
    name = None if place.tensor is None else program.graph.tensors[place.tensor].name
    return {"name": name, "offset": place.offset, "bytes": place.bytes, "first": place.first, "last": place.last}


def _stripes(program: Program, stream: Stream) -> dict[str, int]:
    """Which layers run in stripes, in how many, and what that costs: bytes moved to keep rows; no MAC is done twice."""
    outputs = [program.graph.tensors[program.graph.operators[step].outputs[0]] for step in range(stream.first, stream.last + 1)]
    moved = stream.moved([tensor.elements * sizeof(tensor) // tensor.shape[1] for tensor in outputs])
    return {"first": stream.first, "last": stream.last, "count": stream.stripes, "moved_bytes": moved, "extra_macs": 0}


def _layer(program: Program, step: int) -> dict[str, Any]:
    layer = program.layers[step]
    operator = program.graph.operators[step]
    return {
        "function": None if layer.is_view else program.function(step),
        "name": Node(program.graph, operator).name,
        "operator": operator.name,
        "macs": layer.macs,
        "ram_bytes": program.memory.live[step],
        "flash_bytes": sum(constant.values.nbytes for constant in layer.constants if "!" in constant.guard or not constant.guard),
    }
