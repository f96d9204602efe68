"""LiteRT by its C interface (libLiteRt.so of ai-edge-litert 2.x), which unlike its Python one has the runtime's own profiler."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import ai_edge_litert
import numpy as np

CPU = 1
PRIMARY = ctypes.c_size_t(0)
"""The graph that is run, and its only signature."""
TENSOR_TYPE_BYTES = 1024
"""More than the structure that says a tensor's type and shape, which is only passed on."""
WRITE = 1
OPERATOR, OPERATOR_OF_DELEGATE = 2, 8
"""Kinds of events: an operator of the file, or one of a delegate that stands for some of them."""


class Event(ctypes.Structure):
    """What the profiler saw; `tag` says what ran, `number` which of them it was in its graph or delegate."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("number", ctypes.c_uint64),
        ("status", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class Library:
    """The library's functions. RuntimeError where one refuses."""

    def __init__(self) -> None:
        self.loaded = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))

    def call(self, name: str, *arguments: object) -> None:
        status = getattr(self.loaded, f"LiteRt{name}")(*arguments)
        if status:
            raise RuntimeError(f"LiteRt{name} gave status {status}")

    def made(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """What a function puts where its last argument points."""
        place = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(place))
        return place

    def count(self, name: str, *arguments: object) -> int:
        """The same for a number."""
        place = ctypes.c_size_t()
        self.call(name, *arguments, ctypes.byref(place))
        return place.value


class Model:
    """A .tflite file on LiteRT's CPU kernels, with random bytes as its inputs. RuntimeError where it can't be loaded."""

    def __init__(self, path: str, threads: int) -> None:
        self.library = library = Library()
        self.environment = library.made("CreateEnvironment", 0, None)
        self.model = library.made("CreateModelFromFile", self.environment, path.encode())
        options = library.made("CreateOptions")
        library.call("SetOptionsHardwareAccelerators", options, CPU)
        self.forget = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self.texts = {b"runtime_options_string": b"enable_profiling = true\n", b"xnnpack": f"num_threads = {threads}\n".encode()}
        for name, text in self.texts.items():
            library.call("AddOpaqueOptions", options, library.made("CreateOpaqueOptions", name, text, self.forget))
        self.compiled = library.made("CreateCompiledModel", self.environment, self.model, options)
        self.profiler = library.made("CompiledModelGetProfiler", self.compiled)
        graph = library.made("GetModelSubgraph", self.model, PRIMARY)
        self.inputs, self.outputs = (self.buffers(graph, kind) for kind in ("Input", "Output"))
        for buffer in self.inputs:
            self.fill(ctypes.c_void_p(buffer))

    def buffers(self, graph: ctypes.c_void_p, kind: str) -> "ctypes.Array[ctypes.c_void_p]":
        """A buffer for each of the graph's inputs or outputs."""
        library, made = self.library, []
        for number in map(ctypes.c_size_t, range(library.count(f"GetNumSubgraph{kind}s", graph))):
            told = ctypes.create_string_buffer(TENSOR_TYPE_BYTES)
            library.call("GetRankedTensorType", library.made(f"GetSubgraph{kind}", graph, number), told)
            wanted = library.made(f"GetCompiledModel{kind}BufferRequirements", self.compiled, PRIMARY, number)
            made.append(library.made("CreateManagedTensorBufferFromRequirements", self.environment, told, wanted))
        return (ctypes.c_void_p * len(made))(*made)

    def fill(self, buffer: ctypes.c_void_p) -> None:
        """Random bytes, the same each time, small enough to be ordinary numbers in any type."""
        size = self.library.count("GetTensorBufferPackedSize", buffer)
        place = ctypes.c_void_p()
        self.library.call("LockTensorBuffer", buffer, ctypes.byref(place), WRITE)
        ctypes.memmove(place, np.random.default_rng(0).integers(0, 63, size, np.uint8).tobytes(), size)
        self.library.call("UnlockTensorBuffer", buffer)

    def invoke(self) -> None:
        """One inference."""
        given, taken = ctypes.c_size_t(len(self.inputs)), ctypes.c_size_t(len(self.outputs))
        self.library.call("RunCompiledModel", self.compiled, PRIMARY, given, self.inputs, taken, self.outputs)

    def profiled(self, runs: int) -> Iterator[Event]:
        """What the profiler saw of so many inferences, in the order in which it began."""
        self.library.call("StartProfiler", self.profiler)
        for _ in range(runs):
            self.invoke()
        self.library.call("StopProfiler", self.profiler)
        number = ctypes.c_int()
        self.library.call("GetNumProfilerEvents", self.profiler, ctypes.byref(number))
        events = (Event * number.value)()
        self.library.call("GetProfilerEvents", self.profiler, number, events)
        yield from events
