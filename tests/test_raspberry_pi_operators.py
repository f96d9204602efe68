"""Rows of an ONNX file's operators on emulated Raspberry Pis: what the marks say, the practice, and networks under emulation."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from small_files import dense_onnx, float_answer, float_samples

from targets import boards, formats, jobs
from targets.base import Layer, RunOptions
from targets.raspberry_pi import emulator, operators

RANDOM = np.random.default_rng(0)
SPENT = st.integers(0, 10**6)
TREES = st.tuples(SPENT, st.lists(st.tuples(SPENT, st.lists(st.tuples(SPENT, st.just([])), max_size=1)), max_size=2))


def marked(tree, count, lines):
    """Adds the lines of one call, whose own instructions are before the calls within it; gives the count after it."""
    own, inner = tree
    lines.append(f"call {count}")
    count += own
    for each in inner:
        count = marked(each, count, lines)
    lines.append(f"back {count}")
    return count


def size(tree):
    return 1 + sum(size(each) for each in tree[1])


def total(tree):
    return tree[0] + sum(total(each) for each in tree[1])


@given(st.lists(st.lists(TREES, max_size=4), min_size=1, max_size=3), st.integers(0, 1000))
def test_every_outermost_call_has_what_was_spent_in_it_and_the_rows_add_up_to_the_whole(inferences, around):
    lines, count = [], 0
    for trees in inferences:
        lines += [f"0 {count}", f"1 {count}"]
        count += around
        for tree in trees:
            count = marked(tree, count, lines)
        lines.append(f"2 {count}")
    marks = "\n".join(lines)
    wholes = emulator.inferences(marks)
    for trees, found, whole in zip(inferences, operators.calls(marks), wholes, strict=True):
        assert [count for count in found if count is not None] == [total(tree) for tree in trees]
        assert len(found) == sum(size(tree) for tree in trees)
        rest, *rows = operators.layers([{"name": "n", "operator": "Relu"}] * len(found), found, whole)
        assert rest.instructions == around
        assert rest.instructions + sum(row.instructions for row in rows) == whole
        assert len(rows) == len(trees)


def test_where_calls_and_names_do_not_agree_nothing_is_guessed():
    nodes = [{"name": "a", "operator": "Relu"}, {"name": "b", "operator": "Gemm"}]
    for counts, whole in (([5], 10), ([], None)):
        rows = operators.layers(nodes, counts, whole)
        assert rows == (Layer("a", "Relu"), Layer("b", "Gemm"))
        assert operators.note(rows) == (operators.MISSING,)
    assert operators.note(()) == ()


def test_the_practice_runs_as_many_nodes_as_the_plugin_is_told(tmp_path):
    (tmp_path / operators.PRACTICE).write_bytes(operators.practice())
    onnx.checker.check_model(str(tmp_path / operators.PRACTICE), full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(operators.practice(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"numbers_0": np.ones((1, 4), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    assert sum(event["name"].endswith("_kernel_time") for event in events) == operators.NODES


def test_the_runner_practises_first_and_lists_the_operators_of_one_inference(tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    job = tmp_path / "job"
    job.mkdir()
    (job / operators.PRACTICE).write_bytes(operators.practice())
    jobs.write(job, artifact, [(float_samples(3),)], RunOptions(energy=False), mark=True, practice=operators.PRACTICE)
    result = jobs.execute([sys.executable], job, artifact)
    assert result["layers"] == [{"name": "dense", "operator": "Gemm"}]
    np.testing.assert_allclose(jobs.outputs(job)[0], float_answer(float_samples(3)), rtol=1e-5, atol=1e-5)


def looping(path):
    """A convolution, a loop of three rounds of two operators each, and a sum."""
    weights = numpy_helper.from_array(RANDOM.normal(size=(8, 4, 3, 3)).astype(np.float32), "weights")
    rounds, yes = numpy_helper.from_array(np.int64(3), "rounds"), numpy_helper.from_array(np.bool_(True), "yes")
    image = [1, 8, 14, 14]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["goes_on"]),
            helper.make_node("Sigmoid", ["state"], ["bent"], name="bend"),
            helper.make_node("MaxPool", ["bent"], ["next"], name="pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, image),
        ],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", TensorProto.FLOAT, image)],
    )
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["features"], name="convolution"),
        helper.make_node("Loop", ["rounds", "yes", "features"], ["looped"], name="loop", body=body),
        helper.make_node("ReduceSum", ["looped"], ["y"], name="sum", keepdims=0, noop_with_empty_axes=0),
        helper.make_node("Unsqueeze", ["y", "axes"], ["z"], name="one"),
    ]
    axes = numpy_helper.from_array(np.int64([0]), "axes")
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (("x", [1, 4, 16, 16]), ("z", [1]))]
    graph = helper.make_graph(nodes, "looping", *ends, [weights, rounds, yes, axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("board", ["raspberry-pi-4", "raspberry-pi-5"])
def test_counted_in_place_they_add_up_to_the_whole_and_a_loop_is_one_row(tmp_path, board):
    target = boards.target(board)
    if target.available():
        pytest.skip(str(target.available()))
    artifact = formats.read(looping(tmp_path / "looping.onnx"))
    sample = RANDOM.normal(size=(1, 4, 16, 16)).astype(np.float32)
    first, *others = (target.run(artifact, [(sample,)], RunOptions()) for _ in range(3))
    assert first.layers[0].name == "runtime"
    assert {"convolution", "loop", "sum"} <= {layer.name for layer in first.layers}
    assert not {"bend", "pool"} & {layer.name for layer in first.layers}
    assert sum(layer.instructions for layer in first.layers) == first.instructions
    costs = {layer.name: layer.instructions for layer in first.layers}
    assert costs["loop"] > 3 * 8 * 14 * 14
    assert all((other.instructions, other.layers) == (first.instructions, first.layers) for other in others)
