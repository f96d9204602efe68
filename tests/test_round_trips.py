"""There and back: a network that goes through ONNX on its way gives the same int8 TFLite as one that doesn't."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from quantized_networks import run_file, samples, split_of
from torch import nn

import compress
from compress.data.base import Data
from targets.formats import tflite as tflite_format

IMAGE = (3, 12, 12)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.Hardtanh(0, 6))
        self.point = nn.Sequential(nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16))
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x)
        x = self.pool(torch.relu(x + self.point(self.depthwise(x))))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    """With statistics and classes that its data spread over."""
    torch.manual_seed(0)
    made = Classifier()
    with torch.no_grad():
        for _ in range(30):
            made(torch.randn(64, *IMAGE))
        made.eval()
        outputs = made(torch.from_numpy(samples(IMAGE, 400)))
        made.head.bias -= outputs.mean(0)
        made.head.weight /= outputs.std()
        made.head.bias /= outputs.std()
    return made


@pytest.fixture(scope="module")
def data():
    inputs = samples(IMAGE, 400)
    return Data("random", split_of(inputs[:0]), split_of(inputs[:100]), split_of(inputs), "random")


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """torch's own ONNX file of the network."""
    path = tmp_path_factory.mktemp("exported") / "network.onnx"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        axes = {"x": {0: "N"}}
        torch.onnx.export(
            network, (torch.zeros(2, *IMAGE),), path, dynamo=False, input_names=["x"], dynamic_axes=axes, do_constant_folding=False
        )
    return path


def outputs_of(artifact, inputs):
    return run_file(artifact, inputs).reshape(len(inputs), -1)


def inputs_of(data):
    return data.evaluation.load(np.arange(data.evaluation.samples))[0][0]


def scales_of(artifact):
    graph = tflite_format.load(artifact.path)
    return sorted(each.quantization.scale[0] for each in graph.tensors if each.quantization and each.dtype == "int8")


def test_by_way_of_onnx_a_network_becomes_the_same_int8_tflite(network, exported, data, tmp_path):
    there, here = (
        compress.export(compress.apply(compress.load(source, data), data, "quantize"), "tflite", tmp_path / name)
        for source, name in ((network, "torch"), (exported, "onnx"))
    )
    inputs = inputs_of(data)
    real = network(torch.from_numpy(inputs)).detach().numpy().argmax(1)
    tops = [outputs_of(each, inputs).argmax(1) for each in (there, here)]
    np.testing.assert_allclose(scales_of(here), scales_of(there), rtol=1e-4)
    assert (tops[0] == tops[1]).mean() >= 0.995
    assert abs((tops[0] == real).mean() - (tops[1] == real).mean()) <= 0.005


def by_onnx_runtime(exported, data, folder, activations, form):
    """ONNX Runtime's own static quantization, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter(inputs_of(data)[:100])

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {"x": row[None]}

    prepared, made = folder / "prepared.onnx", folder / f"{form}.onnx"
    quant_pre_process(str(exported), str(prepared))
    quantize_static(
        str(prepared), str(made), Reader(), getattr(QuantFormat, form), per_channel=form == "QDQ",
        activation_type=getattr(QuantType, activations), weight_type=QuantType.QInt8,
    )  # fmt: skip
    return made


def runtime(path, inputs):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(None, {"x": inputs})[0]


def scales_in(path):
    """Scales of activations in a file of ONNX Runtime."""
    graph = onnx.load(path).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {stored[node.input[1]].item() for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in stored}


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("activations", ["QInt8", "QUInt8"])
def test_what_onnx_runtime_quantized_becomes_tflite_with_its_scales(exported, data, activations, form, tmp_path):
    path = by_onnx_runtime(exported, data, tmp_path, activations, form)
    model = compress.load(path, data)
    assert model.stage == "quantized"
    artifact = compress.export(model, "tflite", tmp_path)
    inputs = inputs_of(data)
    tops = [outputs_of(artifact, inputs).argmax(1), runtime(path, inputs).argmax(1)]
    assert (tops[0] == tops[1]).mean() >= 0.995
    operators = [each.name for each in tflite_format.load(artifact.path).operators]
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(operators[1:-1]), operators
    own = np.array(scales_of(artifact))
    assert all(np.isclose(own, scale, rtol=1e-6).any() for scale in scales_in(path))


SCALES = {
    "s": np.float32(0.05),
    "z": np.uint8(120),
    "t": np.float32(0.04),
    "u": np.uint8(100),
    "half": np.float32(1 / 256),
    "none": np.uint8(0),
}
ALONE = {
    "QLinearAdd": (["q", "s", "z", "q", "s", "z", "t", "u"], {}),
    "QLinearMul": (["q", "s", "z", "q", "s", "z", "t", "u"], {}),
    "QLinearSigmoid": (["q", "s", "z", "half", "none"], {}),
    "QLinearLeakyRelu": (["q", "s", "z", "t", "u"], {"alpha": 0.1}),
    "QLinearGlobalAveragePool": (["q", "s", "z", "t", "u"], {"channels_last": 0}),
    "QLinearAveragePool": (["q", "s", "z", "t", "u"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "QLinearConcat": (["t", "u", "q", "s", "z", "q", "s", "z"], {"axis": 1}),
}


@pytest.mark.parametrize("operator", ALONE)
def test_an_operator_of_integers_gives_what_onnx_runtime_gives_but_for_a_step(operator, data, tmp_path):
    inputs, attributes = ALONE[operator]
    scale, zero = ("half", "none") if "half" in inputs else ("t", "u")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node(operator, inputs, ["r"], domain="com.microsoft", **attributes),
        helper.make_node("DequantizeLinear", ["r", scale, zero], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", ["N", *IMAGE]), ("y", None))]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in SCALES.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "network.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "graph", ends[:1], ends[1:], stored), opset_imports=opsets, ir_version=8), path)
    some = inputs_of(data)[:20]
    found = compress.load(path, data)(torch.from_numpy(some)).numpy()
    assert np.abs(found - runtime(path, some)).max() <= SCALES[scale] * 1.01
