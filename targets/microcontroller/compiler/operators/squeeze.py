"""SQUEEZE."""

from targets.microcontroller.compiler.layer import Layer
from targets.microcontroller.compiler.node import Node
from targets.microcontroller.compiler.views import view


class Squeeze:
    """Axes of one entry left out."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        return view(node)
