"""Functions that are called between layers: `keras.ops` of Keras 3, and what Keras 2 keeps of TensorFlow's functions and operators."""

from collections.abc import Mapping
from typing import Any

from compress.reading.keras.config import Tree
from compress.reading.keras.layer import Layer, Made
from compress.reading.keras.operations import arithmetic, reductions, shape
from compress.reading.keras.operations.call import Calling, Function
from compress.reading.keras.operations.tensorflow import renamed

OPERATIONS: dict[str, Function] = {**arithmetic.OPERATIONS, **reductions.OPERATIONS, **shape.OPERATIONS}


def operation(layer: Layer, args: list[Tree], kwargs: Mapping[str, Any]) -> Made:
    """The module of a function's call. UserError naming it where it isn't known."""
    calling = Calling(layer, layer.kind, args, {**{key: each for key, each in layer.config.items() if key != "name"}, **kwargs})
    if layer.kind in ("TFOpLambda", "SlicingOpLambda"):
        calling = renamed(layer, args, kwargs)
    if calling.kind not in OPERATIONS:
        raise layer.refuse(f"the function '{calling.kind}' can't be read; put a layer in its place")
    return OPERATIONS[calling.kind](calling)
