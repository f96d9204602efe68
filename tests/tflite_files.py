"""Builds small .tflite files, operator by operator; runs them in LiteRT's reference kernels and as the C compiled from them."""

import ctypes
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from targets.cache import cache_folder
from targets.formats import nibbles
from targets.microcontroller.compiler import compile_tflite

TYPES = {name: getattr(schema.TensorType, name.upper()) for name in ("float32", "int8", "int16", "int32", "int64", "uint8", "bool", "int4")}
VERSIONS = {"BROADCAST_TO": 2}
"""Operators whose first version LiteRT no longer runs."""
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@dataclass
class Builder:
    """A model under construction. Tensors and operators are added in order; `write` gives the file."""

    tensors: list = field(default_factory=list)
    buffers: list = field(default_factory=lambda: [schema.BufferT()])
    operators: list = field(default_factory=list)
    codes: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)

    def tensor(self, shape, dtype="int8", scale=None, zero_point=0, data=None, name=None, axis=0):
        """Adds a tensor and returns its index. `scale` may be a list, one a channel along `axis`."""
        made = schema.TensorT()
        made.name = f"tensor_{len(self.tensors)}" if name is None else name
        made.shape, made.type, made.buffer = list(shape), TYPES[dtype], 0
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.atleast_1d(np.float32(scale))
            made.quantization.zeroPoint = np.broadcast_to(np.int64(zero_point), made.quantization.scale.shape)
            made.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            stored = nibbles.pack(data) if dtype == "int4" else np.ascontiguousarray(data, dtype)
            buffer.data = np.frombuffer(stored.tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, values, dtype="int32", **quantization):
        """Adds a tensor with data."""
        array = np.asarray(values, "int8" if dtype == "int4" else dtype)
        return self.tensor(array.shape, dtype, data=array, **quantization)

    def input(self, shape, scale=0.05, zero_point=3, dtype="int8", name=None):
        """Adds an input of the model."""
        self.inputs.append(self.tensor(shape, dtype, scale, zero_point, name=name))
        return self.inputs[-1]

    def operator(self, name, inputs, outputs, options=None, **values):
        """Adds an operator; `options` names the schema's table, `values` its fields."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), VERSIONS.get(name, 1)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes), list(inputs), list(outputs)
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in values.items():
                assert hasattr(made.builtinOptions, key), key
                setattr(made.builtinOptions, key, value)
        self.codes.append(code)
        self.operators.append(made)

    def write(self, path: Path, outputs=None) -> Path:
        """Writes the file; the last operator's outputs are the model's unless others are named."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs = self.tensors, self.operators, self.inputs
        graph.outputs = list(outputs or self.outputs or self.operators[-1].outputs)
        model = schema.ModelT()
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, self.codes, [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def merged(builders: list[Builder]) -> Builder:
    """All networks side by side in one: the inputs of each, one after the other, and the outputs of each."""
    whole = Builder()
    for builder in builders:
        tensors, buffers, codes = len(whole.tensors), len(whole.buffers), len(whole.codes)
        for tensor in builder.tensors:
            tensor.buffer += buffers - 1 if tensor.buffer else 0
        for operator in builder.operators:
            operator.opcodeIndex += codes
            operator.inputs = [index + tensors for index in operator.inputs]
            operator.outputs = [index + tensors for index in operator.outputs]
        whole.tensors += builder.tensors
        whole.buffers += builder.buffers[1:]
        whole.codes += builder.codes
        whole.operators += builder.operators
        whole.inputs += [index + tensors for index in builder.inputs]
        whole.outputs += builder.operators[-1].outputs
    return whole


def reference(path: Path, samples: list[list[np.ndarray]], kernels=OpResolverType.BUILTIN_REF) -> list[list[np.ndarray]]:
    """The outputs for each sample (a list of inputs) of LiteRT's reference kernels, or of others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    results = []
    for sample in samples:
        for detail, values in zip(interpreter.get_input_details(), sample, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        results.append([interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()])
    return results


def zig(*arguments: object) -> None:
    """Runs zig's C compiler; its messages are the failure."""
    cache = str(cache_folder("zig"))
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    command = [sys.executable, "-m", "ziglang", "cc", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Compiled:
    """One .tflite compiled to C, in a library of this machine."""

    def __init__(self, artifact, library):
        self.artifact = artifact
        self.function = getattr(library, f"{artifact.details['name']}_run")

    def run(self, samples: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        """The outputs for each sample; fails where memory outside of arena and outputs is written, or an input."""
        return [self._run(sample) for sample in samples]

    def _run(self, sample):
        given = [np.ascontiguousarray(values) for values in sample]
        kept = [values.copy() for values in given]
        outputs = [np.zeros(tensor.shape, tensor.dtype) for tensor in self.artifact.outputs]
        size = self.artifact.details["arena_bytes"]
        memory = np.full(size + 64, 0xA5, np.uint8)
        start = 16 + -memory.ctypes.data % 16
        self.function(_pointers(given), _pointers(outputs), ctypes.c_void_p(memory.ctypes.data + start))
        assert np.all(memory[:start] == 0xA5)
        assert np.all(memory[start + size :] == 0xA5)
        assert all(np.array_equal(before, after) for before, after in zip(kept, given, strict=True))
        return outputs


def compiled(paths: list[Path], folder: Path) -> list[Compiled]:
    """All files as C in one library: strict warnings, undefined behaviour traps. One call of the compiler is much faster than many."""
    artifacts = [compile_tflite(path, folder / f"model_{number}", f"model_{number}") for number, path in enumerate(paths)]
    everything = folder / "everything.c"
    names = [artifact.path / source for artifact in artifacts for source in artifact.details["sources"]]
    everything.write_text("".join(f'#include "{name}"\n' for name in names))
    library = folder / "everything.so"
    zig(*STRICT, "-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined", "-shared", "-fPIC", "-o", library, everything)
    loaded = ctypes.CDLL(str(library))
    return [Compiled(artifact, loaded) for artifact in artifacts]


def _pointers(arrays):
    return (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])


def random_samples(path: Path, count: int = 3, seed: int = 0) -> list[list[np.ndarray]]:
    """Samples over the whole range of each input's dtype."""
    from targets.formats import tflite

    generator = np.random.default_rng(seed)
    inputs = tflite.read(path).inputs
    return [[_random(generator, tensor) for tensor in inputs] for _ in range(count)]


def _random(generator, tensor):
    if tensor.dtype == "float32":
        return generator.normal(0, 2, tensor.shape).astype(np.float32)
    if tensor.dtype == "bool":
        return generator.integers(0, 2, tensor.shape).astype(bool)
    limits = np.iinfo(tensor.dtype)
    return generator.integers(limits.min, limits.max + 1, tensor.shape).astype(tensor.dtype)


def assert_exact(files: dict[str, Path], folder: Path, count: int = 3) -> list[Compiled]:
    """Each file's C gives the reference kernels' bytes."""
    results = compiled(list(files.values()), folder)
    for (label, path), made in zip(files.items(), results, strict=True):
        samples = random_samples(path, count)
        for expected, got in zip(reference(path, samples), made.run(samples), strict=True):
            for want, have in zip(expected, got, strict=True):
                assert want.dtype == have.dtype, label
                np.testing.assert_array_equal(have, want, err_msg=label)
    return results
