"""An older x86-64 processor, emulated: its kernels' answers, saturation included; skipped where this machine has no QEMU for it."""

import numpy as np
import pytest
from saturating_files import dense, samples
from small_files import dense_tflite, int8_answer, int8_samples

from targets import boards, formats
from targets.base import RunOptions
from targets.errors import UserError

TARGET = boards.target("x86-64-avx2")
MISSING = TARGET.available()
emulated = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@emulated
def test_an_integer_tflite_file_gives_its_exact_answer_there(tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite", quantized=True))
    found = TARGET.run(artifact, [(int8_samples(5),)], RunOptions(samples=4))
    assert found.source == "emulated"
    assert found.latency is None
    assert found.runner.startswith("ai-edge-litert")
    assert "haswell emulated by QEMU" in found.runner
    assert np.abs(found.outputs[0].astype(int) - int8_answer(int8_samples(5)[:4])).max() <= 1


@emulated
@pytest.mark.parametrize(("kernels", "saturates"), [("default", True), ("reference", False), ("precise", False)])
def test_large_weights_saturate_in_onnx_runtimes_kernels_without_vnni_and_not_in_its_float_or_precise_ones(tmp_path, kernels, saturates):
    artifact = formats.read(dense(tmp_path / "m.onnx", weight=127))
    found = TARGET.run(artifact, [(samples(3),)], RunOptions(settings={"kernels": kernels}))
    exact = boards.target("host").run(artifact, [(samples(3),)], RunOptions(1, 1, settings={"kernels": "reference"}))
    assert np.array_equal(found.outputs[0], exact.outputs[0]) is not saturates


def test_it_takes_no_device():
    with pytest.raises(UserError, match="takes no device; leave 'ssh://pi@host' out"):
        TARGET.run(None, [], RunOptions(device="ssh://pi@host"))


def test_another_core_is_refused_with_those_that_can_be_emulated(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("{name: own, title: Own, target: x86, core: pentium, sources: {core: mine}}", encoding="utf-8")
    problem = boards.target(str(own)).available()
    assert "'pentium' can't be emulated" in problem.reason
    assert "haswell" in problem.cure
