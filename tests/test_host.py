import dataclasses
import json
import sys

import numpy as np
import onnx
import pytest
from small_files import dense_onnx, dense_tflite, float_answer, float_samples, int8_answer, int8_samples

from targets import boards, formats, jobs
from targets.base import RunOptions
from targets.errors import ExportError, UserError
from targets.microcontroller.compiler import compile_tflite

QUICK = RunOptions(warmup=1, repetitions=5)


@pytest.fixture
def host():
    return boards.target("host")


def in_batches(samples, size):
    return [(samples[start : start + size],) for start in range(0, len(samples), size)]


def test_a_float_tflite_file_gives_its_outputs_and_what_it_costs(host, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    samples = float_samples(7)
    measurement = host.run(artifact, in_batches(samples, 3), QUICK)
    np.testing.assert_allclose(measurement.outputs[0], float_answer(samples), rtol=1e-5, atol=1e-5)
    assert measurement.source == "measured"
    assert measurement.latency.repetitions == 5
    assert 0 < measurement.latency.p50_ms <= measurement.latency.p90_ms
    assert [(layer.name, layer.operator) for layer in measurement.layers] == [("runtime", "runtime"), ("y", "FULLY_CONNECTED")]
    assert measurement.layers[0].latency_ms > 0
    assert measurement.layers[1].latency_ms is not None
    assert measurement.runner.startswith("ai-edge-litert 2.")
    assert measurement.ram_bytes > 0
    assert measurement.notes[0].startswith("RAM: ")
    longer = host.run(artifact, in_batches(samples, 3), dataclasses.replace(QUICK, min_seconds=60))
    assert longer.latency.repetitions == 500  # a hundred times as many, which takes microseconds each
    assert measurement.notes[1].startswith("layers: each operator in a file of its own; together ")
    unasked = host.run(artifact, in_batches(samples, 3), dataclasses.replace(QUICK, layers=False))
    assert [(layer.name, layer.latency_ms) for layer in unasked.layers] == [("y", None)]


@pytest.mark.parametrize("kernels", ["default", "reference"])
def test_an_int8_tflite_file_gives_the_integers_of_the_specification(host, tmp_path, kernels):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite", quantized=True))
    samples = int8_samples(20)
    measurement = host.run(artifact, in_batches(samples, 20), RunOptions(warmup=0, repetitions=1, settings={"kernels": kernels}))
    np.testing.assert_array_equal(measurement.outputs[0], int8_answer(samples))
    assert f"{kernels} kernels" in measurement.runner


@pytest.mark.parametrize("batch", ["N", 1])
def test_an_onnx_file_runs_whole_batches_or_one_by_one_and_is_profiled(host, tmp_path, batch):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx", batch=batch))
    samples = float_samples(7)
    measurement = host.run(artifact, in_batches(samples, 4), QUICK)
    np.testing.assert_allclose(measurement.outputs[0], float_answer(samples), rtol=1e-5, atol=1e-5)
    assert [(layer.name, layer.operator) for layer in measurement.layers] == [("dense", "Gemm")]
    assert measurement.layers[0].latency_ms > 0


def test_a_qdq_onnx_file_with_integer_ends_runs(host, tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx", quantized=True, integer_ends=True))
    samples = int8_samples(20)
    (outputs,) = host.run(artifact, in_batches(samples, 20), QUICK).outputs
    assert np.abs(outputs.astype(int) - int8_answer(samples)).max() <= 1  # ONNX rounds halves to even, LiteRT up


def test_c_sources_give_the_integers_of_the_file_they_were_made_from(host, tmp_path):
    sources = compile_tflite(dense_tflite(tmp_path / "m.tflite", quantized=True), tmp_path / "c")
    samples = int8_samples(20)
    measurement = host.run(formats.read(sources.path), in_batches(samples, 8), RunOptions(samples=12))
    np.testing.assert_array_equal(measurement.outputs[0], int8_answer(samples)[:12])
    assert measurement.latency is None
    assert measurement.runner.startswith("zig cc")
    with pytest.raises(UserError, match="no setting is called 'kernels'"):
        host.run(sources, in_batches(samples, 8), RunOptions(settings={"kernels": "reference"}))


def test_every_file_gets_a_row_and_c_only_where_it_is_alone(host, tmp_path):
    tflite = formats.read(dense_tflite(tmp_path / "m.tflite", quantized=True))
    c = compile_tflite(tflite.path, tmp_path / "c")
    assert host.choose([tflite, c]) == [tflite]
    assert host.choose([c]) == [c]


def test_only_as_many_samples_run_as_asked(host, tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    asked = []
    batches = (asked.append(number) or batch for number, batch in enumerate(in_batches(float_samples(12), 4)))
    measurement = host.run(artifact, batches, RunOptions(warmup=0, repetitions=1, samples=5))
    np.testing.assert_allclose(measurement.outputs[0], float_answer(float_samples(12))[:5], rtol=1e-5, atol=1e-5)
    assert asked == [0, 1]


def test_a_file_that_the_runtime_refuses_is_an_error_of_one_line(host, tmp_path):
    model = onnx.load(dense_onnx(tmp_path / "m.onnx"))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Invented", "nowhere"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"m\.onnx: .*Invented") as refusal:
        host.run(formats.read(tmp_path / "m.onnx"), in_batches(float_samples(1), 1), QUICK)
    assert "\n" not in str(refusal.value)


def test_a_runtime_that_crashes_takes_nobody_with_it(tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "runner.py").write_text("import os; os.abort()", encoding="utf-8")
    with pytest.raises(ExportError, match=r"m\.onnx: the runtime was ended by SIGABRT"):
        jobs.execute([sys.executable], folder, artifact)


@pytest.mark.parametrize(
    ("batches", "reason"),
    [
        ([], "there is no sample"),
        ([(float_samples(2).astype(np.float64),)], r"input 'x' takes samples of float32 \(6,\), the data's are float64 \(6,\)"),
        ([(float_samples(2)[:, :5],)], r"the data's are float32 \(5,\)"),
        ([(float_samples(2), float_samples(2))], "takes 1 inputs, the data gives 2"),
    ],
)
def test_samples_that_do_not_fit_are_told(host, tmp_path, batches, reason):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=reason):
        host.run(artifact, batches, QUICK)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (RunOptions(settings={"kernel": "reference"}), "no setting is called 'kernel'; did you mean 'kernels'"),
        (RunOptions(settings={"kernels": "fast"}), r"settings\.kernels: can't be 'fast'; possible: default, precise, reference"),
        (RunOptions(device="ssh://pi@board"), "takes no device"),
    ],
)
def test_settings_that_do_not_apply_are_refused(host, tmp_path, options, reason):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=reason):
        host.run(artifact, in_batches(float_samples(1), 1), options)


def test_a_fixed_batch_size_is_a_problem_found_beforehand(host, tmp_path):
    (problem,) = host.check(formats.read(dense_onnx(tmp_path / "m.onnx", batch=8)))
    assert str(problem) == f"{tmp_path / 'm.onnx'}: input 'x' has shape (8, 6); export it for a batch size of 1"
    assert not host.check(formats.read(dense_tflite(tmp_path / "m.tflite")))


def test_a_run_that_was_cut_off_keeps_the_outputs_it_had(tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    folder = tmp_path / "job"
    folder.mkdir()
    jobs.write(folder, artifact, in_batches(float_samples(4), 2), QUICK)
    kept = np.full((2, 4), 7, np.float32)
    np.savez(folder / "outputs-00000.npz", **{"0": kept})
    jobs.execute([sys.executable], folder, artifact)
    (outputs,) = jobs.outputs(folder)
    np.testing.assert_array_equal(outputs[:2], kept)
    np.testing.assert_allclose(outputs[2:], float_answer(float_samples(4))[2:], rtol=1e-5, atol=1e-5)
    assert json.loads((folder / "result.json").read_text())["runtime"].startswith("onnxruntime")
