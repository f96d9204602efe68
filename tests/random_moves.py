"""The operators of random networks that only move numbers: `STEPS`, see random_networks.py."""

import numpy as np
from random_networks import MOST, Known, Network, Steps

STEPS = Steps()


def moved(net: Network, name, given: Known, shape, constants=(), options=None, **values):
    """An operator that makes one tensor of another, of the same scale; `constants` are its further inputs."""
    return net.add(name, [given, *map(net.constant, constants)], shape, options, given.quantization, **values)


def doubled(tensor: Known) -> bool:
    return tensor.size <= MOST // 4


@STEPS.of("RESHAPE")
def reshaped(net: Network, name):
    given = net.pick()
    shape = list(net.random.permutation(given.shape)) if net.chance(0.5) else [1, given.size]
    return moved(net, name, given, shape, [shape])


@STEPS.of("SQUEEZE", "EXPAND_DIMS")
def ranked(net: Network, name):
    if name == "SQUEEZE":
        given = net.pick(suits=lambda tensor: 1 in tensor.shape)
        if given is None:
            return None
        return moved(net, name, given, [size for size in given.shape if size != 1], options="SqueezeOptions")
    given = net.pick(0, 1, 2, 3)
    if given is None:
        return None
    axis = net.number(0, len(given.shape))
    return moved(net, name, given, [*given.shape[:axis], 1, *given.shape[axis:]], [axis])


@STEPS.of("TRANSPOSE")
def transposed(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    order = net.random.permutation(len(given.shape))
    return moved(net, name, given, [given.shape[axis] for axis in order], [order])


@STEPS.of("REVERSE_V2")
def reversed_order(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    first = net.number(0, len(given.shape) - 1)
    axes = list(range(first, net.number(first + 1, len(given.shape))))
    return moved(net, name, given, given.shape, [axes])


@STEPS.of("SLICE")
def cut(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    begins = [net.number(0, size - 1) for size in given.shape]
    sizes = [net.number(1, size - begin) for size, begin in zip(given.shape, begins, strict=True)]
    return moved(net, name, given, sizes, [begins, sizes])


@STEPS.of("STRIDED_SLICE")
def strided(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    strides = [net.one([-2, -1, 1, 1, 2, 3]) for _ in given.shape]
    begins = [net.number(-size, size - 1) for size in given.shape]
    masks = {"beginMask": net.number(0, 15), "endMask": 15, "shrinkAxisMask": net.one([0, 0, 1, 2])}
    shape = []
    for axis, (size, begin, stride) in enumerate(zip(given.shape, begins, strides, strict=True)):
        if masks["shrinkAxisMask"] >> axis & 1:
            strides[axis] = 1
            continue
        first = None if masks["beginMask"] >> axis & 1 else begin
        shape.append(len(range(size)[first::stride]))
    return moved(net, name, given, shape, [begins, [0] * len(strides), strides], "StridedSliceOptions", **masks)


@STEPS.of("PAD", "PADV2", "MIRROR_PAD")
def padded(net: Network, name):
    given = net.pick(1, 2, 3, 4, suits=doubled)
    paddings = [[net.one([0, 0, 1, 2]), net.one([0, 1, 2])] if size > 2 else [0, 0] for size in given.shape]
    shape = [size + sum(pair) for size, pair in zip(given.shape, paddings, strict=True)]
    inputs = [given, net.constant(paddings)]
    if name == "PADV2":
        inputs.append(net.constant(net.number(-128, 127), "int8", given.quantization))
    options = ("MirrorPadOptions", {"mode": net.number(0, 1)}) if name == "MIRROR_PAD" else (None, {})
    return net.add(name, inputs, shape, options[0], given.quantization, **options[1])


@STEPS.of("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
def blocks(net: Network, name):
    if name == "SPACE_TO_DEPTH":
        given = net.pick(4, suits=lambda tensor: tensor.shape[0] == 1 and doubled(tensor))
        _, height, width, depth = given.shape
        paddings = [[0, 0], [0, height % 2], [0, width % 2], [0, 0]]
        given = moved(net, "PAD", given, (1, height + height % 2, width + width % 2, depth), [paddings])
        return moved(net, name, given, (1, given.shape[1] // 2, given.shape[2] // 2, depth * 4), options="SpaceToDepthOptions", blockSize=2)
    given = net.pick(4, suits=lambda tensor: tensor.shape[0] == 1 and doubled(tensor))
    _, height, width, depth = given.shape
    given = moved(net, "TILE", given, (1, height, width, depth * 4), [[1, 1, 1, 4]])
    return moved(net, name, given, (1, height * 2, width * 2, depth), options="DepthToSpaceOptions", blockSize=2)


@STEPS.of("BROADCAST_TO", "TILE")
def repeated(net: Network, name):
    given = net.pick(1, 2, 3, 4, suits=doubled)
    counts = [net.one([1, 1, 2, 3]) if name == "TILE" or size == 1 else 1 for size in given.shape]
    shape = [size * count for size, count in zip(given.shape, counts, strict=True)]
    if np.prod(shape) > MOST:
        return None
    return moved(net, name, given, shape, [counts if name == "TILE" else shape], "BroadcastToOptions" if name == "BROADCAST_TO" else None)


@STEPS.of("CONCATENATION")
def joined(net: Network, name):
    given = net.pick(1, 2, 3, 4, suits=doubled)
    axis = net.number(0, len(given.shape) - 1)
    alike = lambda tensor: tensor.quantization == given.quantization and fits(tensor, given, axis)  # noqa: E731  one line
    sources = [given]
    for _ in range(net.number(1, 3)):
        other = net.pick(suits=alike)
        if net.chance(0.2):
            constant = net.constant(net.integers(*given.shape), "int8", given.quantization)
            other = Known(constant, given.shape, "int8", *given.quantization)
        sources.append(other)
    shape = list(given.shape)
    shape[axis] = sum(source.shape[axis] for source in sources)
    return net.add(name, sources, shape, "ConcatenationOptions", given.quantization, axis=axis - net.one([0, len(shape)]))


def fits(tensor: Known, given: Known, axis: int) -> bool:
    """Whether the two can be joined along an axis."""
    pairs = zip(tensor.shape, given.shape, strict=False)
    return len(tensor.shape) == len(given.shape) and doubled(tensor) and all(a == b for at, (a, b) in enumerate(pairs) if at != axis)


@STEPS.of("PACK")
def packed(net: Network, name):
    given = net.pick(0, 1, 2, 3, suits=doubled)
    if given is None:
        return None
    axis, count = net.number(0, len(given.shape)), net.number(1, 3)
    others = [net.pick(suits=lambda tensor: (tensor.shape, tensor.quantization) == (given.shape, given.quantization)) for _ in range(count)]
    shape = [*given.shape[:axis], count + 1, *given.shape[axis:]]
    return net.add(name, [given, *others], shape, "PackOptions", given.quantization, axis=axis, valuesCount=count + 1)


@STEPS.of("UNPACK", "SPLIT", "SPLIT_V")
def parted(net: Network, name):
    given = net.pick(1, 2, 3, 4, suits=lambda tensor: max(tensor.shape) <= 12)
    if given is None:
        return None
    axis = net.number(0, len(given.shape) - 1)
    size, before, after = given.shape[axis], given.shape[:axis], given.shape[axis + 1 :]
    if name == "UNPACK":
        return net.add_all(name, [given], [(*before, *after)] * size, "UnpackOptions", given.quantization, axis=axis, num=size)
    if name == "SPLIT":
        count = net.one([count for count in range(1, size + 1) if size % count == 0])
        inputs, sizes, options = [net.constant(axis), given], [size // count] * count, "SplitOptions"
    else:
        first = net.number(1, size)
        sizes = [first, size - first] if first < size else [size]
        inputs, options = [given, net.constant(sizes), net.constant(axis)], "SplitVOptions"
    shapes = [(*before, part, *after) for part in sizes]
    return net.add_all(name, inputs, shapes, options, given.quantization, numSplits=len(sizes))


@STEPS.of("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resized(net: Network, name):
    given = net.pick(4, suits=lambda tensor: tensor.shape[0] == 1 and doubled(tensor))
    made = [net.number(1, 9), net.number(1, 9)]
    count, _, _, depth = given.shape
    if count * made[0] * made[1] * depth > MOST:
        return None
    corners = net.chance(0.4)
    options = {"alignCorners": corners, "halfPixelCenters": not corners and net.chance(0.5)}
    kind = "ResizeBilinearOptions" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return moved(net, name, given, (count, *made, depth), [made], kind, **options)


@STEPS.of("GATHER")
def gathered(net: Network, name):
    given = net.pick(1, 2, 3, 4, suits=doubled)
    axis = net.number(0, len(given.shape) - 1)
    indices = net.random.integers(0, given.shape[axis], [net.number(1, 3) for _ in range(net.number(1, 2) if len(given.shape) < 4 else 1)])
    shape = [*given.shape[:axis], *indices.shape, *given.shape[axis + 1 :]]
    return None if np.prod(shape) > MOST else moved(net, name, given, shape, [indices], "GatherOptions", axis=axis)


@STEPS.of("EMBEDDING_LOOKUP")
def embedded(net: Network, name):
    given = net.pick(2, 3, 4)
    if given is None:
        return None
    rows = net.random.integers(0, given.shape[0], net.number(1, 4))
    shape = (len(rows), *given.shape[1:])
    return None if np.prod(shape) > MOST else net.add(name, [net.constant(rows), given], shape, quantization=given.quantization)


@STEPS.of("SHAPE")
def sized(net: Network, name):
    given = net.pick(1, 2, 3, 4)
    return net.add(name, [given], [len(given.shape)], "ShapeOptions", dtype="int32", outType=2)
