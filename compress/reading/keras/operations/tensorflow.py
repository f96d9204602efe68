"""What Keras 2 keeps of TensorFlow's functions (`TFOpLambda`, `SlicingOpLambda`), by the names that keras.ops has for them."""

from collections.abc import Mapping
from typing import Any

from compress.reading.keras.config import Tree
from compress.reading.keras.layer import Layer
from compress.reading.keras.operations.call import Calling

SAID: dict[str, str] = {
    "Abs": "math.abs abs",
    "Add": "__operators__.add math.add add math.add_v2 nn.bias_add",
    "Cast": "cast",
    "Clip": "clip_by_value",
    "Concatenate": "concat",
    "Elu": "nn.elu",
    "Erf": "math.erf",
    "Exp": "math.exp exp",
    "ExpandDims": "expand_dims",
    "Gelu": "nn.gelu",
    "GetItem": "__operators__.getitem",
    "Greater": "math.greater",
    "Identity": "identity",
    "LeakyRelu": "nn.leaky_relu",
    "Log": "math.log",
    "LogSoftmax": "nn.log_softmax",
    "Matmul": "linalg.matmul matmul",
    "Max": "math.reduce_max reduce_max",
    "Maximum": "math.maximum maximum",
    "Mean": "math.reduce_mean reduce_mean",
    "Min": "math.reduce_min reduce_min",
    "Minimum": "math.minimum minimum",
    "Multiply": "math.multiply multiply",
    "Negative": "math.negative",
    "Normalize": "math.l2_normalize linalg.l2_normalize",
    "Pad": "pad",
    "Power": "math.pow pow",
    "Reciprocal": "math.reciprocal",
    "Relu": "nn.relu compat.v1.nn.relu",
    "Relu6": "nn.relu6",
    "Repeat": "repeat",
    "Reshape": "reshape",
    "Resize": "image.resize",
    "Rsqrt": "math.rsqrt",
    "Selu": "nn.selu",
    "Sigmoid": "math.sigmoid nn.sigmoid sigmoid",
    "Silu": "nn.silu nn.swish",
    "Softmax": "nn.softmax",
    "Softplus": "math.softplus nn.softplus",
    "Split": "split",
    "Sqrt": "math.sqrt sqrt",
    "Square": "math.square square",
    "SquaredDifference": "math.squared_difference",
    "Squeeze": "squeeze compat.v1.squeeze",
    "Stack": "stack",
    "StopGradient": "stop_gradient",
    "Subtract": "math.subtract subtract",
    "Sum": "math.reduce_sum reduce_sum",
    "Tanh": "math.tanh nn.tanh tanh",
    "Tile": "tile",
    "Transpose": "transpose compat.v1.transpose",
    "TrueDivide": "math.truediv math.divide truediv divide",
    "Where": "where",
}
"""Names of keras.ops, and TensorFlow's for each."""
NAMES = {name: kind for kind, names in SAID.items() for name in names.split()}
OPTIONS = {
    "y": "x2",
    "b": "x2",
    "value": "x2",
    "clip_value_min": "x_min",
    "clip_value_max": "x_max",
    "shape": "newshape",
    "perm": "axes",
    "paddings": "pad_width",
    "multiples": "repeats",
    "num_or_size_splits": "indices_or_sections",
    "slice_spec": "key",
    "exponent": "x2",
    "keep_dims": "keepdims",
}
"""TensorFlow's names of options, in keras.ops."""


def renamed(layer: Layer, args: list[Tree], kwargs: Mapping[str, Any]) -> Calling:
    """The call as keras.ops would say it; a function without such a name keeps TensorFlow's."""
    function = str(layer.get("function"))
    options = {OPTIONS.get(key, key): each for key, each in kwargs.items() if key != "name"}
    kind = NAMES.get(function, function)
    if kind == "Split" and isinstance(options.get("indices_or_sections"), list):
        lengths = options["indices_or_sections"]
        options["indices_or_sections"] = [sum(lengths[: end + 1]) for end in range(len(lengths) - 1)]
    if kind == "Split":
        options.setdefault("axis", 0)
    return Calling(layer, kind, args, options)
