"""Every kind of data: the three parts never share a sample, arrive as the contract says, and a mistake is one clear line."""

import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from compress.arrays import Preparation, from_arrays
from compress.data import DATA
from compress.data.base import Data
from compress.data.builtin import Builtin
from compress.data.factory import Factory
from compress.data.npz import Npz
from compress.splitting import Division, stratified_order
from targets.errors import UserError

PARTS = ("training", "calibration", "evaluation")


def values(split):
    """Every sample of a part as one row, so that parts can be compared by content."""
    batches = [inputs[0].reshape(len(inputs[0]), -1) for inputs, _ in split.batches(7)]
    return np.concatenate(batches) if batches else np.empty((0, 1), np.float32)


def numbered(samples, classes=3):
    """Samples that each hold their own number."""
    return {"x": np.arange(samples, dtype=np.float32).reshape(-1, 1), "y": np.arange(samples) % classes}


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


def images(samples, **more):
    rng = np.random.default_rng(0)
    return {"x": rng.integers(0, 256, (samples, 4, 6, 3), np.uint8), "y": np.arange(samples) % 2, **more}


def test_every_kind_of_data_refuses_unknown_options():
    assert DATA.names() == ("builtin", "factory", "images", "npz")
    for name in DATA.names():
        with pytest.raises(ValueError, match="colour"):
            TypeAdapter(DATA.load(name)).validate_python({"colour": 1})


@given(st.lists(st.integers(0, 4), min_size=4, max_size=300), st.integers(0, 2**31), st.data())
def test_a_pool_is_divided_without_loss_or_overlap(labels, seed, data):
    evaluation = data.draw(st.none() | st.integers(1, len(labels) - 2))
    rest = len(labels) - (evaluation or max(1, len(labels) // 5))
    calibration = data.draw(st.none() | st.integers(1, rest - 1))
    parts = Division(calibration, evaluation, seed).pool(np.array(labels, np.int64))
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all(len(part) for part in parts)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=300), st.integers(0, 2**31), st.data())
def test_every_beginning_has_the_classes_in_their_proportions(labels, seed, data):
    labels = np.array(labels, np.int64)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    beginning = data.draw(st.integers(0, len(labels)))
    for label in np.unique(labels):
        share = (labels == label).mean() * beginning
        assert abs((labels[order[:beginning]] == label).sum() - share) <= len(np.unique(labels))


@given(st.integers(8, 60), st.integers(5, 40), st.integers(0, 100))
def test_calibration_comes_out_of_the_training_part_only(train, test, seed):
    pool, other = numbered(train), numbered(test)
    arrays = {"x_train": pool["x"], "y_train": pool["y"], "x_test": other["x"] + 1000, "y_test": other["y"]}
    data = from_arrays("arrays", arrays, Division(seed=seed), Preparation())
    training, calibration, evaluation = (set(values(getattr(data, part)).ravel()) for part in PARTS)
    assert training | calibration == set(range(train))
    assert not training & calibration
    assert calibration
    assert evaluation == set(range(1000, 1000 + test))


def test_the_digits_arrive_scaled_labelled_and_apart():
    data = Builtin()()
    assert [getattr(data, part).samples for part in PARTS] == [1197, 200, 400]
    inputs, labels = next(data.evaluation.batches(50))
    assert inputs[0].shape == (50, 1, 8, 8)
    assert inputs[0].dtype == np.float32
    assert labels.dtype == np.int64
    assert 0 <= inputs[0].min() < inputs[0].max() <= 1
    assert data.labels == tuple("0123456789")
    assert np.bincount(np.concatenate([labels for _, labels in data.evaluation.batches()])).min() >= 38


def test_the_same_seed_divides_alike_and_another_differently():
    first, again, other = Builtin()(), Builtin()(), Builtin(seed=1)()
    assert np.array_equal(values(first.calibration), values(again.calibration))
    assert not np.array_equal(values(first.calibration), values(other.calibration))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_npz_images_become_float_nchw_with_mean_and_std(saved):
    path = saved(**images(20), classes=np.array(["cat", "dog"]))
    data = Npz(path, layout="nhwc", mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.25), evaluation=20 - 8, calibration=4)()
    (batch,), _ = next(data.training.batches())
    assert batch.shape == (4, 3, 4, 6)
    assert batch.dtype == np.float32
    stored = images(20)["x"].transpose(0, 3, 1, 2) / 255
    expected = (stored - np.array([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)) / np.array([0.5, 0.5, 0.25]).reshape(1, 3, 1, 1)
    for sample in batch:
        assert np.isclose(expected, sample, atol=1e-6).reshape(20, -1).all(1).sum() == 1
    assert data.labels == ("cat", "dog")


def test_npz_floats_stay_as_they_are_and_grey_images_get_their_channel(saved):
    grey = np.linspace(-3, 9, 10 * 5 * 5).reshape(10, 5, 5)
    (batch,), _ = next(Npz(saved(x=grey, y=np.zeros(10, bool)), layout="nhw", evaluation=6)().evaluation.batches())
    assert batch.shape == (6, 1, 5, 5)
    assert all((np.abs(grey - sample) < 1e-6).all((1, 2)).any() for sample in batch)


def test_npz_takes_several_inputs_and_regression_targets(saved):
    path = saved(x0=np.ones((12, 3)), x1=np.zeros((12, 2, 2), np.int8), y=np.ones((12, 4)))
    inputs, labels = next(Npz(path)().training.batches())
    assert [values.shape[1:] for values in inputs] == [(3,), (2, 2)]
    assert {values.dtype for values in inputs} == {np.dtype(np.float32)}
    assert labels.dtype == np.float32
    assert labels.shape[1:] == (4,)


def test_npz_parts_of_their_own_are_kept_and_training_may_be_missing(saved):
    arrays = {f"{key}_{part}": array for part in ("calibration", "test") for key, array in numbered(10).items()}
    data = Npz(saved(**arrays))()
    assert [getattr(data, part).samples for part in PARTS] == [0, 10, 10]
    assert list(data.training.batches()) == []
    arrays |= {"x_train": numbered(30)["x"], "y_train": numbered(30)["y"][:, None]}
    assert [getattr(Npz(saved(**arrays), evaluation=4, calibration=3)(), part).samples for part in PARTS] == [30, 3, 4]


def test_the_fingerprint_follows_content_and_choice_and_not_the_file(saved, tmp_path):
    first = Npz(saved(**images(20)), layout="nhwc")().fingerprint
    np.savez_compressed(tmp_path / "other.npz", **images(20))
    assert Npz(tmp_path / "other.npz", layout="nhwc")().fingerprint == first
    assert Npz(tmp_path / "other.npz", layout="nhwc", seed=1)().fingerprint != first
    changed = images(20)
    changed["x"][3, 0, 0, 0] ^= 1
    assert Npz(saved(**changed), layout="nhwc")().fingerprint != first


X, Y = np.zeros((10, 4), np.float32), np.zeros(10, np.int64)
SPOILT = X.copy()
SPOILT[7, 2] = np.nan


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "y": Y, "X_trian": X}, r"unknown array 'X_trian'; did you mean 'x_train'\?"),
        ({"x": X}, "'y' is missing"),
        ({"y": Y}, "'x' is missing"),
        ({}, "holds no samples; save arrays x and y"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y}, "keep x and y, or x_train"),
        ({"x_train": X, "y_train": Y}, "x_test and y_test are missing"),
        ({"x_test": X, "y_test": Y}, "x_train and y_train are missing"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"parts differ.*test \[N, 2\].*train \[N, 4\]"),
        ({"x0": X, "x2": X, "y": Y}, "called x0, x1"),
        ({"x": X[:8], "y": Y}, "8 samples and y 10"),
        ({"x": SPOILT, "y": Y}, "sample 7 holds NaN"),
        ({"x": X.astype(np.float64) + 1e300, "y": Y}, "sample 0 holds NaN or infinity"),
        ({"x": X.astype("U3"), "y": Y}, "not numbers; save it as uint8 or float32"),
        ({"x": X.astype(object), "y": Y}, "'x' can't be read .*; save plain arrays"),
        ({"x": X[:0], "y": Y[:0]}, "at least one sample|one label a sample"),
        ({"x": np.float32(1), "y": np.int64(1)}, r"shape \[\]"),
        ({"x": Y, "y": Y}, r"x: has shape \[10\]"),
        ({"x": X, "y": Y - 1}, "class -1 is below 0"),
        ({"x": X, "y": np.eye(10, dtype=int)}, r"class numbers are \[N\]"),
        ({"x": X, "y": Y.astype(complex)}, "labels are class numbers"),
        ({"x": X, "y": Y + 2, "classes": np.array(["a", "b"])}, "2 names and a label 2"),
        ({"x": X, "y": Y, "classes": np.arange(3)}, "a list of names is needed"),
        ({"x": X[:1], "y": Y[:1]}, "evaluation: 1 of 1 samples leave none to train with"),
        ({"x": X[:2], "y": Y[:2]}, "calibration: 1 of 1 samples leave none to train with"),
    ],
)
def test_wrong_arrays_are_named_with_their_cure(saved, arrays, words):
    path = saved(**arrays)
    with pytest.raises(UserError, match=words) as caught:
        Npz(path)()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_damaged_and_foreign_files_are_told_in_one_line(saved, tmp_path):
    path = saved(**images(50))
    content = bytearray(path.read_bytes())
    for spoilt in (content[:-30], content[: len(content) // 2], b"", b"\x93NUMPY rubbish", b"PK\x03\x04 rubbish"):
        path.write_bytes(spoilt)
        with pytest.raises(UserError, match=r"data\.npz: is no \.npz file"):
            Npz(path)()
    content[300] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"'x' can't be read \(BadZipFile"):
        Npz(path)()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array at all")
    with pytest.raises(UserError, match=r"data\.npz"):
        Npz(path)()
    with pytest.raises(UserError, match="does not exist"):
        Npz(tmp_path / "none.npz")()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"calibration": 0}, "calibration: at least 1"),
        ({"evaluation": -3}, "evaluation: at least 1"),
        ({"seed": -1}, "seed"),
        ({"layout": "nwhc"}, "did you mean 'nhwc'"),
        ({"std": (0.0,)}, "std: numbers above 0"),
        ({"mean": ()}, "mean: one number"),
        ({"scale": float("nan")}, "scale: a number above 0"),
    ],
)
def test_impossible_options_die_at_construction(options, words):
    with pytest.raises(UserError, match=words):
        Npz("data.npz", **options)


def test_too_many_samples_and_wrong_channels_are_refused(saved):
    path = saved(**images(20))
    with pytest.raises(UserError, match="evaluation: 20 of 20 samples leave none"):
        Npz(path, evaluation=20)()
    with pytest.raises(UserError, match="calibration: 16 of 16 samples leave none"):
        Npz(path, calibration=16)()
    with pytest.raises(UserError, match="mean has 2 numbers and the input 3 channels"):
        Npz(path, layout="nhwc", mean=(0, 0))()


def test_an_unknown_builtin_is_named():
    with pytest.raises(UserError, match="did you mean 'digits'"):
        Builtin("digit")


FACTORY = """
import numpy as np
from compress.data.base import Data, Split

def arrays():
    return {"x": np.zeros((30, 1, 2, 2), np.uint8), "y": np.arange(30) % 3}

def parts():
    split = Split(4, lambda rows: ((np.ones((len(rows), 2), np.float32),), rows))
    return Data("own", split, split, split, "fingerprint")

def doubles():
    split = Split(4, lambda rows: ((np.ones((len(rows), 2)),), rows))
    return Data("own", split, split, split, "fingerprint")

def empty():
    split = Split(0, lambda rows: ((np.ones((len(rows), 2), np.float32),), rows))
    return Data("own", split, split, split, "fingerprint")

def nothing(): pass
def wants(argument): pass
def fails(): raise RuntimeError("disk on fire\\nat once")
def ragged(): return {"x": [[1], [1, 2]], "y": [0, 1]}
def wrong(): return {"x": np.zeros((3, 2)), "z": np.zeros(3)}
number = 3
"""


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_data_for_tests.py").write_text(FACTORY)
    return folder


def test_own_code_gives_arrays_or_data(own_folder):
    data = Factory("own_data_for_tests:arrays", own_folder, evaluation=5)()
    assert [getattr(data, part).samples for part in PARTS] == [13, 12, 5]
    made = Factory("own_data_for_tests:parts", own_folder)()
    assert isinstance(made, Data)
    assert made.name == "own"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "returned a NoneType; return compress.data.base.Data or a dict"),
        ("wants", "failed: TypeError"),
        ("fails", "failed: RuntimeError: disk on fire$"),
        ("ragged", "failed: ValueError"),
        ("wrong", "unknown array 'z'"),
        ("number", "is a int, not a function"),
        ("doubles", "training.load must give a tuple of float32"),
        ("empty", "calibration holds no samples"),
        ("array", "did you mean 'arrays'"),
    ],
)
def test_own_code_that_gives_no_data_is_told(own_folder, name, words):
    with pytest.raises(UserError, match=words) as caught:
        Factory(f"own_data_for_tests:{name}", own_folder)()
    assert "\n" not in str(caught.value)


def test_own_code_is_not_imported_before_it_is_called():
    Factory("no_such_module_at_all:name")
    with pytest.raises(UserError, match=r"package\.module:name"):
        Factory("no_such_module_at_all")
