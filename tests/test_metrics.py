"""Metrics against scikit-learn's, and what a function of one's own may give."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

import compress
from compress.evaluation import score
from compress.metrics import METRICS, Metric, metric
from targets.errors import UserError


def predictions(samples, classes, seed):
    random = np.random.default_rng(seed)
    return random.integers(-8, 8, (samples, classes)).astype(np.float32), random.integers(0, classes, samples)


def softmax(scores):
    exponentials = np.exp(scores.astype(np.float64))
    return exponentials / exponentials.sum(1, keepdims=True)


@given(samples=st.integers(1, 60), classes=st.integers(2, 5), seed=st.integers(0, 1000))
def test_f1_is_scikit_learns(samples, classes, seed):
    scores, labels = predictions(samples, classes, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class without predictions
        expected = reference.f1_score(labels, scores.argmax(1), average="macro")
    assert metric("f1")(scores, labels) == pytest.approx(expected, abs=1e-12)


@given(classes=st.integers(2, 5), seed=st.integers(0, 1000))
def test_auc_is_scikit_learns(classes, seed):
    _, labels = predictions(40, classes, seed)
    scores = np.random.default_rng(seed).standard_normal((40, classes))  # without ties, which rounding would break
    labels[:classes] = np.arange(classes)
    probabilities = softmax(scores)
    expected = reference.roc_auc_score(labels, probabilities[:, 1] if classes == 2 else probabilities, multi_class="ovr")
    assert metric("auc")(scores, labels) == pytest.approx(expected, abs=1e-9)
    assert metric("auc")(probabilities, labels) == pytest.approx(expected, abs=1e-9)


def test_auc_of_one_output_ranks_the_positives():
    scores, labels = np.array([[0.1], [0.4], [0.35], [0.8]], np.float32), np.array([0, 0, 1, 1])
    assert metric("auc")(scores, labels) == 0.75
    assert metric("auc")(scores, labels[:, None].astype(np.float32)) == 0.75


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("auc", np.zeros(6, np.int64), "have the same label"),
        ("auc", np.full(6, 7), "tells 3 classes apart"),
        ("f1", np.zeros(6, np.float32), "say 'metric: mse'"),
        ("f1", np.full(6, -1), "labels go from -1"),
    ],
)
def test_labels_that_a_metric_cannot_use_are_told(name, labels, message):
    with pytest.raises(UserError, match=message):
        metric(name)(np.ones((6, 3), np.float32), labels)


def test_ones_own_function_gives_one_number_or_one_for_each_sample(tmp_path):
    (tmp_path / "mine_for_metrics.py").write_text(
        "import numpy as np\n"
        "def whole(predictions, labels):\n    return float(predictions.max())\n"
        "def each(predictions, labels):\n    return predictions[:, 0]\n"
        "def wrong(predictions, labels):\n    return predictions\n"
    )
    scores, labels = np.array([[1.0, 5.0], [3.0, 4.0]]), np.array([0, 1])
    assert metric("mine_for_metrics:whole", tmp_path)(scores, labels) == 5
    assert metric("mine_for_metrics:each", tmp_path)(scores, labels) == 2
    with pytest.raises(UserError, match="one number is wanted, or one each"):
        metric("mine_for_metrics:wrong", tmp_path)(scores, labels)


@pytest.mark.parametrize(
    ("function", "word"), [(lambda *_: None, "gives None"), (lambda *_: "x", "gives 'x'"), (lambda *_: 1 // 0, "ZeroDivisionError")]
)
def test_ones_own_function_that_fails_is_told(function, word):
    with pytest.raises(UserError, match=f"metric own:score: .*{word}"):
        Metric("own:score", function)(np.zeros((2, 3)), np.zeros(2, int))


def test_the_metric_of_the_first_samples_is_computed_on_them_alone():
    found = score(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), np.array([1, 0, 1]), metric("f1"))
    assert found.metric == pytest.approx(2 / 3)
    assert found.first(2).metric == 1


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"mse"}))
def test_a_network_is_measured_by_the_metric_named(name):
    data = compress.load_data("digits")
    perfect = Metric(name, METRICS[name])
    labels = data.evaluation.load(np.arange(50))[1]
    assert perfect(np.eye(10)[labels], labels) == 1
    assert perfect(np.eye(10)[labels] * -1, labels) < 0.5


def test_a_metric_that_gives_no_finite_number_is_named():
    with pytest.raises(UserError, match="metric mine: gives nan for 2 samples"):
        Metric("mine", lambda predictions, labels: np.array([1.0, np.nan]))(np.zeros((2, 3)), np.zeros(2))  # noqa: ARG005
