"""The program that runs compiled networks on a phone, on this machine's processor and under QEMU on a phone's."""

import platform
import shutil
import subprocess

import numpy as np
import pytest
from small_files import dense_tflite, int8_answer, int8_samples

from targets.microcontroller.compiler import compile_tflite
from targets.microcontroller.sources import Sources
from targets.phone import compiled

pytestmark = pytest.mark.slow
"""zig builds a libc for each processor, once."""
MACHINES = ("aarch64", "armv7l", "x86_64")
QEMU = {machine: shutil.which(f"qemu-{'arm' if machine == 'armv7l' else machine}") for machine in compiled.MACHINES}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    return compile_tflite(dense_tflite(folder / "m.tflite", quantized=True), folder / "c", "dense")


@pytest.mark.parametrize("machine", MACHINES)
def test_it_gives_every_sample_s_outputs_and_the_first_one_s_times(tmp_path, network, machine):
    emulator = [] if platform.machine() == machine else [QEMU[machine]]
    if emulator == [None]:
        pytest.skip(f"qemu for {machine} is not installed")
    samples = int8_samples(9)
    (tmp_path / "in").write_bytes(samples.tobytes())
    program = compiled.build(Sources.of(network), machine)
    for seconds, repetitions in (("0.0", 5), ("60", 500)):  # a hundred times as many, which takes microseconds each
        command = [*emulator, program, "in", "out", "2", "5", seconds]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert len(done.stdout.split()) == repetitions
        assert all(int(nanoseconds) > 0 for nanoseconds in done.stdout.split())
    (outputs,) = compiled.read(tmp_path / "out", network)
    np.testing.assert_array_equal(outputs, int8_answer(samples))


def test_a_file_that_is_not_there_is_a_line_and_an_exit_code(tmp_path, network):
    machine = platform.machine()
    if machine not in compiled.MACHINES:
        pytest.skip(f"the program isn't built for {machine}")
    program = compiled.build(Sources.of(network), machine)
    done = subprocess.run([program, "in", "out", "0", "1", "0"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "in: No such file or directory\n")
