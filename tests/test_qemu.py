"""Cortex-M55 on QEMU: counts that agree with Unicorn's, faults and stacks that are told, networks with the reference kernels' bytes."""

import dataclasses
import shutil

import c_folders
import numpy as np
import pytest
from conftest import DATA
from tflite_files import reference

from targets import boards, formats
from targets.base import RunOptions
from targets.errors import EdgepressError, UserError
from targets.microcontroller import Microcontroller, cores, firmware, profile
from targets.microcontroller.emulators.qemu import PROGRAM, Qemu
from targets.microcontroller.emulators.unicorn import Unicorn
from targets.microcontroller.sources import Sources

RAM = 64 * 1024
M55 = cores.load("cortex-m55")
RANDOM = np.random.default_rng(0)
emulated = pytest.mark.skipif(Qemu.missing() is not None, reason=str(Qemu.missing()))


def run(artifact, samples, **changes):
    board = dataclasses.replace(boards.load("corstone-300"), **changes)
    return Microcontroller(board).run(artifact, [(samples,)], RunOptions())


def counted(emulator, core, artifact, sample):
    built = firmware.build(Sources.of(artifact), core, 1 << 20, RAM)
    outputs, counts = emulator(core, built, RAM).count([sample])
    return outputs, {name: cost.instructions for name, cost in profile.by_owner(core, built, counts).items()}


LOOPS = """
    volatile int8_t kept[40];
    for (int i = 0; i < 40; i++) kept[i] = (int8_t)(i % 3 ? x[i & 3] : -x[i & 3]);
    for (int i = 0; i < 4; i++) { int sum = 0; for (int j = i; j < 40; j++) sum += kept[j] > 3 ? kept[j] * j : -1; y[i] = (int8_t)sum; }
"""


@emulated
@pytest.mark.parametrize("values", [[0, 0, 0, 0], [1, 20, -7, 5], [127, -128, 3, 4]])
def test_a_program_takes_as_many_instructions_as_on_the_other_emulator(tmp_path, values):
    artifact = c_folders.write(tmp_path / "loops", LOOPS)
    m33 = cores.load("cortex-m33")
    here = dataclasses.replace(m33, flash_origin=M55.flash_origin, ram_origin=M55.ram_origin, model=M55.model)
    sample = np.array(values, np.int8)
    assert counted(Qemu, here, artifact, sample) == counted(Unicorn, m33, artifact, sample)


@emulated
def test_two_runs_count_the_same_and_every_instruction_has_a_time(tmp_path):
    artifact = c_folders.write(tmp_path / "loops", LOOPS)
    samples = RANDOM.integers(-128, 128, (3, 4)).astype(np.int8)
    first, second = run(artifact, samples), run(artifact, samples)
    assert (first.instructions, first.layers, first.details) == (second.instructions, second.layers, second.details)
    assert sum(layer.instructions for layer in first.layers) == first.instructions > 0
    assert (first.cycles, first.latency) == (second.cycles, second.latency)
    assert first.cycles > 0
    assert first.latency.source == "estimated"
    assert not any("timing table" in note for note in first.notes)
    assert first.runner.startswith(PROGRAM)


@emulated
def test_vector_code_runs(tmp_path):
    body = """
    for (int i = 0; i < 4096; i++) arena[i] = x[1];
    for (int round = 0; round < 4; round++)
        for (int i = 0; i < 4096; i++) arena[i] = (int8_t)(arena[i] * 3 + x[round]);
    memcpy(y, arena + 4092, 4);
    """
    artifact = c_folders.write(tmp_path / "vectors", body, arena_bytes=4096)
    built = firmware.build(Sources.of(artifact), M55, 1 << 20, RAM)
    scalar = firmware.build(Sources.of(artifact), cores.load("cortex-m33"), 1 << 20, RAM)
    sample = np.array([1, 20, -7, 5], np.int8)
    outputs, counts = Qemu(M55, built, RAM).count([sample])
    expected, scalar_counts = Unicorn(cores.load("cortex-m33"), scalar, RAM).count([sample])
    assert outputs == expected
    vector, scalar = (sum(block.executions * block.size for block in found.blocks) for found in (counts, scalar_counts))
    assert vector * 4 < scalar


@emulated
@pytest.mark.parametrize("size", [0, 64, 1000])
def test_the_stack_mark_is_as_deep_as_the_code_goes(tmp_path, size):
    body = f"volatile int8_t deep[{size + 4}]; for (int i = 0; i < {size + 4}; i++) deep[i] = x[i & 3]; y[0] = deep[x[1]];"
    stack = run(c_folders.write(tmp_path / str(size), body), np.ones((1, 4), np.int8)).details["ram"]["stack"]
    assert size <= stack <= size + 64


@emulated
def test_a_stack_that_overflows_is_refused(tmp_path):
    body = "volatile int8_t deep[2000]; for (int i = 0; i < 2000; i++) deep[i] = x[i & 3]; y[0] = deep[x[1]];"
    with pytest.raises(UserError, match=r"the stack doesn't fit into the \d[\d,]* bytes of RAM that are left"):
        run(c_folders.write(tmp_path / "deep", body), np.ones((1, 4), np.int8), ram_bytes=1024)


@emulated
def test_a_fault_names_the_function(tmp_path):
    body = "memcpy(y, x, 4);\n#ifdef __arm__\n    y[0] = *(volatile int8_t *)0x18000000;\n#endif"
    with pytest.raises(EdgepressError, match="hand_layer_00: the emulated core stopped: fault status 0x"):
        run(c_folders.write(tmp_path / "faults", body), np.zeros((1, 4), np.int8))


def test_without_qemu_it_is_not_measured_and_the_cure_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = run(c_folders.write(tmp_path / "any", "memcpy(y, x, 4);"), np.zeros((1, 4), np.int8))
    assert result.source == "not measured"
    assert "sudo apt-get install qemu-system-arm" in result.reason


@emulated
@pytest.mark.data
@pytest.mark.parametrize("name", ["kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "str_ww_ref_model"])
def test_files_that_others_made_give_the_reference_kernels_bytes(name):
    path = DATA / "mlperf_tiny" / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    artifact = formats.read(path)
    inputs = RANDOM.integers(-128, 128, (2, *artifact.inputs[0].shape[1:])).astype(np.int8)
    expected = np.concatenate([answer[0] for answer in reference(path, [[sample[None]] for sample in inputs])])
    result = run(artifact, inputs)
    np.testing.assert_array_equal(result.outputs[0], expected)
    assert result.details["emulated_samples"] == 2
