"""Networks of one operator of int16 or float32 tensors, and of int8 with weights of 4 bits."""

import numpy as np
from compiler_networks import extent
from tflite_files import Builder

RANDOM = np.random.default_rng(0)
SCALES = {"int16": 0.0003, "float32": None, "int8": 0.05}
BIAS = {"int16": "int64", "float32": "float32", "int8": "int32"}
WEIGHTS = {"int16": "int8", "float32": "float32", "int8": "int4"}


def tensor(builder, dtype, shape, factor=1.0):
    """A computed tensor; its scale is the type's times `factor`."""
    scale = SCALES[dtype]
    return builder.tensor(shape, dtype, None if scale is None else scale * factor, 5 if dtype == "int8" else 0)


def given(builder, dtype, shape, factor=1.0):
    builder.inputs.append(tensor(builder, dtype, shape, factor))
    return builder.inputs[-1]


def weights(builder, dtype, shape, channels, axis, **more):
    """Weights with their bias: tensors. `more`: bias (False, or its dtype), scale of the weights, per_channel."""
    kind = WEIGHTS[dtype]
    values = RANDOM.normal(0, 0.3, shape) if kind == "float32" else RANDOM.integers(*((-7, 8) if kind == "int4" else (-127, 128)), shape)
    scale = more.get("scale", 0.01) * (RANDOM.uniform(0.5, 1, channels) if more.get("per_channel", True) else 1)
    stored = builder.constant(values, kind, **({} if dtype == "float32" else {"scale": scale, "axis": axis}))
    if more.get("bias") is False:
        return [stored]
    numbers = RANDOM.normal(0, 1, channels) if dtype == "float32" else RANDOM.integers(-3000, 3000, channels) * more.get("bias_factor", 1)
    bias = builder.constant(numbers, more.get("bias") or BIAS[dtype], **({} if dtype == "float32" else {"scale": scale * SCALES[dtype]}))
    return [stored, bias]


def convolution(dtype, shape=(9, 7, 4), channels=5, kernel=(3, 3), stride=(1, 1), dilation=(1, 1), padding=0, activation=0, **more):
    """`more`: depthwise, groups, factor of the output's scale, and what `weights` takes."""
    builder, depthwise = Builder(), more.get("depthwise", False)
    channels *= shape[2] if depthwise else 1
    source = given(builder, dtype, (1, *shape))
    form, axis = ((1, *kernel, channels), 3) if depthwise else ((channels, *kernel, shape[2] // more.get("groups", 1)), 0)
    constants = weights(builder, dtype, form, channels, axis, **more)
    rows, columns = (extent(shape[side], kernel[side], stride[side], dilation[side], padding) for side in (0, 1))
    output = tensor(builder, dtype, (1, rows, columns, channels), more.get("factor", 10))
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": activation}
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    if depthwise:
        options["depthMultiplier"] = channels // shape[2]
    elif more.get("bias") == "int32" and dtype == "int16":
        options["quantizedBiasType"] = 2
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    builder.operator(name, [source, *constants], [output], kind, **options)
    return builder


def dense(dtype, inputs=33, outputs=7, rows=1, activation=0, **more):
    builder = Builder()
    source = given(builder, dtype, (rows, inputs))
    constants = weights(builder, dtype, (outputs, inputs), outputs, 0, **more)
    output = tensor(builder, dtype, (rows, outputs), more.get("factor", 10))
    builder.operator("FULLY_CONNECTED", [source, *constants], [output], "FullyConnectedOptions", fusedActivationFunction=activation)
    return builder


def pooling(dtype, name, padding, kernel=(3, 2), activation=0):
    builder, shape = Builder(), (9, 7, 5)
    source = given(builder, dtype, (1, *shape))
    rows, columns = (extent(size, taps, 2, 1, padding) for size, taps in zip(shape, kernel, strict=False))
    options = {"padding": padding, "strideH": 2, "strideW": 2, "filterHeight": kernel[0], "filterWidth": kernel[1]}
    output = tensor(builder, dtype, (1, rows, columns, shape[2]))
    builder.operator(name, [source], [output], "Pool2DOptions", fusedActivationFunction=activation, **options)
    return builder


def binary(dtype, name, second=(1, 4, 5, 6), activation=0, factors=(1, 0.7, 1.3), constant=False):
    builder, first = Builder(), (1, 4, 5, 6)
    operands = [given(builder, dtype, first, factors[0])]
    if constant:
        numbers = RANDOM.normal(0, 1, second) if dtype == "float32" else RANDOM.integers(-30000, 30000, second)
        operands.append(builder.constant(numbers, dtype, **({} if dtype == "float32" else {"scale": SCALES[dtype] * factors[1]})))
    else:
        operands.append(given(builder, dtype, second, factors[1]))
    output = tensor(builder, dtype, np.broadcast_shapes(first, second), factors[2])
    options = {"fusedActivationFunction": activation} if name in {"ADD", "SUB", "MUL", "DIV"} else {}
    kind = {"PRELU": None, "SQUARED_DIFFERENCE": "SquaredDifferenceOptions"}.get(name, "MaximumMinimumOptions")
    builder.operator(name, operands, [output], f"{name.capitalize()}Options" if options else kind, **options)
    return builder


def unary(dtype, name, options=None, source=None, made=None, shape=(1, 4, 8, 8), **values):
    """`source` and `made` are scales."""
    builder = Builder()
    builder.inputs.append(builder.tensor(shape, dtype, source if dtype == "int16" else None))
    builder.operator(name, [0], [builder.tensor(shape, dtype, made if dtype == "int16" else None)], options, **values)
    return builder


def reduction(dtype, name, axes, keep=False, factor=0.8):
    builder, shape = Builder(), (1, 4, 5, 6)
    source = given(builder, dtype, shape)
    reduced = {axis % len(shape) for axis in axes}
    made = [1 if axis in reduced else size for axis, size in enumerate(shape) if keep or axis not in reduced]
    output = tensor(builder, dtype, made, factor)
    builder.operator(name, [source, builder.constant(axes)], [output], "ReducerOptions", keepDims=keep)
    return builder


def converted(name, source, made):
    """From (dtype, scale, zero point) to another."""
    builder = Builder()
    builder.inputs.append(builder.tensor((2, 50), *source))
    builder.operator(name, [0], [builder.tensor((2, 50), *made)])
    return builder


def moved(dtype, name, made, constants=(), options=None, **values):
    builder, shape = Builder(), (1, 4, 5, 6)
    source = given(builder, dtype, shape)
    more = [builder.constant(entry) for entry in constants]
    builder.operator(name, [source, *more], [tensor(builder, dtype, made)], options, **values)
    return builder


def joined(dtype, name, count, made, options, **values):
    builder = Builder()
    sources = [given(builder, dtype, (1, 4, 2)) for _ in range(count)]
    builder.operator(name, sources, [tensor(builder, dtype, made)], options, **values)
    return builder


def convolutions(dtype):
    """Every way through the kernels of convolutions and fully connected layers: label and builder."""
    for depthwise in (False, True):
        word = "depthwise" if depthwise else "conv"
        for label, options in {
            "plain": {},
            "valid": {"padding": 1, "activation": 1},
            "stride": {"stride": (2, 2), "activation": 3},
            "stride apart": {"stride": (1, 3), "kernel": (2, 5)},
            "dilated": {"dilation": (2, 3), "shape": (11, 13, 4)},
            "per tensor": {"per_channel": False},
            "one channel": {"shape": (6, 6, 1), "channels": 8},
            "odd": {"shape": (5, 5, 3), "channels": 3},
            **({"no bias": {"bias": False}} if depthwise else {}),
            "whole": {"shape": (7, 6, 8), "kernel": (7, 6), "padding": 1},
        }.items():
            yield f"{word} {label}", convolution(dtype, depthwise=depthwise, **options)
    yield "tall", convolution(dtype, depthwise=True, shape=(9, 1, 4), kernel=(3, 1), channels=1)
    for channels in (1, 2, 3, 8):
        yield f"pointwise {channels}", convolution(dtype, shape=(3, 5, 8), kernel=(1, 1), channels=channels)
    yield "groups", convolution(dtype, shape=(5, 6, 8), channels=4, groups=2, stride=(2, 1))
    yield "odd groups", convolution(dtype, shape=(5, 6, 9), channels=9, groups=3, padding=1)
    yield "deep", convolution(dtype, shape=(3, 3, 80), channels=4, factor=40)
    for inputs, rows in ((33, 1), (32, 1), (32, 3), (33, 4)):
        yield f"dense {inputs} {rows}", dense(dtype, inputs, rows=rows, activation=int(rows > 1))
    yield "dense no bias", dense(dtype, bias=False, per_channel=False)


def others(dtype):
    """Operators without weights that int16 and float32 share."""
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        yield f"{name} same", pooling(dtype, name, 0)
        yield f"{name} valid", pooling(dtype, name, 1, activation=1)
        yield f"{name} whole", pooling(dtype, name, 1, kernel=(9, 7))
    for name in ("ADD", "SUB", "MUL"):
        for second in ((1, 4, 5, 6), (6,), (1, 4, 1, 1)):
            yield f"{name} {second}", binary(dtype, name, second, activation=len(second) // 4)
        yield f"{name} constant", binary(dtype, name, (6,), constant=True)
    for name in ("MAXIMUM", "MINIMUM"):
        yield name, binary(dtype, name, (6,), factors=(1, 1, 1))
    for axes, keep in (([1, 2], True), ([3], False), ([0, 1, 2, 3], False)):
        yield f"mean {axes}", reduction(dtype, "MEAN", axes, keep)
    for name in ("RELU", "RELU6", *(("RELU_N1_TO_1",) if dtype == "float32" else ())):
        yield name, unary(dtype, name, source=0.001, made=0.0007)
    for alpha in (0.1, -0.3, 1.5):
        yield f"leaky {alpha}", unary(dtype, "LEAKY_RELU", "LeakyReluOptions", 0.001, 0.0007, alpha=alpha)
    for scale in (0.0004, 2.0**-12, 2.0**-11, 0.01):
        yield f"logistic {scale}", unary(dtype, "LOGISTIC", source=scale, made=2.0**-15)
        yield f"tanh {scale}", unary(dtype, "TANH", source=scale, made=2.0**-15)
        yield f"softmax {scale}", unary(dtype, "SOFTMAX", "SoftmaxOptions", scale, 2.0**-15, beta=0.7)
    yield "one logit", unary(dtype, "SOFTMAX", "SoftmaxOptions", 0.001, 2.0**-15, (3, 1), beta=1.0)
    yield "reshape", moved(dtype, "RESHAPE", (1, 20, 6), [[1, 20, 6]])
    yield "transpose", moved(dtype, "TRANSPOSE", (1, 6, 4, 5), [[0, 3, 1, 2]])
    yield "pad", moved(dtype, "PAD", (1, 7, 5, 9), [[[0, 0], [1, 2], [0, 0], [3, 0]]])
    yield "slice", moved(dtype, "SLICE", (1, 2, 4, 3), [[0, 1, 1, 2], [1, 2, -1, 3]])
    yield "strided slice", moved(dtype, "STRIDED_SLICE", (1, 2, 5, 6), [[0, 0, 0, 0], [1, 4, 5, 6], [1, 2, 1, 1]], "StridedSliceOptions")
    yield "larger", moved(dtype, "RESIZE_NEAREST_NEIGHBOR", (1, 7, 12, 6), [[7, 12]], "ResizeNearestNeighborOptions")
    yield "concatenation", joined(dtype, "CONCATENATION", 3, (1, 4, 6), "ConcatenationOptions", axis=2)
    yield "pack", joined(dtype, "PACK", 2, (1, 2, 4, 2), "PackOptions", axis=1, valuesCount=2)


def everything():
    """All networks of all three."""
    yield from convolutions("int8")
    for dtype in ("int16", "float32"):
        yield from convolutions(dtype)
        yield from others(dtype)
