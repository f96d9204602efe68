"""How long a TorchScript network is with every call written out, told without writing it out."""

from collections.abc import Iterator
from typing import Any

from targets.errors import UserError

MOST_NODES = 200_000
"""Of the graph with every function and method written out where it is called: what the largest networks take, several times over."""
DEEPEST = 200
"""Of calls within calls."""


def check_calls(unit: Any, forward: str) -> None:
    """UserError where the function `forward` of a compilation unit grows beyond measure: few functions that call each other can."""
    sizes: dict[str, int] = {}

    def size(name: str, depth: int) -> int:
        if depth > DEEPEST:
            raise UserError(f"calls lie in each other more than {DEEPEST} deep; no network for the edge has so many")
        function = unit.find_function(name)
        if function is None:
            return 0
        if name not in sizes:
            sizes[name] = sum(1 + (size(callee, depth + 1) if callee else 0) for callee in _callees(function.graph))
        if sizes[name] > MOST_NODES:
            raise UserError(
                f"function '{function.name}' has more than {MOST_NODES:,} operators, calls written out; no network for the edge has so many"
            )
        return sizes[name]

    size(forward, 1)


def _callees(block: Any) -> Iterator[str]:
    """For each node of a graph or block, the full name of what it calls; nothing for an operator."""
    for node in block.nodes():
        for inner in node.blocks():
            yield from _callees(inner)
        called = next(node.inputs()).type().annotation_str if node.kind() in {"prim::CallFunction", "prim::CallMethod"} else ""
        yield f"{called}.{node.s('name')}" if node.kind() == "prim::CallMethod" else called
