"""SHAPE."""

import numpy as np

from targets.microcontroller.compiler.layer import Constant, Layer
from targets.microcontroller.compiler.node import Node


class Shape:
    """The input's shape, which is known; what the file computes from it is computed on the device."""

    def __call__(self, node: Node) -> Layer:
        """See `Lowering`."""
        output = node.output()
        node.require_dtype(output, "int32", "int64")
        sizes = np.array(node.input(0).shape, output.dtype)
        if output.elements != sizes.size:
            raise node.refuse(f"it makes {list(output.shape)} of {sizes.size} axes", "export the model again")
        unused = "(void)x0;\n    " if node.computed() else ""
        return Layer(body=f"{unused}EP_COPY(y0, sizes, {sizes.nbytes});", constants=(Constant("sizes", sizes),))
