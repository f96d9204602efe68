"""The arena within a limit: as it is where it fits, else with layers that run stripe by stripe."""

from collections.abc import Mapping

from targets.errors import ExportError
from targets.formats.tflite import Graph
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.memory import Memory, assign
from targets.microcontroller.compiler.streaming import candidates


def fit(graph: Graph, layers: tuple[Layer, ...], sizes: Mapping[int, int], limit: int | None) -> Memory:
    """Places all tensors, in at most `limit` bytes if there is one, with the fewest stripes, then layers, that do it.

    Raises ExportError with the least arena that was found and the layer that needs it.
    """
    whole = assign(graph, layers, sizes)
    if limit is None or whole.arena_bytes <= limit:
        return whole
    least = whole
    fullest = max(range(len(layers)), key=lambda step: whole.live[step])
    for stream in candidates(graph, layers, fullest):
        found = assign(graph, layers, sizes, stream, thorough=False)
        if found.arena_bytes > limit and found.arena_bytes < 1.1 * limit:
            found = assign(graph, layers, sizes, stream)
        if found.arena_bytes <= limit:
            return found
        least = min(least, found, key=lambda memory: memory.arena_bytes)
    step = max(range(len(layers)), key=lambda index: least.live[index])
    name = graph.tensors[graph.operators[step].outputs[0]].name[:80]
    words = f"an arena of {least.arena_bytes:,} bytes is the least, for layer {name!r} ({graph.operators[step].name})"
    raise ExportError(f"{graph.path}: {words}; max_ram_kb must be at least {-(-least.arena_bytes // 1024)}, or prune the network")
