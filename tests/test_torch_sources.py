"""Networks of torch.jit come in with their names; files that are no network are told apart, and nothing in them runs."""

import functools
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
from torch.nn import functional as F

import compress
from compress import sources
from compress.data.base import Data, Split
from compress.model import layer_name
from compress.sources import SOURCES
from compress.sources.base import SourceOptions
from targets.errors import UserError

IMAGES = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.tied = nn.ModuleList([nn.Conv2d(4, 4, 1)] * 2)
        self.scale = nn.Parameter(torch.full((1,), 2.0))
        self.classify = nn.Linear(36, 3)

    def forward(self, x):
        x = self.features(x)
        if x.shape[1] > 3:
            x = x * 0.5 + 1
        for layer in self.tied:
            x = x + layer(x)
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = F.avg_pool2d(torch.cat([x[:, :2], x[:, 2:].clamp(0.0, 6.0)], 1), 4)
        return self.classify(x.flatten(1)) * self.scale


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(8, 6, batch_first=True), nn.GRU(6, 4, batch_first=True, bidirectional=True)
        self.classify = nn.Linear(8, 3)

    def forward(self, x):
        x, _ = self.first(x[:, 0])
        x, _ = self.second(x)
        return self.classify(x[:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.LayerNorm(8)

    def forward(self, x):
        batch, _, height, width = x.shape
        x = x.view(batch, height, 2, width // 2).permute(0, 2, 1, 3).reshape(batch, height, width)
        x = torch.where(x > 0, x, torch.zeros_like(x) - 1) + torch.arange(height, dtype=torch.float32)[None, :, None]
        return F.gelu(self.norm(self.layer(x))).mean(1)


def script(network):
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return torch.jit.script(network)


def trace(network):
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.trace(network, (torch.from_numpy(IMAGES),), check_trace=False)


def saved(made, path):
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.jit.save(made, path)
    return path


def read(path, example=(IMAGES,), **options):
    return sources.load(SourceOptions(path.name, folder=path.parent, **options), example)


@pytest.mark.parametrize("make", [script, trace])
@pytest.mark.parametrize("kind", [Small, Recurrent, Attention])
def test_torchscript_gives_the_networks_outputs_and_names(kind, make, tmp_path):
    torch.manual_seed(0)
    network = kind().eval()
    model = read(saved(make(network), tmp_path / "network.pt"))
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(model(x), network(x).detach(), rtol=1e-5, atol=1e-6)
    assert model.free_batch
    assert dict(model.graph.named_parameters()).keys() == dict(network.named_parameters()).keys()
    assert all(parameter.requires_grad for parameter in model.graph.parameters())


def test_passes_and_exports_work_on_torchscript(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)
    )
    split = Split(
        64, lambda rows: ((np.random.default_rng(int(rows[0])).standard_normal((len(rows), 1, 8, 8)).astype(np.float32),), rows % 3)
    )
    data = Data("random", split, split, split, "random")
    model = compress.apply(
        compress.load(saved(script(network.eval()), tmp_path / "network.pt"), data), data, {"prune_channels": {"ratio": 0.5}}, "quantize"
    )
    assert {"0", "3", "6"} <= {layer_name(node) for node in model.graph.graph.nodes}
    artifact = compress.export(model, "tflite", tmp_path)
    profiled = compress.profile(artifact, "host", data)
    assert profiled.measurement.outputs[0].shape == (64, 3)


class ByNumbers(nn.Module):
    def forward(self, x):
        return x + 1 if bool(x.sum() > 0) else x


class OfFiles(nn.Module):
    """Saves a tensor when it is opened."""

    def __init__(self, path):
        super().__init__()
        self.path: str = path

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)


class Saving(nn.Module):
    def forward(self, x):
        torch.save(x, "ran")
        return x


class Lists(nn.Module):
    """Changes lists and dictionaries in place, as scripted networks do."""

    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(64, 3)

    def forward(self, x):
        order = [2, 0, 1]
        order.sort()
        order[0] = 1 - order[1]
        parts = [x, 2 * x]
        parts += [3 * x]
        parts.insert(0, 4 * x)
        parts.extend([5 * x])
        parts.reverse()
        named = {"last": parts.pop(), "third": parts[order[2]]}
        named["first"] = parts[order[0]]
        for value in named.values():
            x = x - value
        return self.classify(x.flatten(1))


def test_lists_and_dictionaries_of_torchscript_are_changed_in_place(tmp_path):
    network = Lists().eval()
    path = saved(script(network), tmp_path / "lists.pt")
    with torch.no_grad():
        torch.testing.assert_close(read(path)(torch.from_numpy(IMAGES)), network(torch.from_numpy(IMAGES)))


def test_torchscript_that_goes_by_numbers_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"network\.pt: it goes by the numbers in a tensor, .*; trace it"):
        read(saved(script(ByNumbers()), tmp_path / "network.pt"))


class Endless(nn.Module):
    def forward(self, x):
        count = 0
        for _ in range(1_000_000):
            for _ in range(1_000_000):
                count += 1
        return x * count


class LongList(nn.Module):
    def forward(self, x):
        many = [1] * 1_000_000_000_000
        return x * len(many)


class Squares(nn.Module):
    def forward(self, x):
        number = 2
        for _ in range(60):
            number *= number
        return x * number


def twice(inner):
    def function(x: torch.Tensor) -> torch.Tensor:
        return inner(inner(x))

    return script(function)


class Calling(nn.Module):
    """Forty short functions that call each other: 2^40 operators."""

    def __init__(self):
        super().__init__()
        self.function = functools.reduce(lambda inner, _: twice(inner), range(40), F.relu)

    def forward(self, x):
        return self.function(x)


LARGE = "larger than any network's"


@pytest.mark.parametrize(
    ("network", "said"), [(Endless, "after 50,000 others"), (LongList, LARGE), (Squares, LARGE), (Calling, "more than 200,000 operators")]
)
def test_torchscript_made_to_go_on_for_ever_is_refused(network, said, tmp_path):
    with pytest.raises(UserError, match=said):
        read(saved(script(network()), tmp_path / "network.pt"))


def test_torchscript_runs_no_code_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "ran"
    path = saved(script(OfFiles(str(marker))), tmp_path / "network.pt")
    marker.unlink(missing_ok=True)
    with pytest.raises(UserError, match="runs code of its own when it is opened"):
        read(path)
    with pytest.raises(UserError, match=r"operator 'aten::save'.* can't be followed"):
        read(saved(script(Saving()), tmp_path / "saving.pt"))
    assert not marker.exists()
    assert read(path, trust=True).name == "network"
    assert marker.exists()


def test_damaged_torchscript_is_one_line(tmp_path):
    path = saved(script(Small().eval()), tmp_path / "network.pt")
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        with pytest.raises(UserError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path(self.path).write_text, ("ran",)


MODULE = "from torch import nn\n\nclass Net(nn.Sequential):\n    pass\n"
TENSORS = {"conv.weight": torch.zeros(3, 1, 3, 3), "conv.bias": torch.zeros(3)}


def whole(path):
    sys.path.insert(0, str(path.parent))
    (path.parent / "own_pickled_module.py").write_text(MODULE)
    import own_pickled_module

    torch.save(own_pickled_module.Net(nn.Flatten(), nn.Linear(64, 3)), path)
    sys.path.remove(str(path.parent))
    del sys.modules["own_pickled_module"]


TRAPS = {
    "state.pth": (lambda path: torch.save(TENSORS, path), "is a checkpoint with 2 tensors: it holds weights without their network"),
    "old.th": (lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False), "is a checkpoint with 2 tensors"),
    "model.pt": (lambda path: torch.save({"model": TENSORS, "epoch": 3}, path), "name its factory (package.module:name) as 'source'"),
    "last.ckpt": (
        lambda path: torch.save({"state_dict": TENSORS, "pytorch-lightning_version": "2.6", "path": Path()}, path),
        "is a checkpoint of Lightning with 2 tensors",
    ),
    "whole.pt": (whole, "is a pickled own_pickled_module.Net, and loading it runs any code"),
    "payload.pt": (lambda path: torch.save({"a": Payload(path.with_name("ran"))}, path), "is a pickled dict, not a network"),
    "payload.pkl": (lambda path: path.write_bytes(pickle.dumps(Payload(path.with_name("ran")))), "not a network"),
    "state.safetensors": (lambda path: save_file(TENSORS, path), "is a .safetensors file: it holds weights without their network"),
    "really_a_checkpoint.onnx": (lambda path: torch.save(TENSORS, path), "is a checkpoint with 2 tensors"),
    "page.pt2": (lambda path: path.write_text("<!DOCTYPE html><html>Sign in</html>"), "is a web page"),
    "pointer.tflite": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
    "empty.onnx": (lambda path: path.write_bytes(b""), "is an empty file"),
    "weights.tar.gz": (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(40)), "unpack it"),
    "data.npz": (lambda path: np.savez(path, x=IMAGES), "is a zip archive of something else"),
    "folder": (lambda path: path.mkdir(), "is an empty folder, which is no network"),
    "other": (lambda path: (path.mkdir(), (path / "notes.txt").write_text("")), "holds notes.txt, which is no network"),
    "config_only": (
        lambda path: (path.mkdir(), (path / "config.json").write_text('{"architectures": ["ViTForImageClassification"]}')),
        "holds no model.safetensors",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_told_with_its_cure(name, tmp_path):
    make, message = TRAPS[name]
    make(tmp_path / name)
    with pytest.raises(UserError) as caught:
        read(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_what_is_missing_is_told_with_all_that_can_be_read(tmp_path):
    for source in ("missing.onnx", "no module:at all"):
        with pytest.raises(UserError) as caught:
            read(tmp_path / source)
        assert all(SOURCES.load(name).kind in str(caught.value) for name in SOURCES.names())


def test_the_docs_list_all_that_can_be_read():
    text = (Path(__file__).parent.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    assert [name for name in SOURCES.names() if f"| {SOURCES.load(name).kind} |" not in text] == []


def test_the_content_says_what_a_file_is_not_its_ending(tmp_path):
    path = saved(script(Small().eval()), tmp_path / "network.pt")
    for ending in (".onnx", ".pt2", ".tflite", ".h5", ""):
        copy = tmp_path / f"copy{ending}"
        shutil.copy(path, copy)
        assert read(copy).name == "copy"


def test_a_pickled_module_is_read_where_it_is_trusted(tmp_path):
    whole(tmp_path / "whole.pt")
    model = read(tmp_path / "whole.pt", trust=True)
    assert set(dict(model.graph.named_parameters())) == {"1.weight", "1.bias"}
