"""The same C built for this machine: outputs of whole data sets in seconds, bit for bit those of the emulated core."""

import ctypes
from collections.abc import Iterable, Sequence

import numpy as np

from targets import jobs
from targets.base import Array, Artifact, Batch
from targets.errors import UserError
from targets.microcontroller import toolchain
from targets.microcontroller.sources import Sources, sample_bytes

ALIGNMENT = 16


class Native:
    """The network as a function of this process."""

    def __init__(self, artifact: Artifact, sources: Sources) -> None:
        """Builds an artifact's C; EdgepressError with the C compiler's words where that fails."""
        self._artifact = artifact
        paths = ("-I", str(sources.folder))
        library = toolchain.build(f"{sources.name}.so", toolchain.SHARED_LIBRARY, sources.files, sources.headers, paths)
        self._function = getattr(ctypes.CDLL(str(library)), f"{sources.name}_run")
        self._function.restype = None
        self._arena = _aligned(sources.arena_bytes)
        self._inputs = [_aligned(size) for size in sources.input_bytes]

    def __call__(self, batch: Batch) -> tuple[Array, ...]:
        """Outputs for one batch, [samples, …] each, in the file's own dtypes. UserError for samples that don't fit the file."""
        jobs.refuse_unfit(self._artifact, batch)
        samples = len(batch[0])
        results = [np.empty((samples, *tensor.shape[1:]), tensor.dtype) for tensor in self._artifact.outputs]
        buffers = [_aligned(sample_bytes(tensor)) for tensor in self._artifact.outputs]
        given, taken = _pointers(self._inputs), _pointers(buffers)
        for sample in range(samples):
            for buffer, values in zip(self._inputs, batch, strict=True):
                buffer[:] = np.ascontiguousarray(values[sample]).reshape(-1).view(np.uint8)
            self._function(given, taken, ctypes.c_void_p(self._arena.ctypes.data))
            for buffer, result in zip(buffers, results, strict=True):
                result[sample] = buffer.view(result.dtype).reshape(result.shape[1:])
        return tuple(results)


def run(artifact: Artifact, batches: Iterable[Batch]) -> tuple[Array, ...]:
    """Outputs of every sample for an artifact of format `c`, [samples, …] each, in the file's own dtypes.

    Raises UserError for samples that don't fit the file and where there is none, EdgepressError where the C can't be built.
    """
    network = Native(artifact, Sources.of(artifact))
    parts = [network(batch) for batch in batches]
    if not parts:
        raise UserError(f"{artifact.path}: there is no sample to run it on")
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _aligned(size: int) -> Array:
    """Bytes whose address is a multiple of ALIGNMENT."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _pointers(buffers: Sequence[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
