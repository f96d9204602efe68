"""Damaged .tflite files: one clear error, or C that still does what LiteRT does; never a crash, an endless loop or much memory."""

import multiprocessing
import os
import resource
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from compiler_networks import convolution
from damaged_files import IN_BYTES
from damaged_graphs import in_tflite
from operator_networks import everywhere
from tflite_files import Compiled, compiled, merged, random_samples, reference

from targets.errors import ExportError, UserError
from targets.microcontroller.compiler import compile_tflite

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "mlperf_tiny"
SECONDS, MEGABYTES = 20, 1024
PROCESSES = multiprocessing.get_context("forkserver")  # forks a process that has no threads
PROCESSES.set_forkserver_preload(["tflite_files"])


@contextmanager
def bounded():
    """Fails what takes too much of the processor's time or too much memory."""

    def stop(*_):
        raise AssertionError(f"it takes more than {SECONDS} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES


def survives(path: Path) -> bool:
    """Whether the compiler takes the file; where not, its error has to be one line that names the file."""
    message = ""
    try:
        with bounded():
            compile_tflite(path, path.with_suffix(""))
    except (UserError, ExportError) as error:
        message = str(error)
    if message:
        assert f"{path.name}: " in message
        assert "\n" not in message
        assert len(message) < 1000
    return not message


def answer(pipe, path: Path, samples: list) -> None:
    """Sends what LiteRT makes of the samples, or nothing, where it doesn't take the file or takes too long."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(RuntimeError, ValueError):
        pipe.send(reference(path, samples))


def wanted(path: Path, samples: list) -> list | None:
    """What LiteRT makes of the samples, in a process of its own, which a damaged file may bring down: None then."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    child = PROCESSES.Process(target=answer, args=(sender, path, samples))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return None
    finally:
        child.join()
        child.close()
        receiver.close()


def same(network: Compiled, path: Path) -> None:
    """The C stays within its memory, and its numbers are LiteRT's where that takes the file, too."""
    samples = random_samples(path, 1)
    made, expected = network.run(samples), wanted(path, samples)
    shapes = [] if expected is None else [array.shape for array in expected[0]]
    if shapes == [array.shape for array in made[0]]:
        for want, have in zip(expected[0], made[0], strict=True):
            np.testing.assert_array_equal(have, want, err_msg=path.name)


def damage(content: bytes, count: int, seed: int, folder: Path) -> list[Path]:
    """Files with one damage each: every other one to what the bytes mean, the others to the bytes."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        change = in_tflite if number % 2 else IN_BYTES[number // 2 % len(IN_BYTES)]
        paths.append(folder / f"{number}.tflite")
        paths[-1].write_bytes(change(random, content))
    return paths


def check(content: bytes, count: int, seed: int, folder: Path) -> int:
    """Damages a file many times; tells how many the compiler refused."""
    paths = damage(content, count, seed, folder / "damaged")
    taken = [path for path in paths if survives(path)]
    for path, network in zip(taken, compiled(taken, folder), strict=True):
        same(network, path)
    return count - len(taken)


def small(tmp_path):
    """A file of every operator but the heaviest."""
    return merged([builder for _, builder in everywhere()]).write(tmp_path / "all.tflite").read_bytes()


def test_damaged_convolutions(tmp_path):
    content = convolution(depthwise=True, stride=(2, 1), activation=3).write(tmp_path / "net.tflite").read_bytes()
    assert check(content, 40, 0, tmp_path) > 10


def test_damage_to_a_file_of_every_operator(tmp_path):
    content = small(tmp_path)
    refused = [not survives(path) for path in damage(content, 20, 1, tmp_path / "damaged")]
    assert any(refused)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_damages(seed, tmp_path):
    """Half of them to MLPerf Tiny's networks where these are at hand, the others to small files."""
    names = ("kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")
    trained = [(DATA / f"{name}.tflite").read_bytes() for name in names if (DATA / f"{name}.tflite").exists()]
    files = [*trained, small(tmp_path), convolution(padding=1).write(tmp_path / "conv.tflite").read_bytes()]
    for number, content in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        check(content, 100 // len(files), 100 * seed + number, folder)
