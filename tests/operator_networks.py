"""More networks of one operator: with those of compiler_networks.py, every operator that the compiler knows."""

import numpy as np
from compiler_networks import RANDOM, floats, int8, joined, moved, moves, pairs, parted, reduction, tables, unary, windows
from tflite_files import Builder


def binary(
    name,
    first,
    second,
    options=None,
    made="int8",
    scales=((0.05, 3), (0.02, -4), (0.06, 9)),
    constant=None,
    dtype="int8",
    shape=None,
    **values,
):
    """`constant` says which operand is a constant: None, 0 or 1; `shape` is the output\'s where it isn\'t the broadcast one."""
    builder = Builder()
    operands = []
    for position, given in enumerate((first, second)):
        quantization = scales[position] if dtype == "int8" else (None, 0)
        if constant == position:
            operands.append(builder.constant(int8(*given), dtype, scale=quantization[0], zero_point=quantization[1]))
        else:
            operands.append(builder.input(given, *quantization, dtype=dtype))
    output = builder.tensor(shape or np.broadcast_shapes(first, second), made, *(scales[2] if made == "int8" else (None,)))
    builder.operator(name, operands, [output], options, **values)
    return builder


def quotients():
    """Divisions."""
    for first, second, constant in (((1, 5, 6), (1, 5, 6), None), ((1, 5, 6), (6,), 1), ((1,), (1, 5, 6), 0)):
        zero_points = ((0.05, 3), (0.02, -4), (0.3, 9))
        builder = binary("DIV", first, second, "DivOptions", scales=zero_points, constant=constant, fusedActivationFunction=constant or 0)
        yield f"DIV {constant}", builder


def more_tables():
    """Further functions of one number."""
    yield "ABS", unary("ABS")
    yield "ABS of one scale", unary("ABS", output=(0.05, -7))
    yield "RELU_0_TO_1", unary("RELU_0_TO_1")
    yield "EXP", unary("EXP", output=(0.05, -128), source=(0.02, 3))
    yield "LOG", unary("LOG", output=(0.03, 100), source=(0.02, -100))
    yield "NEG", unary("NEG", output=(0.05, 0), source=(0.05, 0))
    yield "RSQRT", unary("RSQRT", output=(0.02, -128), source=(0.05, -128))
    for scale, zero_point in ((0.05, 3), (0.0004, -128), (0.9, 127)):
        yield f"L2_NORMALIZATION {scale}", unary("L2_NORMALIZATION", output=(1 / 128, 0), source=(scale, zero_point))
    for scale in (0.001, 0.1, 1.3):
        yield f"LOG_SOFTMAX {scale}", unary("LOG_SOFTMAX", output=(1 / 16, 127), source=(scale, 3))


def more_pairs():
    """Further functions of two numbers."""
    shape = (1, 4, 5, 6)
    for second, constant in ((shape, None), ((6,), 1), ((1, 4, 1, 1), None)):
        yield f"SQUARED_DIFFERENCE {second}", binary("SQUARED_DIFFERENCE", shape, second, constant=constant)
        yield f"PRELU {second}", binary("PRELU", shape, second, constant=constant)
    for name in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"):
        yield name, binary(name, shape, (6,), made="bool")
        yield f"{name} of one scale", binary(name, shape, (6,), made="bool", scales=((0.05, 3), (0.05, 3)), constant=1)
    for name in ("LOGICAL_AND", "LOGICAL_OR"):
        yield name, binary(name, shape, (4, 1, 1), dtype="bool", made="bool")


def more_moves():
    """Further ways of moving numbers."""
    shape = (1, 4, 5, 6)
    for axes in ([3], [1, -2], [0, 1, 2, 3]):
        yield f"REVERSE_V2 {axes}", moved("REVERSE_V2", shape, shape, [axes])
    masks = {"beginMask": 1, "shrinkAxisMask": 1}
    yield "row of a masked axis", moved("STRIDED_SLICE", (3, 4), (4,), [[2, 0], [3, 4], [1, 1]], "StridedSliceOptions", **masks)
    yield "TILE", moved("TILE", (2, 3), (4, 9), [[2, 3]])
    yield "TILE images", moved("TILE", (1, 2, 3, 4), (1, 4, 3, 12), [[1, 2, 1, 3]])
    for mode, largest in ((0, 3), (1, 4)):
        padded = (1, 4 + largest + 1, 5, 6 + 2)
        paddings = [[0, 0], [largest, 1], [0, 0], [0, 2]]
        yield f"MIRROR_PAD {mode}", moved("MIRROR_PAD", shape, padded, [paddings], "MirrorPadOptions", mode=mode)


def transposed(shape=(4, 5, 3), channels=4, kernel=(3, 3), stride=(2, 2), padding=0, activation=0, bias=True, made=None):
    """`made` is the output's height and width, those that fit the padding by default."""
    builder = Builder()
    if made is None:
        made = [size * step if padding == 0 else (size - 1) * step + taps for size, step, taps in zip(shape, stride, kernel, strict=False)]
    sizes = builder.constant([1, *made, channels])
    scale = RANDOM.uniform(0.005, 0.01, channels)
    weights = builder.constant(int8(channels, *kernel, shape[2]), "int8", scale=scale, axis=0)
    given = builder.input((1, *shape), 0.05, -7)
    more = [builder.constant(RANDOM.integers(-3000, 3000, channels), scale=scale * 0.05)] if bias else []
    output = builder.tensor((1, *made, channels), "int8", 0.2, 4)
    options = {"strideH": stride[0], "strideW": stride[1], "padding": padding, "fusedActivationFunction": activation}
    builder.operator("TRANSPOSE_CONV", [sizes, weights, given, *more], [output], "TransposeConvOptions", **options)
    return builder


def product(first, second, made, adjoint=(False, False), constant=None):
    return binary("BATCH_MATMUL", first, second, "BatchMatMulOptions", constant=constant, adjX=adjoint[0], adjY=adjoint[1], shape=made)


def gathered(shape, indices, axis=0, batch_axes=0, table=False):
    builder = Builder()
    quantization = {"scale": 0.05, "zero_point": 3}
    source = builder.constant(int8(*shape), "int8", **quantization) if table else builder.input(shape)
    made = (*shape[:axis], *np.shape(indices)[batch_axes:], *shape[axis + 1 :])
    output = builder.tensor(made, "int8", **quantization)
    builder.operator("GATHER", [source, builder.constant(indices)], [output], "GatherOptions", axis=axis, batchDims=batch_axes)
    return builder


def embedded(rows, ids):
    builder = Builder()
    table = builder.constant(int8(rows, 4), "int8", scale=0.05, zero_point=3)
    output = builder.tensor((len(ids), 4), "int8", 0.05, 3)
    builder.operator("EMBEDDING_LOOKUP", [builder.constant(ids), table], [output])
    return builder


def extreme(name, shape, axis, dtype):
    builder = Builder()
    made = [size for index, size in enumerate(shape) if index != axis % len(shape)]
    code = {"int32": 2, "int64": 4}[dtype]
    options = ("ArgMaxOptions" if name == "ARG_MAX" else "ArgMinOptions", {"outputType": code})
    builder.operator(name, [builder.input(shape), builder.constant([axis])], [builder.tensor(made, dtype)], options[0], **options[1])
    return builder


def cast(source, made):
    builder = Builder()
    given = builder.input((3, 5), *((0.05, 3) if source == "int8" else (None, 0)), dtype=source)
    builder.operator("CAST", [given], [builder.tensor((3, 5), made, *((0.05, 3) if made == "int8" else (None, 0)))])
    return builder


def selected(name, truths, first, second, constant=False):
    builder = Builder()
    condition = builder.input(truths, None, dtype="bool")
    numbers = [
        builder.input(first),
        builder.constant(int8(*second), "int8", scale=0.05, zero_point=3) if constant else builder.input(second),
    ]
    shape = np.broadcast_shapes(first, second) if name == "SELECT" else np.broadcast_shapes(truths, first, second)
    builder.operator(name, [condition, *numbers], [builder.tensor(shape, "int8", 0.05, 3)])
    return builder


def sized():
    """What TensorFlow writes for a reshape that keeps an open batch: the new shape is computed, and nobody needs it."""
    builder = Builder()
    given = builder.input((1, 4, 3))
    shape = builder.tensor((3,), "int32")
    builder.operator("SHAPE", [given], [shape], "ShapeOptions", outType=2)
    batch = builder.tensor((), "int32")
    builder.operator("STRIDED_SLICE", [shape, *map(builder.constant, ([0], [1], [1]))], [batch], "StridedSliceOptions", shrinkAxisMask=1)
    packed = builder.tensor((2,), "int32")
    builder.operator("PACK", [batch, builder.constant(12)], [packed], "PackOptions", valuesCount=2)
    builder.operator("RESHAPE", [given, packed], [builder.tensor((1, 12), "int8", 0.05, 3)])
    return builder


def roots():
    """RSQRT of int16, of numbers that aren't negative."""
    builder = Builder()
    given = builder.input((1, 40), 0.001, 0, dtype="int16")
    positive = builder.tensor((1, 40), "int16", 0.001)
    builder.operator("RELU", [given], [positive])
    builder.operator("RSQRT", [positive], [builder.tensor((1, 40), "int16", 0.0005)])
    return builder


def computed_weights(bias):
    builder = Builder()
    inputs = [builder.input((1, 3, 12), 0.05, 8), builder.input((5, 12), 0.03, 15)]
    inputs += [builder.constant(RANDOM.integers(-3000, 3000, 5), scale=0.0015)] if bias else []
    output = builder.tensor((1, 3, 5), "int8", 0.05, -28)
    builder.operator("FULLY_CONNECTED", inputs, [output], "FullyConnectedOptions", keepNumDims=True, fusedActivationFunction=int(bias))
    return builder


def filters():
    """Transposed convolutions and products of matrices."""
    yield "transposed", transposed()
    yield "transposed valid", transposed(padding=1, activation=1)
    yield "transposed apart", transposed(kernel=(2, 2), stride=(3, 2), padding=1, bias=False)
    yield "transposed wide", transposed(kernel=(5, 4), stride=(1, 2), activation=3)
    yield "transposed odd", transposed(made=(7, 9))
    yield "transposed line", transposed(shape=(1, 6, 2), kernel=(1, 4), stride=(1, 2))
    yield "roots", roots()
    yield "dense with computed weights", computed_weights(bias=False)
    yield "dense with computed weights and a bias", computed_weights(bias=True)
    yield "product", product((3, 4), (4, 5), (3, 5))
    yield "product constant", product((2, 3, 4), (4, 5), (2, 3, 5), constant=1)
    yield "product of a constant", product((3, 4), (2, 4, 5), (2, 3, 5), constant=0)
    yield "product transposed", product((2, 4, 3), (2, 5, 4), (2, 3, 5), adjoint=(True, True))
    yield "product of heads", product((1, 3, 6, 4), (1, 3, 4, 6), (1, 3, 6, 6))
    yield "product broadcast", product((2, 1, 3, 4), (1, 3, 4, 2), (2, 3, 3, 2))


def choices():
    """Numbers that are chosen, and shapes and dtypes that change."""
    yield "gather", gathered((5, 3, 2), [4, 0, 0])
    yield "gather inner", gathered((2, 5, 3), [[1, 4], [0, 2]], axis=1)
    yield "gather table", gathered((9, 3), [[1, 8], [0, 2]], table=True)
    yield "gather batch", gathered((2, 5, 3), [[1, 4], [0, 2]], axis=1, batch_axes=1)
    yield "gather last", gathered((2, 3, 5), [2, 2, 1, 0], axis=2)
    yield "embedding", embedded(7, [3, 0, 6])
    shape = (1, 4, 5, 6)
    for name in ("REDUCE_MAX", "REDUCE_MIN"):
        for axes, keep in (([1, 2], True), ([3], False), ([0, 1, 2, 3], False)):
            yield f"{name} {axes}", reduction(name, shape, axes, keep, ((0.05, 3), (0.05, 3)))
    for name in ("ARG_MAX", "ARG_MIN"):
        yield name, extreme(name, (2, 7), -1, "int32")
        yield f"{name} wide", extreme(name, shape, 1, "int64")
    for source, made in (("int8", "int32"), ("int32", "int8"), ("bool", "int8"), ("int8", "bool"), ("int8", "float32"), ("int32", "int64")):
        yield f"CAST {source} {made}", cast(source, made)
    yield "SELECT", selected("SELECT", (2, 3), (2, 3), (2, 3))
    yield "SELECT rows", selected("SELECT", (2,), (2, 3), (2, 3))
    yield "SELECT_V2", selected("SELECT_V2", (4, 1, 6), (1, 4, 5, 6), (1,), constant=True)
    yield "SELECT_V2 all", selected("SELECT_V2", (1, 5, 1), (4, 1, 6), (4, 5, 6))
    yield "sized", sized()
    yield "PACK of scalars", joined("PACK", [(), ()], (2,), "PackOptions", valuesCount=2)
    yield "UNPACK to scalars", parted("UNPACK", (3,), [()] * 3, options="UnpackOptions", num=3)
    yield "LOGICAL_NOT", moved("LOGICAL_NOT", (3, 4), (3, 4), dtype="bool")


def everywhere():
    """Every operator with the options that change what it does: label and builder."""
    for family in (tables, pairs, windows, moves, floats, more_tables, more_pairs, more_moves, filters, choices):
        yield from family()
