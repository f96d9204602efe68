"""edgepress inspect, as people use it: every kind of file told apart, what it says is so, and nothing in a file runs."""

import json
import pickle
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import cli
import compress
from compress.data.base import Data, Split
from compress.exporters import EXPORTERS
from compress.passes import PASSES
from targets import boards


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture
def inspect(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder; gives exit code, JSON or text, and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(path, *options, as_json=True):
        monkeypatch.setattr(sys, "argv", ["edgepress", "inspect", str(path), *map(str, options), *(["--json"] if as_json else [])])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, json.loads(out) if as_json and out else out, err

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One network in every form that torch and edgepress give it."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    network = Net().eval()
    draw = np.random.default_rng(0)
    images, labels = draw.standard_normal((40, 1, 8, 8)).astype(np.float32), draw.integers(0, 3, 40)
    np.savez(folder / "data.npz", x=images, y=labels)
    split = Split(16, lambda rows: ((images[rows],), labels[rows]))
    data = Data("random", split, split, split, "random")
    free = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=free), folder / "net.pt2")
    quantized = compress.apply(compress.load(network, data), data, "quantize")
    for name in EXPORTERS.names():
        artifact = compress.export(quantized, name, folder)
        artifact.path.rename(folder / {"c": "net-c"}.get(name, f"net.{name}"))
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(network).save(folder / "net.pt")
    torch.save({"state_dict": network.state_dict()}, folder / "net.ckpt")
    save_file(network.state_dict(), folder / "net.safetensors")
    torch.save(network, folder / "whole.pt")
    return folder


PARAMETERS = sum(parameter.numel() for parameter in Net().parameters())
MACS = 64 * 8 * 9 + 64 * 8 * 8 * 9 + 8 * 3


def works(abilities):
    return {(ability["name"], ability["on"]) for ability in abilities if ability["works"]}


def test_a_network_is_tried_with_everything(inspect, files):
    code, found, err = inspect(files / "net.pt2", "--data", files / "data.npz")
    assert code == 0, err
    assert found["kind"] == "a network saved by torch.export.save (.pt2)"
    assert (found["parameters"], found["macs"]) == (PARAMETERS, MACS)
    assert found["operators"]["conv2d"] == 2
    assert [(port["name"], port["shape"], port["dtype"], port["layout"]) for port in found["inputs"]] == [
        ("x", [1, 1, 8, 8], "float32", "NCHW")
    ]
    assert [port["shape"] for port in found["outputs"]] == [[1, 3]]
    assert {name for name, _ in works(found["passes"])} == {ability["name"] for ability in found["passes"]} == set(PASSES.names())
    tried = {(ability["name"], ability["on"]) for ability in found["exports"]}
    assert tried == works(found["exports"]) >= {("c", "float"), ("c", "int8")}
    assert {ability["name"] for ability in found["targets"]} == set(boards.names())
    assert "data.npz" in found["tried_on"]


class Softened(nn.Module):
    """Its only layer makes what the network gives, so there is no channel to remove; and an operator that TFLite hasn't."""

    def __init__(self):
        super().__init__()
        self.only = nn.Linear(6, 4)

    def forward(self, x):
        return torch.special.i0(self.only(x))


def test_what_stands_in_the_way_is_named(inspect, tmp_path):
    torch.export.save(torch.export.export(Softened().eval(), (torch.zeros(1, 6),)), tmp_path / "softened.pt2")
    code, found, err = inspect("softened.pt2")
    assert code == 0, err
    assert found["tried_on"] == "8 random samples"
    pruned = next(each for each in found["passes"] if each["name"] == "prune_channels")
    assert (pruned["works"], "finds no channels to remove" in pruned["reason"]) == (False, True)
    refused = next(each for each in found["exports"] if (each["name"], each["on"]) == ("tflite", "float"))
    assert (refused["works"], "'special_i0'" in refused["reason"]) == (False, True)


@pytest.mark.parametrize(("name", "kind"), [("net.tflite", "a quantized TFLite file (.tflite)"), ("net-c", "a folder of generated C")])
def test_a_finished_file_is_told_as_it_is(inspect, files, name, kind):
    code, found, err = inspect(files / name)
    assert code == 0, err
    assert (found["kind"], found["macs"]) == (kind, MACS)
    assert found["inputs"][0]["shape"] == [1, 8, 8, 1]
    assert found["inputs"][0]["dtype"].startswith("int8 x ")
    assert not works(found["passes"])
    assert all("quantized already" in each["reason"] or "no float network" in each["reason"] for each in found["passes"])
    assert "nucleo-l4r5zi" in {board for board, _ in works(found["targets"])}
    if name == "net.tflite":
        assert works(found["exports"]) == {("c", "int8"), ("onnx", "int8"), ("tflite", "int8")}
        assert found["operators"]["CONV_2D"] == 1


@pytest.mark.parametrize("name", ["net.ckpt", "net.safetensors", "whole.pt"])
def test_weights_without_a_network_are_listed(inspect, files, name):
    code, found, err = inspect(files / name)
    assert code == 0, err
    tensors = {weight["name"].removeprefix("state_dict."): (weight["shape"], weight["dtype"]) for weight in found["weights"]}
    assert tensors == {key: (list(value.shape), str(value.dtype).partition(".")[2]) for key, value in Net().state_dict().items()}
    assert not works(found["passes"])
    assert found["notes"]
    text = inspect(files / name, as_json=False)[1]
    assert "body.0.weight" in text
    assert "8x1x3x3" in text


def test_torchscript_without_data_says_what_it_can(inspect, files):
    code, found, _ = inspect(files / "net.pt")
    assert (code, found["kind"], found["passes"]) == (0, "TorchScript (.pt)", [])
    assert "with --data" in found["notes"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "producer"), [("net.pt", "torch.jit"), ("net.onnx", "edgepress"), ("vit", "transformers")])
def test_other_kinds_are_tried_too(inspect, files, name, producer):
    path, data = files / name, ["--data", files / "data.npz"]
    if name == "vit":
        with warnings.catch_warnings(action="ignore"):
            transformers = pytest.importorskip("transformers")
            config = transformers.ViTConfig(
                hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
            )
            transformers.ViTForImageClassification(config).save_pretrained(path)
        data = []
    code, found, err = inspect(path, *data)
    assert code == 0, err
    assert producer in found["facts"]["producer"] or name == "net.onnx"
    assert found["parameters"] > 0
    assert {board for board, _ in works(found["targets"])} >= {"host"}
    expected = {"adaround", "correct_bias"} if name == "net.onnx" else set(PASSES.names())
    assert {each for each, _ in works(found["passes"])} <= expected


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path(self.path).write_text, ("ran",)


FOREIGN = {
    "empty.pt2": lambda path: path.write_bytes(b""),
    "page.onnx": lambda path: path.write_text("<html></html>"),
    "payload.pt": lambda path: torch.save({"weights": Payload(path.with_name("ran"))}, path),
    "payload.pkl": lambda path: path.write_bytes(pickle.dumps(Payload(path.with_name("ran")))),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_one_line_and_nothing_runs(inspect, tmp_path, name):
    FOREIGN[name](tmp_path / name)
    refused(inspect(name), name)
    assert not (tmp_path / "ran").exists()


def refused(answer, name):
    code, out, err = answer
    assert (code, out) == (2, "")
    assert name in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["net.pt2", "net.onnx", "net.tflite", "net.pt", "net.ckpt", "net.safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_a_damaged_file_is_one_line(inspect, files, tmp_path, name, share):
    content = (files / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    refused(inspect(name), name)


def test_what_is_missing_is_one_line(inspect, files, tmp_path):
    refused(inspect("missing.onnx"), "missing.onnx")
    shutil.copytree(files / "net-c", tmp_path / "c", ignore=shutil.ignore_patterns("*.c"))
    refused(inspect("c"), "c")


def onnx_of(path, node, dtype, made, opsets=()):
    from onnx import TensorProto, helper, numpy_helper, save

    table = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "table")
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("given", getattr(TensorProto, dtype), [1, 5])],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, made)],
        [table],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (("", 17), *opsets)]
    save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def test_an_operator_that_is_not_known_leaves_the_rest(inspect, tmp_path):
    from onnx import helper

    onnx_of(tmp_path / "own.onnx", helper.make_node("Own", ["given"], ["made"], domain="own"), "FLOAT", [1, 5], [("own", 1)])
    code, found, err = inspect("own.onnx")
    assert code == 0, err
    assert (found["operators"], found["facts"]["opset"]) == ({"Own": 1}, "ai.onnx 17, own 1")
    assert [(port["name"], port["shape"], port["dtype"]) for port in found["inputs"]] == [("given", [1, 5], "float32")]
    assert "Own" in found["notes"][0]
    assert not found["passes"]
    assert "Own" in inspect("own.onnx", as_json=False)[1]


def test_integers_that_cannot_be_lifted_leave_the_rest(inspect, files, tmp_path):
    from targets.formats import tflite_objects

    file = tflite_objects.read((files / "net.tflite").read_bytes())
    for tensor in file.subgraphs[0].tensors:
        tensor.type = 3 if tensor.type == 9 else tensor.type  # uint8 where it was int8
    (tmp_path / "unsigned.tflite").write_bytes(tflite_objects.write(file))
    code, found, err = inspect("unsigned.tflite")
    assert code == 0, err
    assert not works(found["exports"])
    assert {each["name"] for each in found["exports"] if "uint8" in each["reason"]} == set(EXPORTERS.names())
    assert "CONV_2D" in found["operators"]


def test_open_sizes_are_for_data_to_say(inspect, files, tmp_path):
    """Heights and widths that the file leaves open, and outputs without shapes."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "weight")
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["mapped"]),
        helper.make_node("GlobalAveragePool", ["mapped"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "height", "width"])
    graph = helper.make_graph(nodes, "graph", [given], [helper.make_empty_tensor_value_info("scores")], [weight])
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "open.onnx")
    code, found, err = inspect("open.onnx")
    assert code == 0, err
    assert found["inputs"] == [{"name": "image", "shape": [1, 1, None, None], "dtype": "float32", "layout": "NCHW"}]
    assert "input 'image' is 1x1x?x? in the file" in found["notes"][0]
    assert "--data" in found["notes"][0]
    code, found, err = inspect("open.onnx", "--data", files / "data.npz")
    assert code == 0, err
    assert [port["shape"] for port in found["outputs"]] == [[1, 4]]
    assert ("tflite", "int8") in works(found["exports"])


def test_whole_numbers_as_inputs_are_told(inspect, tmp_path):
    from onnx import helper

    onnx_of(tmp_path / "words.onnx", helper.make_node("Gather", ["table", "given"], ["made"]), "INT64", [1, 5, 3])
    code, found, err = inspect("words.onnx")
    assert code == 0, err
    assert (found["operators"], found["inputs"][0]["dtype"]) == ({"Gather": 1}, "int64")
    assert found["notes"] == ["input 'given' takes int64, and data here are float32: nothing was tried"]
    assert [port["shape"] for port in found["outputs"]] == [[1, 5, 3]]


def test_a_factory_is_no_file(inspect):
    code, _, err = inspect("package.module:factory")
    assert code == 2
    assert "inspect takes files; name a factory in a recipe" in err


def test_people_get_a_table(inspect, files):
    code, text, _ = inspect(files / "net.tflite", as_json=False)
    assert code == 0
    assert f"{MACS:,} for one sample" in text
    assert "nucleo-l4r5zi" in text
