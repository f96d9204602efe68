"""What TensorFlow Lite Micro takes: its real interpreter's arena, the lines and the array that its users need."""

import ctypes
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from conftest import DATA
from tflite_files import Builder

from targets import boards, formats
from targets.base import RunOptions
from targets.errors import ExportError, UserError
from targets.microcontroller import tflm

real = pytest.mark.skipif(not tflm.installed(), reason="tflite-micro is not installed; pip install 'edgepress[tflm]'")


def file(folder, operator="RELU", name="2 nets.tflite"):
    made = Builder()
    x = made.input((1, 32, 32, 4), 0.05, 3)
    wide = made.tensor((1, 32, 32, 4), "int8", 0.05, 3, name="wide")
    made.operator(operator, [x], [wide])
    padded = made.tensor((1, 34, 34, 4), "int8", 0.05, 3, name="padded")
    made.operator(
        "PADV2",
        [wide, made.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]])), made.constant([3], "int8", scale=0.05, zero_point=3)],
        [padded],
    )
    pooled = made.tensor((1, 17, 17, 4), "int8", 0.05, 3, name="pooled")
    window = {"padding": 1, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    made.operator("MAX_POOL_2D", [padded], [pooled], "Pool2DOptions", **window)
    return made.write(folder / name)


@real
def test_the_arena_holds_what_is_alive_at_once_and_little_more(tmp_path):
    alive = 32 * 32 * 4 + 34 * 34 * 4
    assert alive <= tflm.arena_bytes(file(tmp_path)) < alive + 4096


@real
def test_an_operator_that_tflm_lacks_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"nets.tflite: TFLite Micro can't run it: .*GELU") as caught:
        tflm.arena_bytes(file(tmp_path, "GELU"))
    assert "\n" not in str(caught.value)


@real
def test_a_profile_shows_both_arenas_and_the_resolver(tmp_path):
    artifact = formats.read(file(tmp_path))
    samples = np.zeros((1, 32, 32, 4), np.int8)
    result = boards.target("nucleo-l4r5zi").run(artifact, [(samples,)], RunOptions())
    shown = result.details["tflm"]
    ram = result.details["ram"]
    assert shown["arena_bytes"] == tflm.arena_bytes(artifact.path)
    assert shown["edgepress_bytes"] == ram["arena"] + ram["inputs"] + ram["outputs"]
    assert shown["resolver"] == list(tflm.resolver_lines(artifact.path))
    assert any(f"an arena of {shown['arena_bytes']:,} bytes" in note for note in result.notes)


@real
def test_a_file_that_tflm_cannot_run_is_still_profiled(tmp_path):
    artifact = formats.read(file(tmp_path, "GELU"))
    shown = boards.target("nucleo-l4r5zi").run(artifact, [(np.zeros((1, 32, 32, 4), np.int8),)], RunOptions()).details["tflm"]
    assert shown["arena_bytes"] is None
    assert "GELU" in shown["reason"]


def test_the_resolver_registers_each_operator_once(tmp_path):
    assert tflm.resolver_lines(file(tmp_path)) == (
        "tflite::MicroMutableOpResolver<3> resolver;",
        "resolver.AddMaxPool2D();",
        "resolver.AddPadV2();",
        "resolver.AddRelu();",
    )


def test_the_array_is_the_file(tmp_path):
    path = file(tmp_path)
    source, library = tmp_path / "array.cc", tmp_path / "array.so"
    source.write_text(tflm.c_array(path), encoding="ascii")
    subprocess.run([sys.executable, "-m", "ziglang", "c++", "-nostdlib++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    built = ctypes.CDLL(str(library))
    size = ctypes.c_uint.in_dll(built, "_2_nets_bytes").value
    array = (ctypes.c_ubyte * size).in_dll(built, "_2_nets")
    assert bytes(array) == path.read_bytes()
    assert ctypes.addressof(array) % 16 == 0


def test_without_the_extra_the_cure_is_said_and_profiles_leave_it_out(tmp_path, monkeypatch):
    path = file(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'edgepress\[tflm\]'"):
        tflm.arena_bytes(path)
    assert tflm.beside(formats.read(path), 1000) is None


@real
@pytest.mark.data
@pytest.mark.parametrize("name", ["kws_ref_model", "vww_96_int8"])
def test_no_smaller_arena_works(name):
    from tflite_micro import runtime

    path = DATA / "mlperf_tiny" / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    enough = tflm.arena_bytes(path)
    runtime.Interpreter.from_file(str(path), arena_size=enough)
    with pytest.raises(RuntimeError, match="failed to allocate"):
        runtime.Interpreter.from_file(str(path), arena_size=enough - 16)
