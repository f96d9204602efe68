"""EMBEDDING_LOOKUP."""

from targets.microcontroller.compiler import gathering
from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node


class EmbeddingLookup:
    """Any dtype; an index beyond the table takes its first or last row."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return gathering.lower(node, values=1, indices=0)
