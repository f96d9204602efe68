"""Budgets: every file must keep them, what was not measured is said and fails nothing, and a wrong one is refused when it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.report.budgets import check_budgets, verdicts
from compress.report.content import Row
from targets.errors import UserError

HOST = Row("net.tflite", "tflite", "host", "measured", accuracy=0.975, bytes=50 * 1024, latency_ms=2.0, latency_source="measured")
ONNX = Row("net.onnx", "onnx", "host", "measured", accuracy=0.98, bytes=80 * 1024, latency_ms=4.0, latency_source="measured")
BOARD = Row("net.c", "c", "nano-33-ble", "emulated", 0.97, bytes=900 * 1024, ram_bytes=20480, latency_ms=30.0, latency_source="estimated")
PHONE = Row("net.tflite", "tflite", "pixel-8", "not measured", bytes=50 * 1024, reason="no device is attached; attach one")
ROWS = [HOST, ONNX, BOARD, PHONE]


def one(budgets, rows=ROWS, original=0.985):
    (verdict,) = verdicts(budgets, rows, original)
    return verdict


def test_the_worst_file_decides():
    verdict = one({"accuracy_drop": 0.012})
    assert verdict.kept is False
    assert verdict.artifact == "net.c"
    assert verdict.value == pytest.approx(0.015)
    assert verdict.why == "net.c on nano-33-ble: 0.0150 (emulated)"
    assert one({"accuracy_drop": 0.02}).kept is True


def test_a_drop_of_exactly_the_limit_is_kept():
    assert 0.985 - 0.975 > 0.01
    assert one({"accuracy_drop": 0.01}, [HOST]).kept is True


def test_a_drop_is_taken_on_the_samples_that_ran():
    few = Row("net.c", "c", "nano-33-ble", "emulated", accuracy=0.95, original_accuracy=0.95, samples=20)
    assert one({"accuracy_drop": 0}, [few]).value == 0


def test_sources_in_c_have_no_size_of_their_own():
    verdict = one({"size_kb": 80})
    assert verdict.kept is True
    assert verdict.artifact == "net.onnx"
    assert one({"size_kb": 80}, [BOARD]).kept is None


def test_budgets_of_a_target_see_its_rows_only_and_say_how_the_figure_came_about():
    found = verdicts({"nano-33-ble": {"latency_ms": 25, "ram_kb": 20}, "host": {"latency_ms": 4}}, ROWS, 0.985)
    assert [(v.target, v.budget, v.kept) for v in found] == [
        ("nano-33-ble", "latency_ms", False),
        ("nano-33-ble", "ram_kb", True),
        ("host", "latency_ms", True),
    ]
    assert found[0].why == "net.c: 30 ms (estimated)"


def test_what_was_not_measured_is_not_checked_and_says_why():
    verdict = one({"pixel-8": {"latency_ms": 5}})
    assert verdict.kept is None
    assert verdict.value is None
    assert verdict.why == "not checked: net.tflite: no device is attached; attach one"
    assert one({"nano-33-ble": {"flash_kb": 5}}).why == "not checked: net.c: this target does not give the figure"


def test_one_file_without_a_figure_leaves_a_kept_budget_open_but_not_a_missed_one():
    lost = Row("other.tflite", "tflite", "host", "not measured", reason="no runtime; install it")
    kept, missed = (one({"host": {"latency_ms": limit}}, [HOST, lost]) for limit in (3, 1))
    assert kept.kept is None
    assert "net.tflite: 2 ms (measured) keeps it; not checked: other.tflite: no runtime" in kept.why
    assert missed.kept is False


def test_a_file_measured_anywhere_is_enough_for_a_budget_on_every_file():
    assert one({"accuracy_drop": 0.02}, [HOST, PHONE]).kept is True


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5), st.floats(0.1, 100))
def test_a_budget_is_kept_exactly_when_every_file_keeps_it(latencies, limit):
    rows = [Row(f"{i}.tflite", "tflite", "host", "measured", latency_ms=value) for i, value in enumerate(latencies)]
    assert one({"host": {"latency_ms": limit}}, rows).kept is all(value <= limit + 1e-9 for value in latencies)


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        ({"acuracy_drop": 0.01}, "unknown key 'acuracy_drop'; did you mean 'accuracy_drop'"),
        ({"nano33ble": {"ram_kb": 3}}, "did you mean 'nano-33-ble'"),
        ({"host": {"latency": 5}}, r"budgets\.host: unknown key 'latency'; did you mean 'latency_ms'"),
        ({"host": None}, "a mapping, like {latency_ms: 5}, not None"),
        ({"host": {}}, "a mapping"),
        ({"host": 5}, "a mapping"),
        ({"host": {"latency_ms": "5ms"}}, r"budgets\.host\.latency_ms: a number above 0 is needed, not '5ms'"),
        ({"host": {"latency_ms": True}}, "not True"),
        ({"host": {"latency_ms": 0}}, "a number above 0"),
        ({"size_kb": float("nan")}, "a number above 0"),
        ({"size_kb": float("inf")}, "a number above 0"),
        ({"size_kb": 10**400}, "a number above 0"),
        ({"size_kb": [200]}, "a number above 0"),
        ({"accuracy_drop": -0.1}, "a number of 0 or more"),
        ({"accuracy_drop": 1}, "one point is 0.01"),
        ({"latency_ms": 5}, "write it below the target's name, like host: {latency_ms: 5}"),
        ({3: 4}, "unknown key '3'"),
    ],
)
def test_wrong_budgets_are_refused_when_they_are_read(budgets, words):
    with pytest.raises(UserError, match=words):
        check_budgets(budgets, ["host", "nano-33-ble"])


def test_a_board_that_nothing_is_measured_on_is_refused():
    with pytest.raises(UserError, match="add 'host' to targets"):
        check_budgets({"host": {"latency_ms": 5}}, ["nano-33-ble"])


def test_right_budgets_pass_and_other_metrics_may_drop_by_more_than_one():
    check_budgets({"accuracy_drop": 0, "size_kb": 10**9, "nano-33-ble": {"latency_ms": 60, "ram_kb": 64.5}}, ["nano-33-ble"])
    check_budgets({"accuracy_drop": 3}, ["host"], "mse")


def test_a_board_of_the_users_own_is_known_by_path_and_name(tmp_path):
    file = tmp_path / "board.yaml"
    file.write_text("name: mine\ntitle: Mine\ntarget: host\nsources: {}\n")
    for key in ("mine", str(file)):
        check_budgets({key: {"latency_ms": 5}}, [str(file)])
        (verdict,) = verdicts({key: {"latency_ms": 5}}, [Row("a", "tflite", "mine", "measured", latency_ms=6)], None)
        assert verdict.kept is False
