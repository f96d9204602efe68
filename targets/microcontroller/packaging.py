"""Makes a folder of compiled C ready to drop in: CMake, Arduino and Zephyr files, a sample that the firmware checks itself on, an example.

Nothing that `model.json` lists changes, so the folder stays the same artifact. Sources stay where they are for every build: an Arduino
library may be flat, and CMake and Zephyr name files where they lie.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from targets.base import Array, Artifact, Batch, Tensor
from targets.microcontroller.compiler.text import COLUMNS
from targets.microcontroller.native import Native
from targets.microcontroller.sources import Sources

TEMPLATES = Path(__file__).parent / "drop_in"
FILES = {
    "edgepress_network.h": "edgepress_network.h",
    "edgepress_serial.h": "edgepress_serial.h",
    "firmware.h": "@name@_firmware.h",
    "firmware.c": "@name@_firmware.c",
    "main.c": "examples/main.c",
    "sketch.txt": "examples/@name@/@name@.ino",
    "CMakeLists.txt": "CMakeLists.txt",
    "library.txt": "library.properties",
    "zephyr_module.txt": "zephyr/module.yml",
    "zephyr_cmake.txt": "zephyr/CMakeLists.txt",
    "zephyr_kconfig.txt": "zephyr/Kconfig",
    "readme.txt": "README.md",
}
"""What each template becomes."""

HASH_BYTES = 16


def network_hash(artifact: Artifact) -> bytes:
    """What a firmware tells its network by: the first bytes of the hash over its sources."""
    return bytes.fromhex(artifact.sha256)[:HASH_BYTES]


def package(artifact: Artifact) -> None:
    """Adds to a folder that `compile_tflite` wrote what the module's docstring lists; the same C gives the same files.

    The sample's output is what this very C computes on this machine. Raises EdgepressError where it can't be built here.
    """
    values = _values(artifact, Sources.of(artifact))
    for template, made in FILES.items():
        path = artifact.path / _filled(made, values)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled((TEMPLATES / template).read_text(encoding="ascii"), values), encoding="ascii")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda match: values[match.group(1)], text)


def _values(artifact: Artifact, sources: Sources) -> dict[str, str]:
    sample = _sample(artifact.inputs)
    tests = {"input": sample, "output": Native(artifact, sources)(sample)}
    buffers = [(f"{kind}_{i}", values.tobytes()) for kind, arrays in tests.items() for i, values in enumerate(arrays)]
    names = [file.name for file in sources.files]
    return {
        "name": sources.name,
        "NAME": sources.name.upper(),
        "arena_bytes": str(max(sources.arena_bytes, 16)),
        "buffers": "\n".join(f"EP_BUFFER({name}, {len(content)});" for name, content in buffers),
        "vectors": "\n\n".join(f"static const uint8_t {name}_test[{len(content)}] = {_array(content)};" for name, content in buffers),
        "inputs": _tensors(buffers, "input"),
        "outputs": _tensors(buffers, "output"),
        "given": ", ".join(name for name, _ in buffers if name.startswith("input")),
        "made": ", ".join(name for name, _ in buffers if name.startswith("output")),
        "input_count": str(len(artifact.inputs)),
        "output_count": str(len(artifact.outputs)),
        "hash": ", ".join(map(str, network_hash(artifact))),
        "sources": " ".join(names),
        "files": " and ".join(f"`{name}`" for name in names),
        "tensors": "\n".join(_rows(artifact)),
    }


def _sample(inputs: Sequence[Tensor]) -> Batch:
    """One sample of random numbers, the same each time."""
    random = np.random.default_rng(0)
    return tuple(_random(random, tensor) for tensor in inputs)


def _random(random: np.random.Generator, tensor: Tensor) -> Array:
    shape, kind = (1, *tensor.shape[1:]), np.dtype(tensor.dtype)
    if kind.kind == "f":
        return random.standard_normal(shape).astype(kind)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    limits = np.iinfo(kind)
    return random.integers(limits.min, limits.max, shape, kind, endpoint=True)


def _array(content: bytes) -> str:
    rows = [", ".join(map(str, content[start : start + COLUMNS])) for start in range(0, len(content), COLUMNS)]
    return "{\n    " + ",\n    ".join(rows) + ",\n}"


def _tensors(buffers: Iterable[tuple[str, bytes]], kind: str) -> str:
    return ", ".join(f"{{{name}, {name}_test, {len(content)}}}" for name, content in buffers if name.startswith(kind))


def _rows(artifact: Artifact) -> Iterable[str]:
    for kind, tensors in (("inputs", artifact.inputs), ("outputs", artifact.outputs)):
        for i, tensor in enumerate(tensors):
            shape = " x ".join(map(str, tensor.shape))
            scale, zero = ("-", "-") if tensor.scale is None else (f"{tensor.scale:.9g}", str(tensor.zero_point))
            yield f"| {kind}[{i}] | {shape} | {tensor.dtype} | {scale} | {zero} |"
