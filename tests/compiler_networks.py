"""Networks of one operator, or a few, that together visit every option of the operators that the compiler knows."""

import numpy as np
from tflite_files import Builder

RANDOM = np.random.default_rng(0)


def int8(*shape):
    return RANDOM.integers(-127, 128, shape)


def unary(name, options=None, output=(0.03, -7), source=(0.05, 3), **values):
    builder = Builder()
    given = builder.input((1, 4, 8, 8), *source)
    builder.operator(name, [given], [builder.tensor((1, 4, 8, 8), "int8", *output)], options, **values)
    return builder


def binary(name, first, second, activation=0, scales=((0.05, 3), (0.02, -4), (0.06, 9)), constant=None):
    """`constant` says which operand is a constant: None, 0 or 1."""
    builder = Builder()
    operands = []
    for position, shape in enumerate((first, second)):
        scale, zero_point = scales[position]
        if constant == position:
            operands.append(builder.constant(int8(*shape), "int8", scale=scale, zero_point=zero_point))
        else:
            operands.append(builder.input(shape, scale, zero_point))
    output = builder.tensor(np.broadcast_shapes(first, second), "int8", *scales[2])
    options = {"fusedActivationFunction": activation} if name in {"ADD", "SUB", "MUL"} else {}
    builder.operator(name, operands, [output], f"{name.capitalize()}Options" if options else "MaximumMinimumOptions", **options)
    return builder


def extent(size, kernel, stride, dilation, padding):
    """The output's size along one axis: padding 0 is SAME, 1 is VALID."""
    return -(-size // stride) if padding == 0 else -(-(size - (kernel - 1) * dilation) // stride)


def convolution(
    shape=(9, 7, 4), channels=5, kernel=(3, 3), stride=(1, 1), dilation=(1, 1), padding=0, activation=0, zero_points=(-7, 4), **more
):
    """`more`: depthwise, groups, per_channel, bias, weights (values), scale of the weights, output_scale."""
    builder, depthwise, per_channel = Builder(), more.get("depthwise", False), more.get("per_channel", True)
    height, width, depth = shape
    given = builder.input((1, *shape), 0.05, zero_points[0])
    if depthwise:
        channels *= depth
    form, axis = ((1, *kernel, channels), 3) if depthwise else ((channels, *kernel, depth // more.get("groups", 1)), 0)
    scale = RANDOM.uniform(0.5, 1, channels) * more.get("scale", 0.01) if per_channel else more.get("scale", 0.01)
    weights = builder.constant(more["weights"](form) if "weights" in more else int8(*form), "int8", scale=scale, axis=axis)
    bias = [builder.constant(RANDOM.integers(-3000, 3000, channels), scale=np.asarray(scale) * 0.05)] if more.get("bias", True) else []
    rows = extent(height, kernel[0], stride[0], dilation[0], padding)
    columns = extent(width, kernel[1], stride[1], dilation[1], padding)
    output = builder.tensor((1, rows, columns, channels), "int8", more.get("output_scale", 0.2), zero_points[1])
    options = {
        "padding": padding,
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
    }
    if depthwise:
        options["depthMultiplier"] = channels // depth
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    builder.operator(name, [given, weights, *bias], [output], kind, fusedActivationFunction=activation, **options)
    return builder


def pooling(name, shape=(9, 7, 5), kernel=(3, 2), stride=(2, 2), padding=0, activation=0):
    builder = Builder()
    given = builder.input((1, *shape))
    rows, columns = (extent(size, taps, step, 1, padding) for size, taps, step in zip(shape, kernel, stride, strict=False))
    output = builder.tensor((1, rows, columns, shape[2]), "int8", 0.05, 3)
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "filterHeight": kernel[0], "filterWidth": kernel[1]}
    builder.operator(name, [given], [output], "Pool2DOptions", fusedActivationFunction=activation, **options)
    return builder


def dense(inputs=33, outputs=7, rows=1, activation=0, scale=0.01, output_scale=0.3):
    """`scale` may be a list, one an output."""
    builder = Builder()
    given = builder.input((rows, inputs), 0.05, -20)
    weights = builder.constant(int8(outputs, inputs), "int8", scale=scale)
    bias = builder.constant(RANDOM.integers(-3000, 3000, outputs), scale=np.asarray(scale) * 0.05)
    output = builder.tensor((rows, outputs), "int8", output_scale, 11)
    builder.operator("FULLY_CONNECTED", [given, weights, bias], [output], "FullyConnectedOptions", fusedActivationFunction=activation)
    return builder


def softmax(shape=(1, 12), scale=0.1, beta=1.0):
    builder = Builder()
    given = builder.input(shape, scale, 5)
    builder.operator("SOFTMAX", [given], [builder.tensor(shape, "int8", 1 / 256, -128)], "SoftmaxOptions", beta=beta)
    return builder


def reduction(name, shape, axes, keep=False, scales=((0.05, 3), (0.04, -9))):
    builder = Builder()
    given = builder.input(shape, *scales[0])
    left = [1 if axis in {entry % len(shape) for entry in axes} else size for axis, size in enumerate(shape)]
    made = left if keep else [size for axis, size in enumerate(shape) if axis not in {entry % len(shape) for entry in axes}]
    output = builder.tensor(made, "int8", *scales[1])
    builder.operator(name, [given, builder.constant(axes)], [output], "ReducerOptions", keepDims=keep)
    return builder


def moved(name, shape, made, constants=(), options=None, dtype="int8", **values):
    """An operator that moves numbers of one input to one output; `constants` are its further inputs."""
    builder = Builder()
    quantization = (0.05, 3) if dtype == "int8" else (None, 0)
    given = builder.input(shape, *quantization, dtype=dtype)
    more = [builder.constant(entry) for entry in constants]
    builder.operator(name, [given, *more], [builder.tensor(made, dtype, *quantization)], options, **values)
    return builder


def padded_with(shape, value, paddings):
    builder = Builder()
    given = builder.input(shape)
    filling = builder.constant(value, "int8", scale=0.05, zero_point=3)
    made = [size + sum(pair) for size, pair in zip(shape, paddings, strict=True)]
    builder.operator("PADV2", [given, builder.constant(paddings), filling], [builder.tensor(made, "int8", 0.05, 3)])
    return builder


def joined(name, shapes, made, options, **values):
    builder = Builder()
    given = [builder.input(shape) for shape in shapes]
    builder.operator(name, given, [builder.tensor(made, "int8", 0.05, 3)], options, **values)
    return builder


def parted(name, shape, shapes, before=(), after=(), options=None, **values):
    builder = Builder()
    first = [builder.constant(entry) for entry in before]
    given = builder.input(shape)
    last = [builder.constant(entry) for entry in after]
    builder.operator(name, [*first, given, *last], [builder.tensor(entry, "int8", 0.05, 3) for entry in shapes], options, **values)
    return builder


def tables():
    """Functions of one number."""
    yield "logistic", unary("LOGISTIC", output=(1 / 256, -128))
    yield "tanh", unary("TANH", output=(1 / 128, 0), source=(0.02, -3))
    for alpha in (0.1, -0.3, 1.5):
        yield f"leaky {alpha}", unary("LEAKY_RELU", "LeakyReluOptions", alpha=alpha)
    for name in ("RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"):
        yield name, unary(name)
        yield f"{name} coarse", unary(name, output=(0.11, 100))
    yield "gelu", unary("GELU", "GeluOptions", approximate=False)
    yield "gelu approximate", unary("GELU", "GeluOptions", approximate=True)
    yield "hard swish", unary("HARD_SWISH", "HardSwishOptions", source=(0.05, 3))


def pairs():
    """Functions of two numbers."""
    shape = (1, 4, 5, 6)
    for name in ("ADD", "SUB", "MUL"):
        for second in (shape, (6,), (1, 1, 1, 6), (1,)):
            yield f"{name} {second}", binary(name, shape, second)
        yield f"{name} both ways", binary(name, (1, 1, 5, 1), (1, 4, 1, 6), activation=1)
        yield f"{name} relu6", binary(name, shape, shape, activation=3)
        for position in (0, 1):
            yield f"{name} constant {position}", binary(name, *(((6,), shape) if position == 0 else (shape, (6,))), constant=position)
        yield f"{name} far apart", binary(name, (1, 9), (1, 9), scales=((0.5, -128), (0.001, 127), (0.3, 9)))
    for name in ("MAXIMUM", "MINIMUM"):
        yield name, binary(name, shape, (6,), scales=((0.05, 3),) * 3)


def windows():
    """Pooling, fully connected layers, softmax, means."""
    shape = (1, 4, 5, 6)
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for padding in (0, 1):
            yield f"{name} {padding}", pooling(name, padding=padding)
        yield f"{name} whole", pooling(name, kernel=(9, 7), stride=(9, 7), padding=1, activation=1)
    yield "dense", dense()
    yield "dense rows", dense(rows=3, activation=1)
    yield "dense per channel", dense(outputs=6, scale=list(RANDOM.uniform(0.001, 0.02, 6)))
    yield "dense wide", dense(inputs=700, outputs=4, scale=0.003, output_scale=0.8)
    yield "softmax", softmax()
    yield "softmax rows", softmax((3, 100), 0.02, 0.7)
    yield "softmax steep", softmax((1, 40), 2.0)
    for axes, keep in (([1, 2], True), ([1, 2], False), ([3], False), ([-1, 1], True), ([0, 1, 2, 3], False)):
        yield f"mean {axes} {keep}", reduction("MEAN", shape, axes, keep)


def moves():
    """Numbers that go elsewhere."""
    shape = (1, 4, 5, 6)
    for corners, centers in ((False, False), (True, False), (False, True)):
        options = {"alignCorners": corners, "halfPixelCenters": centers}
        yield f"bilinear {options}", moved("RESIZE_BILINEAR", shape, (1, 7, 12, 6), [[7, 12]], "ResizeBilinearOptions", **options)
        yield f"smaller {options}", moved("RESIZE_BILINEAR", (1, 9, 8, 3), (1, 4, 3, 3), [[4, 3]], "ResizeBilinearOptions", **options)
        yield (
            f"nearest {options}",
            moved("RESIZE_NEAREST_NEIGHBOR", shape, (1, 7, 12, 6), [[7, 12]], "ResizeNearestNeighborOptions", **options),
        )
    yield "reshape", moved("RESHAPE", shape, (1, 20, 6), [[1, 20, 6]])
    yield "squeeze", moved("SQUEEZE", (1, 1, 7, 1), (7,), options="SqueezeOptions")
    yield "expand", moved("EXPAND_DIMS", (1, 7), (1, 7, 1), [2])
    for order in ([0, 3, 1, 2], [0, 2, 3, 1], [3, 2, 1, 0]):
        yield f"transpose {order}", moved("TRANSPOSE", shape, [shape[axis] for axis in order], [order])
    yield "transpose float", moved("TRANSPOSE", (1, 3, 4), (1, 4, 3), [[0, 2, 1]], dtype="float32")
    yield "slice", moved("SLICE", shape, (1, 2, 4, 3), [[0, 1, 1, 2], [1, 2, -1, 3]])
    slices = {"beginMask": 2, "endMask": 8, "shrinkAxisMask": 1}
    yield (
        "strided slice",
        moved("STRIDED_SLICE", shape, (2, 3, 2), [[0, 9, 0, 4], [1, 3, 5, 9], [1, 2, 2, 1]], "StridedSliceOptions", **slices),
    )
    yield "backwards", moved("STRIDED_SLICE", (1, 8), (1, 4), [[0, 7], [1, -9], [1, -2]], "StridedSliceOptions")
    yield "pad", moved("PAD", shape, (1, 7, 5, 9), [[[0, 0], [1, 2], [0, 0], [3, 0]]])
    yield "padv2", padded_with((2, 3), 77, [[1, 0], [0, 2]])
    yield "space to depth", moved("SPACE_TO_DEPTH", (1, 4, 6, 3), (1, 2, 3, 12), options="SpaceToDepthOptions", blockSize=2)
    yield "depth to space", moved("DEPTH_TO_SPACE", (1, 2, 3, 12), (1, 4, 6, 3), options="DepthToSpaceOptions", blockSize=2)
    yield "broadcast", moved("BROADCAST_TO", (1, 1, 5, 1), (1, 4, 5, 6), [[1, 4, 5, 6]], "BroadcastToOptions")
    yield "concatenation", joined("CONCATENATION", [(1, 4, 2), (1, 4, 3), (1, 4, 1)], (1, 4, 6), "ConcatenationOptions", axis=-1)
    yield "concatenation 1", joined("CONCATENATION", [(1, 4, 2), (1, 3, 2)], (1, 7, 2), "ConcatenationOptions", axis=1)
    yield "pack", joined("PACK", [(1, 4), (1, 4), (1, 4)], (1, 3, 4), "PackOptions", axis=1, valuesCount=3)
    yield "unpack", parted("UNPACK", (1, 3, 4), [(1, 4)] * 3, options="UnpackOptions", axis=1, num=3)
    yield "split", parted("SPLIT", (1, 4, 6), [(1, 4, 2)] * 3, before=[2], options="SplitOptions", numSplits=3)
    yield "split by sizes", parted("SPLIT_V", (1, 4, 6), [(1, 4, 1), (1, 4, 5)], after=[[1, 5], 2], options="SplitVOptions", numSplits=2)


def converted(name, source, made):
    builder = Builder()
    given = builder.input((2, 50), *((0.05, 3) if source == "int8" else (None, 0)), source)
    output = builder.tensor((2, 50), made, *((0.05, 3) if made == "int8" else (None,)))
    builder.operator(name, [given], [output])
    return builder


def floats():
    """Between float32 and int8."""
    yield "from float", converted("QUANTIZE", "float32", "int8")
    yield "to float", converted("DEQUANTIZE", "int8", "float32")


def convolutions():
    """Convolutions whose options take different ways through the kernels."""
    for depthwise in (False, True):
        word = "depthwise" if depthwise else "conv"
        yield f"{word} plain", convolution(depthwise=depthwise)
        yield f"{word} valid", convolution(depthwise=depthwise, padding=1, activation=1)
        yield f"{word} stride", convolution(depthwise=depthwise, stride=(2, 2), activation=3)
        yield f"{word} stride apart", convolution(depthwise=depthwise, stride=(1, 3), kernel=(2, 5))
        yield f"{word} dilated", convolution(depthwise=depthwise, dilation=(2, 3), shape=(11, 13, 4))
        yield f"{word} per tensor", convolution(depthwise=depthwise, per_channel=False)
        yield f"{word} one channel", convolution(depthwise=depthwise, shape=(6, 6, 1), channels=8)
        yield f"{word} odd", convolution(depthwise=depthwise, shape=(5, 5, 3), channels=3)
        yield f"{word} large scale", convolution(depthwise=depthwise, scale=3.0, output_scale=0.1)
        yield f"{word} tiny scale", convolution(depthwise=depthwise, scale=1e-9)
        yield f"{word} lowest", convolution(depthwise=depthwise, weights=lambda form: np.full(form, -128), zero_points=(127, -128))
        yield f"{word} whole", convolution(depthwise=depthwise, shape=(7, 6, 8), kernel=(7, 6), padding=1)
    for channels in (1, 2, 3, 8):
        yield f"pointwise {channels}", convolution(shape=(3, 5, 8), kernel=(1, 1), channels=channels)
    yield "groups", convolution(shape=(5, 6, 8), channels=4, groups=2, stride=(2, 1))
    yield "odd groups", convolution(shape=(5, 6, 9), channels=9, groups=3, padding=1)
    yield "depthwise no bias", convolution(depthwise=True, bias=False)
    yield "pointwise stride", convolution(shape=(7, 7, 8), kernel=(1, 1), stride=(2, 2), channels=12)
    yield "deep", convolution(shape=(3, 3, 80), channels=4)
    yield "very deep", convolution(shape=(2, 2, 160), channels=4, weights=lambda form: np.full(form, 127))
    for depth in (1, 2, 3, 6, 13):
        yield f"pointwise of {depth}", convolution(shape=(3, 5, depth), kernel=(1, 1), channels=3, stride=(1, 2))
