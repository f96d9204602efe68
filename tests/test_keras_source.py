"""Keras files as sources: they give what Keras gives, whatever lies in them, and no code of theirs runs."""

import json
import zipfile

import h5py
import numpy as np
import pytest
import torch
from keras_models import CASES, CONNECTED, LAYERS, NETWORKS, TENSORFLOW, made
from torch import nn

import compress.sources
from compress.reading.keras.layers import FAMILIES
from compress.sources.base import SourceOptions
from targets.errors import UserError

QUICK = {
    *("Conv2D same 2 3", "Conv2D dilated", "Conv1D causal", "Conv2DTranspose valid", "DepthwiseConv2D same 2", "SeparableConv2D"),
    *("Dense on images", "EinsumDense", "Embedding", "BatchNormalization plain", "LayerNormalization", "GroupNormalization"),
    *("MaxPooling2D same 3 2", "MaxPooling2D same 2 2", "AveragePooling2D same 2 2", "GlobalMaxPooling2D True", "ZeroPadding2D"),
    *("UpSampling2D bilinear", "Activation hard_sigmoid", "ReLU all", "PReLU each", "Softmax rows", "Permute", "LSTM True", "GRU True"),
    *("LSTM hard", "GRU reset before", "Bidirectional LSTM concat False", "TimeDistributed Conv2D", "Concatenate", "Multiply by channels"),
    *("MultiHeadAttention causal", "Attention", "LSTM from states", *NETWORKS),
}
FORMATS = ("keras", "h5", "weights")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(tmp_path_factory.mktemp("keras"), sorted(QUICK))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    place = made(tmp_path_factory.mktemp("keras"), sorted({*LAYERS, *CONNECTED} - QUICK - {*TENSORFLOW}))
    return made(place, TENSORFLOW, "tensorflow")


def as_data(values, name):
    """Images NCHW."""
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if values.ndim == 4 and name != "channels first" else values


def loaded(folder, name, form="keras", **options):
    saved = np.load(folder / f"{name}.npz")
    inputs = tuple(as_data(saved[key], name) for key in sorted(saved) if key.startswith("x"))
    outputs = [as_data(saved[key], name) for key in sorted(saved) if key.startswith("y")]
    given = {"weights": ("json", {"weights": f"{name}.weights.h5"})}.get(form, (form, {}))
    model = compress.sources.load(SourceOptions(f"{name}.{given[0]}", folder=folder, **given[1], **options), inputs)
    return model, [torch.from_numpy(each) for each in inputs], outputs


def check(folder, name, form):
    model, inputs, outputs = loaded(folder, name, form)
    with torch.no_grad():
        found = model.graph(*inputs)
    for one, wanted in zip(found if isinstance(found, tuple) else (found,), outputs, strict=True):
        assert one.shape == wanted.shape
        np.testing.assert_allclose(one.numpy(), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "form"), [(name, FORMATS[number % 2]) for number, name in enumerate(sorted(QUICK))])
def test_a_layer_gives_what_keras_gives(folder, name, form):
    check(folder, name, form)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["nested", "transformer"])
def test_every_kind_of_file_is_read(folder, name, form):
    check(folder, name, form)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", sorted({*CASES} - QUICK))
def test_every_layer_gives_what_keras_gives(others, name, form):
    check(others, name, form)


def operators(model):
    return [str(node.target) for node in model.graph.graph.nodes if node.op == "call_function"]


def moves(model):
    return [name for name in operators(model) if any(word in name for word in ("aten.permute", "aten.transpose", "aten.movedim"))]


@pytest.mark.parametrize("name", ["residual", "nested", "decoder", "back to images", "sequential", "channels first"])
def test_images_are_not_turned_around(folder, name):
    model, _, _ = loaded(folder, name)
    allowed = 1 if name == "decoder" else 0  # a vector becomes an image
    assert len(moves(model)) <= allowed


def test_layers_keep_their_names(folder):
    model, _, _ = loaded(folder, "nested")
    names = {name for name, _ in model.graph.named_parameters()}
    assert {"inner.conv.weight", "inner.batch_normalization.bias", "head.conv.weight", "head.dense.bias"} <= names
    recurrent, _, _ = loaded(folder, "LSTM True")
    assert {"lstm.weight_ih_l0", "lstm.bias_hh_l0"} <= {name for name, _ in recurrent.graph.named_parameters()}
    assert any("lstm" in name for name in operators(recurrent))


def test_a_shared_layer_has_one_set_of_weights(folder):
    model, _, _ = loaded(folder, "shared")
    assert [name for name, _ in model.graph.named_parameters() if name.startswith("shared")] == ["shared.weight", "shared.bias"]


def test_dropout_is_kept_for_training(folder):
    model, _, _ = loaded(folder, "residual")
    assert any("dropout" in name for name in operators(model))


def write_old(path, layers, weights, outputs, version="2.4.0", inputs=("entry",)):
    """An HDF5 file as Keras 2 writes it: `layers` in its form, `weights` by layer and name."""
    entries = [
        {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}
        for name, kind, config, nodes in layers
    ]
    config = {"name": "model", "layers": entries, "input_layers": [[name, 0, 0] for name in inputs], "output_layers": outputs}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name, *_ in layers]
        for name, *_ in layers:
            group = root.create_group(name)
            given = weights.get(name, {})
            group.attrs["weight_names"] = [each.encode() for each in given]
            for each, values in given.items():
                group.create_dataset(each, data=values)
    return path


ENTRY = ("entry", "InputLayer", {"batch_input_shape": [None, 5, 5, 2], "dtype": "float32"}, [])


def run(path, *inputs, **options):
    model = compress.sources.load(SourceOptions(str(path), **options), inputs)
    with torch.no_grad():
        return model.graph(*map(torch.from_numpy, inputs)).numpy()


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape or (2, 2, 5, 5)).astype(np.float32)


def test_the_hard_sigmoid_of_keras_2_is_another(tmp_path):
    layers = [ENTRY, ("gate", "Activation", {"activation": "hard_sigmoid"}, [[["entry", 0, 0, {}]]])]
    path = write_old(tmp_path / "old.h5", layers, {}, [["gate", 0, 0]])
    values = 3 * image()
    np.testing.assert_allclose(run(path, values), np.clip(0.2 * values + 0.5, 0, 1), atol=1e-6)


def test_functions_of_tensorflow_between_layers_are_read(tmp_path):
    function = {"function": "math.subtract"}
    layers = [
        ENTRY,
        ("tf.cast", "TFOpLambda", {"function": "cast"}, [["entry", 0, 0, {"dtype": "float32"}]]),
        ("tf.math.subtract", "TFOpLambda", function, [["tf.cast", 0, 0, {"y": [1.0, 2.0], "name": None}]]),
        ("again", "TFOpLambda", {"function": "math.multiply"}, [["_CONSTANT_VALUE", -1, 2.0, {"y": ["tf.math.subtract", 0, 0]}]]),
        (
            "part",
            "SlicingOpLambda",
            {"function": "__operators__.getitem"},
            [["again", 0, 0, {"slice_spec": [{"start": None, "stop": None, "step": None}, {"start": 1, "stop": 4, "step": 2}]}]],
        ),
        ("mean", "TFOpLambda", {"function": "math.reduce_mean"}, [["part", 0, 0, {"axis": [1, 2]}]]),
    ]
    path = write_old(tmp_path / "old.h5", layers, {}, [["mean", 0, 0]])
    values = image()
    wanted = (2 * (values - np.float32([1, 2]).reshape(2, 1, 1)))[:, :, 1:4:2].mean((2, 3))
    np.testing.assert_allclose(run(path, values), wanted, atol=1e-6)


def test_nested_models_of_keras_2_count_their_calls_from_one(tmp_path):
    dense = {
        "class_name": "Dense",
        "name": "fc",
        "config": {"name": "fc", "units": 3, "activation": "linear"},
        "inbound_nodes": [[["in", 0, 0, {}]]],
    }
    entry = {"class_name": "InputLayer", "name": "in", "config": {"name": "in", "batch_input_shape": [None, 4]}, "inbound_nodes": []}
    inner = {"layers": [entry, dense], "input_layers": [["in", 0, 0]], "output_layers": [["fc", 0, 0]]}
    layers = [
        ("entry", "InputLayer", {"batch_input_shape": [None, 4]}, []),
        ("inner", "Model", inner, [[["entry", 0, 0, {}]]]),
        ("last", "Activation", {"activation": "relu"}, [[["inner", 1, 0, {}]]]),
    ]
    kernel, bias = image(4, 3), image(3)
    path = write_old(tmp_path / "old.h5", layers, {"inner": {"fc/kernel:0": kernel, "fc/bias:0": bias}}, [["last", 0, 0], ["inner", 1, 0]])
    values = image(2, 4)
    model = compress.sources.load(SourceOptions(str(path)), (values,))
    rectified, plain = (each.detach().numpy() for each in model.graph(torch.from_numpy(values)))
    np.testing.assert_allclose(plain, values @ kernel + bias, atol=1e-6)
    np.testing.assert_allclose(rectified, np.maximum(plain, 0))


def test_a_depthwise_convolution_of_keras_2_with_groups_is_read(tmp_path):
    config = {"kernel_size": [1, 1], "strides": [1, 1], "padding": "same", "groups": 1, "use_bias": False, "activation": "linear"}
    layers = [ENTRY, ("dw", "DepthwiseConv2D", config, [[["entry", 0, 0, {}]]])]
    kernel = image(1, 1, 2, 1)
    path = write_old(tmp_path / "old.h5", layers, {"dw": {"dw/depthwise_kernel:0": kernel}}, [["dw", 0, 0]])
    values = image()
    np.testing.assert_allclose(run(path, values), values * kernel.reshape(2, 1, 1), atol=1e-6)


def refusal(path, *inputs, **options):
    with pytest.raises(UserError) as caught:
        compress.sources.load(SourceOptions(str(path), **options), inputs or (image(),))
    assert len(str(caught.value).splitlines()) == 1
    assert path.name in str(caught.value) or options
    return str(caught.value)


def with_layer(path, kind, config, weights=None):
    return write_old(path, [ENTRY, ("odd", kind, config, [[["entry", 0, 0, {}]]])], {"odd": weights or {}}, [["odd", 0, 0]])


def test_code_in_a_file_is_refused_by_name(tmp_path):
    path = with_layer(tmp_path / "m.h5", "Lambda", {"function": ["4wAAAA==", None, None], "function_type": "lambda"})
    said = refusal(path)
    assert "layer 'odd' (Lambda): is code in the file, which is never run" in said
    assert "custom" in said


def test_an_unknown_layer_says_what_can_be_done(tmp_path):
    said = refusal(with_layer(tmp_path / "m.h5", "Conv2d", {}))
    assert "layer 'odd' (Conv2d): is no layer that can be read; did you mean 'Conv2D'?" in said
    assert "{Conv2d: package.module:name}" in said
    said = refusal(with_layer(tmp_path / "n.h5", "Activation", {"activation": "my_relu"}))
    assert "activation 'my_relu' is not built into Keras" in said


def test_own_layers_are_named_by_the_recipe(tmp_path):
    (tmp_path / "own_keras_layers.py").write_text(
        "import torch\n\n\nclass Scale(torch.nn.Module):\n"
        "    def __init__(self, config, weights):\n        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.from_numpy(weights[0]).reshape(-1, 1, 1) * config['factor'])\n\n"
        "    def forward(self, images):\n        return images * self.scale\n\n\ndef fails(config, weights):\n    raise ValueError('no')\n"
    )
    factors = np.float32([1, 3])
    path = with_layer(tmp_path / "m.h5", "Scale", {"factor": 2.0}, {"odd/scale:0": factors})
    values = image()
    custom = {"Scale": "own_keras_layers:Scale"}
    found = run(path.name, values, folder=tmp_path, custom=custom)
    np.testing.assert_allclose(found, values * 2 * factors.reshape(2, 1, 1), atol=1e-6)
    model = compress.sources.load(SourceOptions(path.name, folder=tmp_path, custom=custom), (values,))
    assert [name for name, _ in model.graph.named_parameters()] == ["odd.scale"]
    with pytest.raises(UserError, match="own_keras_layers:fails failed for 'Scale': ValueError: no"):
        run(path.name, values, folder=tmp_path, custom={"Scale": "own_keras_layers:fails"})


def test_masked_steps_are_refused_where_they_matter(tmp_path):
    entry = ("entry", "InputLayer", {"batch_input_shape": [None, 4]}, [])
    table = ("table", "Embedding", {"input_dim": 5, "output_dim": 2, "mask_zero": True}, [[["entry", 0, 0, {}]]])
    last = ("rnn", "LSTM", {"units": 1}, [[["table", 0, 0, {}]]])
    weights = {"table": {"t:0": image(5, 2)}, "rnn": {"k:0": image(2, 4), "r:0": image(1, 4), "b:0": image(4)}}
    path = write_old(tmp_path / "m.h5", [entry, table, last], weights, [["rnn", 0, 0]])
    assert "layer 'rnn' (LSTM): leaves out steps that 'table' masks" in refusal(path, np.ones((2, 4), np.float32))


def test_weights_of_a_wrong_shape_name_their_layer(tmp_path):
    config = {"kernel_size": [3, 3], "filters": 4}
    path = with_layer(tmp_path / "m.h5", "Conv2D", config, {"odd/kernel:0": image(3, 3, 4), "odd/bias:0": image(4)})
    assert "layer 'odd' (Conv2D): its weight 0 is float32[3, 3, 4] in the file" in refusal(path)
    path = with_layer(tmp_path / "n.h5", "Conv2D", config, {"odd/kernel:0": image(3, 3, 2, 4)})
    assert "layer 'odd' (Conv2D): has 1 weights in the file" in refusal(path)


def test_a_configuration_that_asks_for_too_much_is_refused(tmp_path):
    path = with_layer(tmp_path / "m.h5", "UpSampling2D", {"size": [100000, 100000]})
    assert "more than any network for the edge" in refusal(path)


def test_data_of_another_shape_are_refused(folder):
    assert "takes samples of shape [9, 7, 4], the data's are [3, 9, 7]" in refusal(folder / "sequential.keras", image(2, 3, 9, 7))


def test_inputs_are_told_as_data_have_them(folder):
    source = compress.sources.find(SourceOptions("shared.keras", folder=folder))
    assert [(each.name, each.shape) for each in source.inputs()] == [("entry0", (1, 12)), ("entry1", (1, 12))]
    assert compress.sources.find(SourceOptions("residual.h5", folder=folder)).inputs()[0].shape == (1, 4, 9, 7)


def test_weights_without_a_model_say_what_is_missing(folder):
    assert "holds weights without a model" in refusal(folder / "sequential.weights.h5", image(2, 4, 9, 7))
    assert "is a configuration without weights" in refusal(folder / "sequential.json", image(2, 4, 9, 7))


@pytest.mark.parametrize("text", ["{}", '{"class_name": "Sequential"}', '{"class_name": "Sequential", "config": {', "{" * 10_000])
def test_json_of_something_else_is_no_configuration_of_keras(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UserError, match=r"other\.json: holds no network that can be read"):
        compress.sources.find(SourceOptions("other.json", folder=tmp_path))


def test_a_bomb_is_refused_before_it_is_read(folder, tmp_path):
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(folder / "sequential.keras") as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name in ("config.json", "metadata.json"):
            archive.writestr(name, whole.read(name))
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(1100):
                member.write(bytes(1 << 20))
    assert "its weights are larger than the 1 GB that are read" in refusal(path, image(2, 4, 9, 7))
    shaped = tmp_path / "shaped.h5"
    shaped.write_bytes((folder / "sequential.h5").read_bytes())
    with h5py.File(shaped, "a") as file:
        file["model_weights"].create_dataset("huge", shape=(1 << 20, 1 << 20), chunks=(1024, 1024), dtype="f4")
    assert "GB of weights, more than the 1 GB that are read" in refusal(shaped, image(2, 4, 9, 7))


def test_weights_outside_the_file_are_not_read(folder, tmp_path):
    path = tmp_path / "linked.h5"
    path.write_bytes((folder / "sequential.h5").read_bytes())
    with h5py.File(path, "a") as file:
        layer = file["model_weights/dense"]
        del layer["sequential"]
        layer["sequential"] = h5py.ExternalLink("/etc/hosts", "/")
    assert "is not in the file" in refusal(path, image(2, 4, 9, 7))


@pytest.mark.parametrize("form", ["keras", "h5"])
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_is_one_clear_line(seed, form, folder, tmp_path):
    content, random = bytearray((folder / f"sequential.{form}").read_bytes()), np.random.default_rng(seed)
    if seed % 2:
        content = content[: random.integers(0, len(content))]
    else:
        for place in random.integers(0, len(content), 20):
            content[place] ^= int(random.integers(1, 256))
    path = tmp_path / f"damaged.{form}"
    path.write_bytes(content)
    said = []
    try:
        compress.sources.load(SourceOptions(str(path)), (image(2, 4, 9, 7),))
    except UserError as error:
        said = str(error).splitlines()
    assert len(said) <= 1


def test_the_documentation_lists_every_layer(request):
    text = (request.config.rootpath / "docs" / "keras.md").read_text()
    listed = {row.split("|")[1].strip(): row.split("|")[2] for row in text.splitlines() if row.startswith("| ") and "`" in row}
    assert {family: sorted(name.strip(" `") for name in listed[family].split(",")) for family in FAMILIES} == {
        family: sorted(rules) for family, rules in FAMILIES.items()
    }


def test_the_network_trains(folder):
    model, inputs, _ = loaded(folder, "residual")
    module = model.copy_graph()
    assert isinstance(module, nn.Module)
    module(*inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
