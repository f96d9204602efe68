"""What converters leave in float TFLite files: shapes computed at run time, batches written as 1, loops, joined names."""

import numpy as np
import pytest
import torch
from tflite_files import Builder, reference

from compress.reading.tflite.lifting import lift
from compress.reading.tflite.loops import unrolled
from compress.reading.tflite.names import layer_names
from targets.errors import UserError
from targets.formats.tflite import Graph, Operator, Tensor
from targets.formats.tflite_options import WhileOptions

SHAPE = (4, 6)


def single(name, shape, options=None, constants=(), **values):
    """An operator of one input of the shape of all samples here."""

    def build(builder, given):
        extra = [builder.constant(each, "float32" if np.asarray(each).dtype.kind == "f" else "int32") for each in constants]
        result = builder.tensor(shape, "float32")
        builder.operator(name, [given, *extra], [result], options, **values)

    return build


def flattened(builder, given):
    """Keras's Flatten with a free batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    shape, batch, wanted = (builder.tensor(each, "int32") for each in ((3,), (), (2,)))
    builder.operator("SHAPE", [given], [shape], "ShapeOptions", outType=2)
    ends = [builder.constant([number]) for number in (0, 1, 1)]
    builder.operator("STRIDED_SLICE", [shape, *ends], [batch], "StridedSliceOptions", shrinkAxisMask=1)
    builder.operator("PACK", [batch, builder.constant(24)], [wanted], "PackOptions", valuesCount=2)
    builder.operator("RESHAPE", [given, wanted], [builder.tensor((1, 24), "float32")])


def reshaped(builder, given, shape):
    result = builder.tensor(shape, "float32")
    builder.operator("RESHAPE", [given, builder.constant(shape)], [result])
    return result


def dense_rows(builder, given):
    """A dense layer over the last of three axes, as it comes from TensorFlow for one sample."""
    rows, weight = reshaped(builder, given, (4, 6)), builder.constant(np.random.default_rng(2).normal(size=(3, 6)), "float32")
    made = builder.tensor((4, 3), "float32")
    builder.operator("FULLY_CONNECTED", [rows, weight, -1], [made], "FullyConnectedOptions")
    reshaped(builder, made, (1, 4, 3))


def one_step(builder, given):
    """The third step of a sequence, by way of time-major order written as a reshape."""
    steps, made = reshaped(builder, given, (4, 1, 6)), builder.tensor((1, 6), "float32")
    builder.operator("GATHER", [steps, builder.constant(2)], [made], "GatherOptions", axis=0)


def chosen(builder, given):
    larger, made = builder.tensor((1, 4, 6), "bool"), builder.tensor((1, 4, 6), "float32")
    other = builder.constant(np.linspace(-1, 1, 6), "float32")
    builder.operator("GREATER", [given, other], [larger], "GreaterOptions")
    builder.operator("SELECT_V2", [larger, given, other], [made], "SelectV2Options")


def dilated(builder, given):
    """A convolution over every other pixel as batches of blocks."""
    image = reshaped(builder, given, (1, 4, 6, 1))
    blocks, amounts = builder.constant([2, 2]), builder.constant([[2, 2], [2, 2]])
    apart, filtered, made = (builder.tensor(shape, "float32") for shape in ((4, 4, 5, 1), (4, 2, 3, 2), (1, 4, 6, 2)))
    builder.operator("SPACE_TO_BATCH_ND", [image, blocks, amounts], [apart], "SpaceToBatchNDOptions")
    weight = builder.constant(np.random.default_rng(3).normal(size=(2, 3, 3, 1)), "float32")
    builder.operator(
        "CONV_2D", [apart, weight, builder.constant([0.5, -0.5], "float32")], [filtered], "Conv2DOptions", padding=1, strideW=1, strideH=1
    )
    builder.operator("BATCH_TO_SPACE_ND", [filtered, blocks, builder.constant([[0, 0], [0, 0]])], [made], "BatchToSpaceNDOptions")


def joined_with_zeros(builder, given):
    """What is the same for all samples beside what isn't."""
    state, made = builder.tensor((1, 4, 2), "float32"), builder.tensor((1, 4, 8), "float32")
    builder.operator("FILL", [builder.constant([1, 4, 2]), builder.constant(0.5, "float32")], [state], "FillOptions")
    builder.operator("CONCATENATION", [given, state], [made], "ConcatenationOptions", axis=2)


def replaced(builder, given):
    steps, base = reshaped(builder, given, (1, 4, 6)), builder.constant(np.zeros((1, 7, 6)), "float32")
    made = builder.tensor((1, 7, 6), "float32")
    builder.operator("DYNAMIC_UPDATE_SLICE", [base, steps, builder.constant([0, 2, 0])], [made])


FREE = {
    "flatten": flattened,
    "dense over rows": dense_rows,
    "one step of many": one_step,
    "chosen": chosen,
    "dilated": dilated,
    "joined with zeros": joined_with_zeros,
    "replaced": replaced,
    "tile": single("TILE", (1, 8, 6), "TileOptions", ([1, 2, 1],)),
    "reverse": single("REVERSE_V2", (1, 4, 6), "ReverseV2Options", ([1],)),
    "broadcast": lambda builder, given: single("BROADCAST_TO", (1, 2, 4, 6), "BroadcastToOptions", ([1, 2, 4, 6],))(
        builder, reshaped(builder, given, (1, 1, 4, 6))
    ),
    "backwards": single("STRIDED_SLICE", (1, 2, 6), "StridedSliceOptions", ([0, 3, 0], [1, 0, 6], [1, -2, 1]), beginMask=5, endMask=5),
    "new axis": single(
        "STRIDED_SLICE", (1, 1, 4, 6), "StridedSliceOptions", ([0, 0], [1, 0], [1, 1]), beginMask=1, endMask=1, newAxisMask=2
    ),
    "expand": single("EXPAND_DIMS", (1, 4, 1, 6), "ExpandDimsOptions", (2,)),
    "sign": single("SIGN", (1, 4, 6), "SignOptions"),
    "largest": single("REDUCE_MAX", (1, 6), "ReducerOptions", ([1],)),
}


def outputs(path, inputs):
    """LiteRT's, sample by sample, images as edgepress has them."""
    made = np.concatenate([reference(path, [[each[None]]])[0][0] for each in inputs])
    return made.transpose(0, 3, 1, 2) if made.ndim == 4 else made


@pytest.mark.parametrize("name", FREE)
def test_any_number_of_samples_gives_what_each_gives_alone(name, tmp_path):
    builder = Builder()
    FREE[name](builder, builder.input((1, *SHAPE), None, dtype="float32"))
    path, inputs = builder.write(tmp_path / "net.tflite"), np.random.default_rng(0).normal(size=(3, *SHAPE)).astype("float32")
    model = lift(path, (torch.from_numpy(inputs[:1]),), path, "net")
    np.testing.assert_allclose(model(torch.from_numpy(inputs)).numpy(), outputs(path, inputs), rtol=1e-5, atol=1e-6)
    assert model.free_batch


def test_a_file_that_mixes_samples_up_takes_one_at_a_time(tmp_path):
    builder = Builder()
    rows, summed = reshaped(builder, builder.input((1, *SHAPE), None, dtype="float32"), SHAPE), builder.tensor((6,), "float32")
    builder.operator("SUM", [rows, builder.constant([0])], [summed], "ReducerOptions")
    reshaped(builder, summed, (1, 6))
    path, inputs = builder.write(tmp_path / "net.tflite"), np.random.default_rng(0).normal(size=(3, *SHAPE)).astype("float32")
    model = lift(path, (torch.from_numpy(inputs[:1]),), path, "net")
    assert not model.free_batch
    np.testing.assert_allclose(model(torch.from_numpy(inputs)).numpy(), outputs(path, inputs), rtol=1e-5)


def test_an_operator_that_asks_for_any_size_is_refused_before_it_has_it(tmp_path):
    builder = Builder()
    single("TILE", (1, 4, 6), "TileOptions", ([1, 30_000, 30_000],))(builder, builder.input((1, *SHAPE), None, dtype="float32"))
    path = builder.write(tmp_path / "net.tflite")
    with pytest.raises(UserError, match=r"net.tflite: .*the network is too large, or the file damaged"):
        lift(path, (torch.zeros(1, *SHAPE),), path, "net")


def graph_of(*operators):
    """Operators by (kind, names of constants, name of the result), one after the other."""
    tensors = [Tensor(0, "input", (1, 2), "float32")]
    found = []
    for number, (kind, constants, name) in enumerate(operators):
        before, held = len(tensors) - 1, range(len(tensors), len(tensors) + len(constants))
        tensors += [Tensor(index, each, (1,), "float32", data=np.ones(1)) for index, each in zip(held, constants, strict=True)]
        tensors.append(Tensor(len(tensors), name, (1, 2), "float32"))
        found.append(Operator(number, kind, (before, *held), (len(tensors) - 1,), None))
    return Graph(None, tuple(tensors), tuple(found), (0,), (len(tensors) - 1,))


NAMED = {
    "keras 2": (
        [
            ("CONV_2D", ["model/conv1/Conv2D"], "model/relu/Relu;model/conv1/BiasAdd;model/dw/depthwise;model/conv1/Conv2D1"),
            ("DEPTHWISE_CONV_2D", ["model/bn/FusedBatchNormV3;model/dw/depthwise"], "model/relu_1/Relu;model/bn/FusedBatchNormV3"),
            ("ADD", [], "model/relu_2/Relu;model/join/add"),
            ("FULLY_CONNECTED", ["model/inner/head/MatMul"], "StatefulPartitionedCall:0"),
            ("SOFTMAX", [], "Identity"),
        ],
        ["conv1", "dw", "join", "inner.head", "softmax"],
    ),
    "keras 3 counts exported scopes": (
        [
            ("CONV_2D", ["functional_3_1/conv1_1/convolution"], "functional_3_1/conv1_1/BiasAdd;functional_3_1/conv1_1/convolution1"),
            ("MEAN", [], "functional_3_1/norm_1/moments/mean"),
            ("SUB", [], "functional_3_1/norm_1/sub"),
            ("FULLY_CONNECTED", ["functional_3_1/conv1_1_2/MatMul"], "functional_3_1/conv1_1_2/MatMul;functional_3_1/conv1_1_2/BiasAdd"),
        ],
        ["conv1", "norm.moments.mean", "norm.sub", "conv1_1"],
    ),
    "numbers of one's own stay": (
        [("CONV_2D", ["m_1/conv_1/Conv2D"], "m_1/conv_1/Conv2D1"), ("CONV_2D", ["m_1/conv_2/Conv2D"], "m_1/conv_2/Conv2D1")],
        ["conv_1", "conv_2"],
    ),
    "edgepress's own": ([("CONV_2D", ["stem.0/constant"], "stem.0"), ("FULLY_CONNECTED", ["head/constant"], "head")], ["stem.0", "head"]),
    "twice the same": ([("RELU", [], "a"), ("RELU", [], "a")], ["a", "a_2"]),
    "none": ([("RELU", [], ""), ("TANH", [], "")], ["relu", "tanh"]),
}


@pytest.mark.parametrize("name", NAMED)
def test_layers_are_called_as_their_author_called_them(name):
    operators, wanted = NAMED[name]
    assert layer_names(graph_of(*operators)) == wanted


def loop(limit, condition="LESS", step=1):
    """A counter and a value that is doubled each turn."""
    counter, value, number = ("counter", (), "int32"), ("value", (1, 2), "float32"), np.int32
    start = Tensor(1, *counter, data=np.array(0, number))
    main = Graph(
        None,
        (Tensor(0, *value), start, Tensor(2, *counter), Tensor(3, "result", (1, 2), "float32")),
        (Operator(0, "WHILE", (1, 0), (2, 3), WhileOptions(1, 2)),),
        (0,),
        (3,),
    )
    bound = Tensor(2, "limit", (), "int32", data=np.array(limit, number))
    test = Graph(
        None,
        (Tensor(0, *counter), Tensor(1, *value), bound, Tensor(3, "test", (), "bool")),
        (Operator(0, condition, (0, 2), (3,), None),),
        (0, 1),
        (3,),
    )
    one = Tensor(2, "one", (), "int32", data=np.array(step, number))
    turn = (Operator(0, "ADD", (0, 2), (3,), None), Operator(1, "ADD", (1, 1), (4,), None))
    body = Graph(None, (Tensor(0, *counter), Tensor(1, *value), one, Tensor(3, *counter), Tensor(4, *value)), turn, (0, 1), (3, 4))
    return main, test, body


@pytest.mark.parametrize(("limit", "step", "turns"), [(5, 1, 5), (5, 2, 3), (0, 1, 0)])
def test_a_loop_is_written_out_turn_by_turn(limit, step, turns):
    flat = unrolled(loop(limit, step=step))
    assert [operator.name for operator in flat.operators] == ["ADD"] * 2 * turns
    assert sum(tensor.name == "one" for tensor in flat.tensors) == 1
    made = {index for operator in flat.operators for index in operator.outputs}
    assert flat.outputs[0] in made or turns == 0


@pytest.mark.parametrize(
    ("graphs", "said"),
    [
        (loop(5, "EQUAL"), "how often this loop goes round isn't in the file"),
        (loop(30_000), "a loop of 30000 turns is too long to be written out"),
        (loop(5)[:2], "names graphs that aren't in the file"),
    ],
)
def test_other_loops_are_refused(graphs, said):
    with pytest.raises(UserError, match=said):
        unrolled(graphs)
