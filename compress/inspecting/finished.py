"""Files that run as they are: generated C, and TFLite files of integers."""

import tempfile
from collections import Counter
from pathlib import Path

from compress.inspecting import facts, trials
from compress.inspecting.findings import Ability, Inspection, Port
from compress.passes import PASSES
from compress.reading.inputs import of_file
from targets.base import Artifact, Tensor
from targets.errors import UserError


def inspected(artifact: Artifact) -> Inspection:
    """What the file says, what compiling it to C tells of its layers, and the boards that take it."""
    c = artifact.format == "c"
    said, operators = ({}, {}) if c else facts.tflite(artifact.path)
    layers = artifact.details["layers"] if c else []
    exports: tuple[Ability, ...] = ()
    files: trials.Files = [("int8", artifact)]
    with tempfile.TemporaryDirectory() as scratch:
        if not c:
            compiled, reason = _compiled(artifact.path, Path(scratch))
            exports = (Ability("c", compiled is not None, "int8", reason),)
            layers = compiled.details["layers"] if compiled else []
            files += [("int8", compiled)] if compiled else []
        targets = trials.targets(files)
    return Inspection(
        artifact.path,
        "a folder of generated C" if c else "a quantized TFLite file (.tflite)",
        artifact.bytes,
        {**said, **({"arena": f"{artifact.details['arena_bytes']:,} bytes"} if c else {})},
        tuple(_port(tensor) for tensor in artifact.inputs),
        tuple(_port(tensor) for tensor in artifact.outputs),
        parameters=None if c else _stored(artifact.path),
        macs=sum(layer["macs"] or 0 for layer in layers) if layers else None,
        operators=operators or dict(Counter(layer["operator"] for layer in layers).most_common()),
        passes=tuple(Ability(name, False, "", trials.FINISHED) for name in PASSES.names()),
        exports=exports,
        targets=targets,
    )


def _compiled(path: Path, folder: Path) -> tuple[Artifact | None, str]:
    from targets.microcontroller.compiler import compile_tflite

    try:
        made = compile_tflite(path, folder / "c")
    except UserError as error:
        return None, str(error).removeprefix(f"{path}: ")
    return made, f"`edgepress compile`; an arena of {made.details['arena_bytes']:,} bytes"


def _stored(path: Path) -> int:
    """Numbers in the tensors that more than one number is stored of, shapes and axes aside."""
    from targets.formats import tflite

    return sum(tensor.data.size for tensor in tflite.load(path).tensors if tensor.data is not None and tensor.quantization is not None)


def _port(tensor: Tensor) -> Port:
    """An input or output in the file's own layout."""
    (as_data,) = of_file([tensor])
    layout = "" if len(tensor.shape) != 4 else "NHWC" if as_data.channels_last or tensor.permutation else "NCHW"
    scale = f" x {tensor.scale:.6g}, zero point {tensor.zero_point}" if tensor.scale is not None else ""
    return Port(tensor.name, tensor.shape, f"{tensor.dtype}{scale}", layout)
