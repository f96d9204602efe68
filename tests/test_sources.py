"""Networks come in from files and from own code; what could run code is refused."""

import json
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from compress import sources, store
from compress.model import Step, capture, layer_name
from compress.sources.base import SourceOptions
from targets.errors import UserError

EXAMPLE = (np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32),)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.classify = nn.Linear(4, 3)

    def forward(self, x):
        return self.classify(self.features(x).mean((2, 3)))


NETWORK = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))

def broken():
    raise ValueError("no such file")

answer = 42
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "own_network_module", raising=False)
    (tmp_path / "own_network_module.py").write_text(NETWORK)
    return tmp_path


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    network = Small().eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    path = tmp_path / "small.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(4, 1, 8, 8),), dynamic_shapes=({0: batch},)), path)
    return network, path


def read(path, **options):
    return sources.load(SourceOptions(path.name, folder=path.parent, **options), EXAMPLE)


def test_an_exported_program_gives_the_networks_outputs(exported):
    network, path = exported
    model = read(path)
    assert model.free_batch
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(model(x), network(x).detach())
    assert {"features.0", "classify"} <= {layer_name(node) for node in model.graph.graph.nodes}


def test_a_program_exported_in_training_mode_is_read_for_inference(tmp_path):
    network = Small().train()
    path = tmp_path / "training.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 8, 8),)), path)
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(read(path)(x), network.eval()(x).detach())


def test_a_fixed_batch_is_set_free_or_refused(tmp_path):
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(4, 64) @ torch.ones(64, 3)

    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(4, 1, 8, 8),)), tmp_path / "four.pt2")
    assert read(tmp_path / "four.pt2")(torch.randn(3, 1, 8, 8)).shape == (3, 3)
    torch.export.save(torch.export.export(Fixed(), (torch.zeros(4, 1, 8, 8),)), tmp_path / "fixed.pt2")
    with pytest.raises(UserError, match=r"fixed.pt2: the batch dimension is fixed to 4 .*; export it again with batch size 1"):
        read(tmp_path / "fixed.pt2")


def test_a_factory_is_found_in_the_recipes_folder_and_takes_weights(own):
    state = {"1.weight": torch.randn(5, 64), "1.bias": torch.randn(5)}
    save_file(state, own / "weights.safetensors")
    torch.save(state, own / "weights.pt")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, own / "checkpoint.pt")
    for file in ("weights.safetensors", "weights.pt", "checkpoint.pt"):
        model = sources.load(SourceOptions("own_network_module:build", file, folder=own), EXAMPLE)
        x = torch.randn(2, 1, 8, 8)
        torch.testing.assert_close(model(x), x.flatten(1) @ state["1.weight"].T + state["1.bias"])


class Payload:
    def __reduce__(self):
        return print, ("code from a pickle ran",)


@pytest.mark.parametrize(
    ("source", "weights", "message"),
    [
        ("own_network_module:bild", None, "did you mean 'build'"),
        ("own_network_module:answer", None, "is no function"),
        ("own_network_module:broken", None, "failed: ValueError: no such file"),
        ("no_such_module:build", None, "no module 'no_such_module'"),
        ("own_network_module:build", "missing.pt", "missing.pt does not exist"),
        ("own_network_module:build", "payload.pt", "could run code"),
        ("own_network_module:build", "shape.pt", "tensor '1.weight' has shape"),
        ("own_network_module:build", "other.pt", "tensor 'fc.weight' has no place"),
        ("own_network_module:build", "part.pt", "tensor '1.bias' of the network is missing"),
        ("own_network_module:build", "torn.safetensors", "can't be read as safetensors"),
        ("missing.pt2", None, "missing.pt2 does not exist"),
        ("torn.pt2", None, "can't be read as an exported program"),
        ("weights.bin", None, "weights.bin: is an archive without its end; download or copy it again"),
    ],
)
def test_what_is_wrong_is_one_line(own, capsys, source, weights, message):
    torch.save({"1.weight": torch.zeros(5, 3), "1.bias": torch.zeros(5)}, own / "shape.pt")
    torch.save({"fc.weight": torch.zeros(5, 64)}, own / "other.pt")
    torch.save({"1.weight": torch.zeros(5, 64)}, own / "part.pt")
    (own / "payload.pt").write_bytes(pickle.dumps(Payload()))
    torch.save({"1.weight": Payload()}, own / "payload.pt")
    for name in ("torn.safetensors", "torn.pt2", "weights.bin"):
        (own / name).write_bytes(b"PK\x03\x04 not much")
    with pytest.raises(UserError) as caught:
        sources.load(SourceOptions(source, weights, folder=own), EXAMPLE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "code from a pickle ran" not in capsys.readouterr().out


def rewritten(path, change):
    """A copy of a .pt2 archive in which `change` may replace the content of entries, by their names without the top folder."""
    copy = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        contents = {name: old.read(name) for name in old.namelist()}
        change({name.partition("/")[2]: name for name in contents}, contents)
        for name, content in contents.items():
            new.writestr(name, content)
    return copy


def in_program(edit):
    def change(names, contents):
        program = json.loads(contents[names["models/model.json"]])
        edit(program)
        contents[names["models/model.json"]] = json.dumps(program).encode()

    return change


def hostile_input_name(program):
    program["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=print('ran')"


def hostile_operator(program):
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"


def hostile_guard(program):
    program["guards_code"] = ["__import__('os').system('id')"]


def hostile_expression(program):
    value = program["graph_module"]["graph"]["tensor_values"]
    first = next(iter(value.values()))
    first["sizes"][0] = {"as_expr": {"expr_str": "__import__('os')", "hint": None}}


def hostile_inputs(names, contents):
    contents[names["data/sample_inputs/model.pt"]] = pickle.dumps(Payload())


def hostile_weight(names, contents):
    name = names["data/weights/model_weights_config.json"]
    config = json.loads(contents[name])
    next(iter(config["config"].values()))["use_pickle"] = True
    contents[name] = json.dumps(config).encode()


@pytest.mark.parametrize(
    "change",
    [
        in_program(hostile_input_name),
        in_program(hostile_operator),
        in_program(hostile_guard),
        in_program(hostile_expression),
        hostile_inputs,
        hostile_weight,
    ],
)
def test_an_archive_that_could_run_code_is_refused(exported, change, capsys):
    _, path = exported
    with pytest.raises(UserError, match=r"could run code when loaded; .* 'trust: true'"):
        read(rewritten(path, change))
    assert capsys.readouterr().out == ""


def test_truncated_archives_end_in_one_line(exported):
    _, path = exported
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 40)):
        path.with_name("torn.pt2").write_bytes(content[:length])
        with pytest.raises(UserError):
            read(path.with_name("torn.pt2"))


class Frozen(Small):
    """Its features are computed without gradients."""

    def forward(self, x):
        with torch.no_grad():
            seen = self.features(x)
            with torch.enable_grad():
                seen = seen * self.features[1].weight.reshape(1, -1, 1, 1)
        return self.classify(seen.mean((2, 3)))


def test_blocks_without_gradients_are_part_of_the_graph_and_still_learn_nothing():
    network = Frozen().eval()
    model = capture(network, (torch.from_numpy(EXAMPLE[0]),))
    assert {node.op for node in model.graph.graph.nodes if "submod" in str(node.target)} == set()
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(model(x), network(x), rtol=0, atol=0)
    graph = model.copy_graph()
    for each in (network(x), graph(x)[0]):
        each.sum().backward()
    own = dict(network.named_parameters())
    learning = {name for name, weight in graph.named_parameters() if weight.grad is not None}
    assert learning == {name for name in own if own[name].grad is not None}
    assert "features.0.weight" not in learning


def test_a_stored_model_comes_back_the_same(tmp_path):
    torch.manual_seed(1)
    model = capture(Small(), (torch.from_numpy(EXAMPLE[0]),), "small")
    model = model.then(model.copy_graph(), Step("nothing", {"much": 1}, ("a line",)))
    store.save(model, tmp_path / "kept")
    again = store.load(tmp_path / "kept")
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    assert again.history == model.history
    names = [[layer_name(node) for node in one.graph.graph.nodes if node.op == "call_function"] for one in (model, again)]
    assert names[0] == names[1]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "run"

    def stopped():
        with store.whole(folder) as part:
            (part / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
    with store.whole(folder) as part:
        (part / "file").write_text("new")
    with store.whole(folder) as part:
        (part / "other").write_text("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in folder.iterdir()] == ["other"]
