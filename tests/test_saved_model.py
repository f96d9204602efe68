"""SavedModels as sources: TensorFlow's own converter in a process of its own, and a torch graph that answers as TensorFlow does."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from damaged_files import IN_BYTES
from quantized_networks import split_of

import compress
from compress.data.base import Data
from compress.sources.base import SourceOptions
from compress.sources.saved_model import SavedModel
from targets.errors import UserError

QUICK = ("mobile", "python")
SLOW = ("attention", "recurrent", "convolutions", "plain", "two", "file", "printed", "saved", "aborted")


def written(folder, names):
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("saved_models.py"), folder, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return written(tmp_path_factory.mktemp("models"), QUICK)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return written(tmp_path_factory.mktemp("models"), SLOW)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def sample(path):
    held = np.load(path.with_suffix(".npz"))
    inputs = held["inputs"]
    return (np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)) if inputs.ndim == 4 else inputs), held["outputs"]


def read(path):
    inputs, outputs = sample(path)
    split = split_of(inputs)
    return compress.load(path, Data("random", split, split, split, "random")), torch.from_numpy(inputs), outputs


def test_a_keras_export_answers_as_tensorflow_does_under_its_own_names(quick):
    model, inputs, outputs = read(quick / "mobile")
    np.testing.assert_allclose(model(inputs).numpy(), outputs, rtol=1e-4, atol=1e-6)
    layers = {"stem", "first_dw", "first_pw", "second_dw", "second_pw", "head"}
    assert {name for name, _ in model.graph.named_parameters()} == {f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}
    assert model.free_batch
    assert not [node for node in model.graph.graph.nodes if "permute" in str(node.target)]


def test_a_conversion_is_kept(quick, monkeypatch):
    inputs, _ = sample(quick / "mobile")
    source = SavedModel(SourceOptions(str(quick / "mobile")))
    source((torch.from_numpy(inputs[:1]),))
    monkeypatch.setattr(sys, "executable", "/nothing/runs/any/more")
    assert [tuple(given.shape) for given in source.inputs()] == [(1, 3, 16, 16)]


def test_python_code_is_refused_and_not_run(quick):
    with pytest.raises(UserError, match=r"operation '\w+' \(EagerPyFunc\) calls Python code, which isn't in the file"):
        SavedModel(SourceOptions(str(quick / "python"))).inputs()
    assert not (quick / "trace").exists()


def test_without_tensorflow_the_cure_is_said(tmp_path, monkeypatch):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r"not installed; run: pip install 'edgepress\[tensorflow\]'"):
        SavedModel(SourceOptions(str(tmp_path))).inputs()


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(bytes(range(1, 200)))
    with pytest.raises(UserError, match=r"saved_model.pb is damaged; save the model again$"):
        SavedModel(SourceOptions(str(tmp_path))).inputs()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attention", "recurrent", "convolutions", "plain"])
def test_more_networks_answer_as_tensorflow_does(name, slow):
    model, inputs, outputs = read(slow / name)
    np.testing.assert_allclose(model(inputs).numpy(), outputs, rtol=1e-4, atol=1e-5)
    assert model.free_batch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("two", "has the signatures double, half; save it with the one to use as 'serving_default'"),
        ("file", r"\(WriteFile\) reaches beyond"),
        ("printed", r"\(PrintV2\) reaches beyond"),
        ("saved", r"\(SaveV2\) reaches beyond"),
        ("aborted", r"\(Abort\) reaches beyond"),
    ],
)
def test_what_cannot_be_used_says_so(name, said, slow):
    with pytest.raises(UserError, match=said):
        SavedModel(SourceOptions(str(slow / name))).inputs()
    assert not (slow / "trace").exists()


@pytest.mark.slow
def test_a_saver_that_loading_would_call_is_refused(quick, tmp_path):
    """The checkpoint's own function is there in every SavedModel; named in the object graph it could be called as an initializer."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("saved_models.py"), quick / "mobile", "--saver-called", tmp_path / "called"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with pytest.raises(UserError, match=r"\((SaveV2|MergeV2Checkpoints)\) reaches beyond"):
        SavedModel(SourceOptions(str(tmp_path / "called"))).inputs()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_any_damage_is_a_network_or_one_line(seed, quick, tmp_path):
    """TensorFlow itself reads what is damaged, in its own process, whose memory is limited."""
    folder = shutil.copytree(quick / "mobile", tmp_path / "mobile")
    random = np.random.default_rng(seed)
    damaged = (
        folder / ("saved_model.pb", "saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")[seed % 4]
    )
    damaged.write_bytes(IN_BYTES[seed // 4](random, damaged.read_bytes()))
    before = sorted(tmp_path.rglob("*"))
    (inputs, _), said = sample(quick / "mobile"), ""
    try:
        compress.sources.load(SourceOptions("mobile", folder=tmp_path), (inputs,))
    except UserError as error:
        said = str(error)
        assert str(folder) in said
    assert "\n" not in said
    assert before == sorted(tmp_path.rglob("*"))


@pytest.mark.slow
def test_open_axes_take_the_data_s_sizes(slow):
    (given,) = SavedModel(SourceOptions(str(slow / "plain"))).inputs()
    assert given.shape == (1, 2, None, None)
    with pytest.raises(UserError, match=r"takes samples of shape \[None, None, 2\], the data's are \[3, 8, 8\]"):
        SavedModel(SourceOptions(str(slow / "plain")))((torch.zeros(1, 3, 8, 8),))
