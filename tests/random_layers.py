"""The operators of random networks that compute: `STEPS`, see random_networks.py."""

import numpy as np
from compiler_networks import extent
from random_networks import MOST, Known, Network, Steps

STEPS = Steps()


def small(tensor: Known) -> bool:
    return tensor.size <= MOST // 4


@STEPS.of("LOGISTIC", "TANH")
def squashed(net: Network, name):
    given = net.pick()
    return net.add(name, [given], given.shape, quantization=(1 / 256, -128) if name == "LOGISTIC" else (1 / 128, 0))


@STEPS.of("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "QUANTIZE", "ABS", "LEAKY_RELU", "GELU", "HARD_SWISH", "EXP")
def table(net: Network, name):
    given = net.pick(suits=lambda tensor: name != "EXP" or max(tensor.limits) < 4)
    if given is None:
        return None
    low, high = given.limits
    quantization = {
        "RELU": (0, high), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1), "RELU_0_TO_1": (0, 1), "EXP": (0, np.exp(high)),
        "ABS": (0, max(-low, high)),
    }.get(name, (low, high))  # fmt: skip
    options = {
        "LEAKY_RELU": ("LeakyReluOptions", {"alpha": net.random.uniform(-1, 1.5)}),
        "GELU": ("GeluOptions", {"approximate": net.chance(0.5)}),
        "HARD_SWISH": ("HardSwishOptions", {}),
    }.get(name, (None, {}))
    return net.add(name, [given], given.shape, options[0], net.span(*quantization), **options[1])


@STEPS.of("LOG", "RSQRT", "NEG", "L2_NORMALIZATION", "LOG_SOFTMAX", "SOFTMAX")
def normalized(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    if name in {"LOG", "RSQRT"}:
        given = net.requantized(given, (net.random.uniform(0.01, 0.1), -128))
    if name == "NEG":
        given = net.requantized(given, (net.random.uniform(0.01, 0.1), 0))
    quantization = {
        "LOG": net.span(-4, 3), "RSQRT": net.span(0, 8), "NEG": given.quantization, "L2_NORMALIZATION": (1 / 128, 0),
        "LOG_SOFTMAX": (1 / 16, 127), "SOFTMAX": (1 / 256, -128),
    }[name]  # fmt: skip
    options = ("SoftmaxOptions", {"beta": net.random.uniform(0.3, 2)}) if name == "SOFTMAX" else (None, {})
    return net.add(name, [given], given.shape, options[0], quantization, **options[1])


def partner(net: Network, given: Known, quantization=None):
    """Another operand: a tensor of a shape that fits, or a constant; with its real limits."""
    fits = lambda tensor: quantization in {None, tensor.quantization} and tensor.shape in ends(given.shape)  # noqa: E731  used twice
    other = net.pick(suits=fits)
    if other is not None and net.chance(0.7):
        return other, other.limits
    shape = net.one(ends(given.shape))
    chosen = quantization or net.span(-net.random.uniform(0, 2), net.random.uniform(0.1, 2))
    return net.constant(net.integers(*shape), "int8", chosen), Known(0, shape, "int8", *chosen).limits


def ends(shape):
    """Shapes that broadcast to this one."""
    return [shape, shape[-1:], tuple(1 for _ in shape), (*shape[:-1], 1), (1, *shape[1:])] if shape else [shape]


@STEPS.of("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "PRELU")
def binary(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    other, limits = partner(net, given)
    (low, high), (least, most) = given.limits, limits
    products = [low * least, low * most, high * least, high * most]
    quantization = {
        "ADD": (low + least, high + most), "SUB": (low - most, high - least), "MUL": (min(products), max(products)), "PRELU": (low, high),
        "SQUARED_DIFFERENCE": (0, max(high - least, most - low) ** 2),
    }[name]  # fmt: skip
    if name in {"ADD", "SUB", "MUL"}:
        options = {"fusedActivationFunction": net.one([0, 0, 1, 3])}
        return net.add(name, [given, other], given.shape, f"{name.capitalize()}Options", net.span(*quantization), **options)
    return net.add(name, [given, other], given.shape, quantization=net.span(*quantization))


@STEPS.of("DIV")
def divided(net: Network, name):
    """A constant through what is far from 0: the reference kernel is wrong elsewhere."""
    given = net.requantized(net.pick(1, 2, 3, 4), (net.random.uniform(0.01, 0.05), net.number(-128, 50)))
    least = net.constant([given.zero_point + 20], "int8", given.quantization)
    given = net.add("MAXIMUM", [given, least], given.shape, "MaximumMinimumOptions", given.quantization)
    dividend = net.constant(net.random.integers(40, 128, given.shape[-1:]), "int8", (0.02, 0))
    return net.add(name, [dividend, given], given.shape, "DivOptions", net.span(0, 2.5 / 20 / given.scale))


@STEPS.of("MAXIMUM", "MINIMUM")
def larger(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    other, _ = partner(net, given, given.quantization)
    return net.add(name, [given, other], given.shape, "MaximumMinimumOptions", given.quantization)


@STEPS.of("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
def compared(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    other, _ = partner(net, given)
    return net.add(name, [given, other], given.shape, dtype="bool")


def truths(net: Network, *ranks):
    return net.pick(*ranks, dtype="bool") or compared(net, "LESS")


@STEPS.of("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT")
def logical(net: Network, name):
    given = truths(net)
    second = [] if name == "LOGICAL_NOT" else [net.pick(dtype="bool", suits=lambda tensor: tensor.shape in ends(given.shape))]
    return net.add(name, [given, *second], given.shape, dtype="bool")


@STEPS.of("SELECT", "SELECT_V2")
def selected(net: Network, name):
    given = truths(net)
    first = net.pick(suits=lambda tensor: tensor.shape == given.shape)
    if first is None:
        first = net.constant(net.integers(*given.shape), "int8", (0.05, 3))
        first = Known(first, given.shape, "int8", 0.05, 3)
    shape = given.shape if name == "SELECT" else net.one(ends(given.shape))
    second = net.constant(net.integers(*shape), "int8", first.quantization)
    return net.add(name, [given, first, second], given.shape, quantization=first.quantization)


def weights(net: Network, form, axis, given: Known, taps: int):
    """Weights, a bias, and the output's quantization, about as wide as the sums."""
    channels = form[axis]
    scale = net.random.uniform(0.002, 0.02, channels) if net.chance(0.7) else np.full(1, net.random.uniform(0.002, 0.02))
    constant = net.constant(net.integers(*form), "int8", (scale, 0), axis)
    bias = net.constant(net.random.integers(-2000, 2000, channels), "int32", (scale * given.scale, 0))
    wide = 73 * float(scale.mean()) * 73 * given.scale * np.sqrt(taps) * net.random.uniform(1, 3)
    return [constant, bias], net.span(-wide, wide)


@STEPS.of("CONV_2D", "DEPTHWISE_CONV_2D")
def convolved(net: Network, name):
    given = net.pick(4, suits=lambda tensor: tensor.shape[0] == 1 and small(tensor))
    if given is None:
        return None
    _, height, width, depth = given.shape
    depthwise = name == "DEPTHWISE_CONV_2D"
    kernel, dilation = [net.number(1, 5), net.number(1, 5)], [net.one([1, 1, 2]), net.one([1, 1, 3])]
    padding = net.number(0, 1)
    if any((taps - 1) * apart + 1 > size for taps, apart, size in zip(kernel, dilation, (height, width), strict=True)):
        padding = 0
    stride = [net.number(1, 3), net.number(1, 3)] if dilation == [1, 1] else [1, 1]
    groups = 2 if not depthwise and depth % 2 == 0 and net.chance(0.2) else 1
    channels = depth * net.one([1, 1, 2]) if depthwise else groups * net.number(1, 6)
    form = (1, *kernel, channels) if depthwise else (channels, *kernel, depth // groups)
    taps = kernel[0] * kernel[1] * (1 if depthwise else depth // groups)
    constants, quantization = weights(net, form, 3 if depthwise else 0, given, taps)
    made = [extent(size, *window, padding) for size, *window in zip((height, width), kernel, stride, dilation, strict=True)]
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": net.one([0, 0, 1, 3])}
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]} | (
        {"depthMultiplier": channels // depth} if depthwise else {}
    )
    kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    return net.add(name, [given, *constants], (1, *made, channels), kind, quantization, **options)


def separable(net: Network) -> Known:
    """A chain of convolutions, depthwise and of one pixel, whose channels grow and shrink a little: what pruning leaves.

    Each works in place of the one before, so where they lie in memory differs by a few bytes. The first has much scratch memory.
    """
    height, width, channels = net.number(5, 10), net.number(3, 6), net.number(10, 24)
    given = net.input((1, 2 * height, 2 * width, 1))
    given = plain(net, "DEPTHWISE_CONV_2D", given, channels, (net.number(2, 9), net.number(2, 5)), 2)
    for _ in range(net.number(2, 4)):
        given = plain(net, "DEPTHWISE_CONV_2D", given, given.shape[3], net.one([(3, 3), (3, 3), (1, 3), (5, 1)]))
        given = plain(net, "CONV_2D", given, channels + net.number(-3, 3), (1, 1))
    return given


def plain(net: Network, name, given: Known, channels: int, kernel, stride=1) -> Known:
    """A convolution over the padded input, whose size is a multiple of the stride."""
    _, height, width, depth = given.shape
    depthwise = name == "DEPTHWISE_CONV_2D"
    form, axis = ((1, *kernel, channels), 3) if depthwise else ((channels, *kernel, depth), 0)
    constants, quantization = weights(net, form, axis, given, kernel[0] * kernel[1] * (1 if depthwise else depth))
    kind, options = ("DepthwiseConv2DOptions", {"depthMultiplier": channels // depth}) if depthwise else ("Conv2DOptions", {})
    shape = (1, height // stride, width // stride, channels)
    return net.add(name, [given, *constants], shape, kind, quantization, strideH=stride, strideW=stride, **options)


@STEPS.of("TRANSPOSE_CONV")
def transposed(net: Network, name):
    given = net.pick(4, suits=lambda tensor: tensor.shape[0] == 1 and tensor.size <= MOST // 16)
    if given is None:
        return None
    kernel, stride, padding = [net.number(1, 4), net.number(1, 4)], [net.number(1, 3), net.number(1, 3)], net.number(0, 1)
    channels = net.number(1, 5)
    sizes = zip(given.shape[1:3], kernel, stride, strict=True)
    made = [size * apart if padding == 0 else (size - 1) * apart + taps for size, taps, apart in sizes]
    constants, quantization = weights(net, (channels, *kernel, given.shape[3]), 0, given, given.shape[3] * 2)
    inputs = [net.constant([1, *made, channels]), constants[0], given, *constants[1:]]
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    return net.add(name, inputs, (1, *made, channels), "TransposeConvOptions", quantization, **options)


@STEPS.of("FULLY_CONNECTED")
def connected(net: Network, name):
    given = net.pick(2, 3, 4, suits=small)
    outputs = net.number(1, 9)
    constants, quantization = weights(net, (outputs, given.shape[-1]), 0, given, given.shape[-1])
    options = {"fusedActivationFunction": net.one([0, 1, 3]), "keepNumDims": True}
    return net.add(name, [given, *constants], (*given.shape[:-1], outputs), "FullyConnectedOptions", quantization, **options)


@STEPS.of("BATCH_MATMUL")
def multiplied(net: Network, name):
    given = net.pick(2, 3, 4, suits=small)
    turned, adjoint = net.chance(0.5), net.chance(0.5)
    rows, depth = given.shape[-2:][::-1] if turned else given.shape[-2:]
    other = net.pick(2, 3, 4, suits=lambda tensor: tensor.shape[:-2] == given.shape[:-2] and tensor.shape[-1 if adjoint else -2] == depth)
    columns = net.number(1, 5) if other is None else other.shape[-2 if adjoint else -1]
    scale = 0.02 if other is None else other.scale
    if other is None:
        other = net.constant(net.integers(*((columns, depth) if adjoint else (depth, columns))), "int8", (scale, net.number(-20, 20)))
    wide = 73 * scale * 73 * given.scale * np.sqrt(depth)
    options = {"adjX": turned, "adjY": adjoint}
    return net.add(name, [given, other], (*given.shape[:-2], rows, columns), "BatchMatMulOptions", net.span(-wide, wide), **options)


@STEPS.of("AVERAGE_POOL_2D", "MAX_POOL_2D")
def pooled(net: Network, name):
    given = net.pick(4, suits=lambda tensor: tensor.shape[0] == 1)
    if given is None:
        return None
    kernel = [net.number(1, min(size, 4)) for size in given.shape[1:3]]
    stride, padding = [net.number(1, 3), net.number(1, 3)], net.number(0, 1)
    made = [extent(size, taps, apart, 1, padding) for size, taps, apart in zip(given.shape[1:3], kernel, stride, strict=True)]
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "filterHeight": kernel[0], "filterWidth": kernel[1]}
    shape = (1, *made, given.shape[3])
    return net.add(name, [given], shape, "Pool2DOptions", given.quantization, fusedActivationFunction=net.one([0, 1, 3]), **options)


@STEPS.of("MEAN", "REDUCE_MAX", "REDUCE_MIN")
def reduced(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    axes = sorted(net.random.choice(len(given.shape), net.number(1, len(given.shape)), replace=False).tolist())
    keep = net.chance(0.5)
    shape = [1 if axis in axes else size for axis, size in enumerate(given.shape) if keep or axis not in axes]
    quantization = net.span(*given.limits) if name == "MEAN" else given.quantization
    return net.add(name, [given, net.constant(axes)], shape, "ReducerOptions", quantization, keepDims=keep)


@STEPS.of("ARG_MAX", "ARG_MIN")
def found(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    axis, wide = net.number(0, len(given.shape) - 1), net.chance(0.5)
    shape = [size for index, size in enumerate(given.shape) if index != axis]
    options = "ArgMaxOptions" if name == "ARG_MAX" else "ArgMinOptions"
    dtype = "int64" if wide else "int32"
    return net.add(name, [given, net.constant([axis])], shape, options, dtype=dtype, outputType=4 if wide else 2)


@STEPS.of("CAST", "DEQUANTIZE")
def converted(net: Network, name):
    given = net.pick()
    return net.add(name, [given], given.shape, dtype="float32" if name == "DEQUANTIZE" else net.one(["int32", "float32", "bool", "int64"]))
