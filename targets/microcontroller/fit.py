"""Whether a network fits a board, known before anything is built: the compiler's operators, its arena and its constants."""

from targets.base import Artifact, Problem
from targets.boards import Board
from targets.errors import ExportError
from targets.microcontroller.compiled import as_c
from targets.microcontroller.cores import Core
from targets.microcontroller.sources import LayerCode, Sources

FORMATS = ("c", "tflite")
FLOAT_KERNELS = "edgepress_number_float32.h"
"""What a network with layers of float32 includes."""


def problems(artifact: Artifact, board: Board, max_ram_kb: float | None = None) -> list[Problem]:
    """What will not work, the first offender named; empty when the network fits, as far as can be known without building it.

    Code and stack are known after building only, so a network that fills the board to the last kilobyte may still be refused then.
    """
    if artifact.format not in FORMATS:
        return [Problem(f"{artifact.path}: {board.name} runs no .{artifact.format} files", "export c or tflite")]
    try:
        sources = Sources.of(as_c(artifact, max_ram_kb))
    except ExportError as error:
        reason, _, cure = str(error).rpartition("; ")
        return [Problem(reason or cure, cure if reason else "export it with edgepress's c exporter")]
    return [*_flash(artifact, sources, board), *_ram(artifact, sources, board)]


def cautions(sources: Sources, core: Core) -> list[str]:
    """What of a network works on a core, but slowly: float32 where it has no floating-point unit."""
    if core.has_fpu or FLOAT_KERNELS not in (header.name for header in sources.headers):
        return []
    return [f"float32 layers are computed by software: {core.title} has no floating-point unit; quantize the model in full"]


def _flash(artifact: Artifact, sources: Sources, board: Board) -> list[Problem]:
    available = board.flash_bytes
    if available is None or sources.constant_bytes <= available:
        return []
    largest = max(sources.layers, key=lambda layer: layer.flash_bytes or 0)
    reason = f"{artifact.path}: weights take {sources.constant_bytes:,} of {board.name}'s {available:,} bytes of flash"
    return [Problem(f"{reason}, most of them {_label(largest, largest.flash_bytes)}", "prune channels or choose a board with more flash")]


def _ram(artifact: Artifact, sources: Sources, board: Board) -> list[Problem]:
    available = board.ram_bytes
    if available is None or sources.buffer_bytes <= available:
        return []
    largest = max(sources.layers, key=lambda layer: layer.ram_bytes or 0)
    reason = f"{artifact.path}: arena, inputs and outputs take {sources.buffer_bytes:,} of {board.name}'s {available:,} bytes of RAM"
    cure = "prune the channels there, make the input smaller or choose a board with more RAM"
    return [Problem(f"{reason}, most of them {_label(largest, largest.ram_bytes)}", cure)]


def _label(layer: LayerCode, size: int | None) -> str:
    return f"in layer '{layer.name[:80]}' ({layer.operator}, {size:,} bytes)"
