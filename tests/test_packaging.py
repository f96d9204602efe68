"""The generated folder as others build it: CMake, Zephyr, Arduino, gcc and clang, and its own check of itself, here and on a core."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compiler_networks import binary, convolution, moved, softmax
from emulated_board import EmulatedBoard, build
from tflite_files import STRICT, merged, zig

from targets.formats import c
from targets.microcontroller import firmware
from targets.microcontroller.compiler import compile_tflite
from targets.microcontroller.packaging import package

CMAKE = pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("gcc")), reason="no cmake or gcc here; apt-get install cmake gcc")
FREESTANDING = ("-isystem", firmware.HERE / "freestanding")
M4 = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp", *FREESTANDING)
RISCV = ("-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+c", *FREESTANDING)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Four networks side by side in one: several inputs and outputs, one of float32."""
    folder = tmp_path_factory.mktemp("package")
    networks = [
        convolution(),
        binary("ADD", (1, 9), (1, 9)),
        softmax(),
        moved("TRANSPOSE", (1, 3, 4), (1, 4, 3), [[0, 2, 1]], dtype="float32"),
    ]
    path = merged(networks).write(folder / "net.tflite")
    artifact = compile_tflite(path, folder / "net")
    package(artifact)
    return artifact


@pytest.fixture
def packaged(original, tmp_path):
    return c.read(shutil.copytree(original.path, tmp_path / "net"))


def spoil(artifact):
    """Changes one byte of what the last output should be."""
    path = artifact.path / "net_firmware.c"
    text = path.read_text()
    place = re.compile(r"(output_2_test\[\d+\] = \{\s+)(\d+)")
    path.write_text(place.sub(lambda match: f"{match[1]}{int(match[2]) ^ 1}", text))
    assert path.read_text() != text


def done(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


def test_it_is_still_the_same_artifact(original):
    assert c.read(original.path) == original


def test_the_same_file_gives_the_same_folder(original, tmp_path):
    again = compile_tflite(original.path.parent / "net.tflite", tmp_path / "again")
    package(again)

    def content(folder):
        return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    assert content(again.path) == content(original.path)
    assert all(b"@" not in text for file, text in content(again.path).items())


@CMAKE
def test_cmake_builds_it_and_its_test_passes_only_with_the_right_vector(packaged, tmp_path):
    environment = {**os.environ, "CC": "gcc", "CFLAGS": "-Wall -Wextra -Wconversion -Werror"}

    def tested():
        built = done("cmake", "--build", tmp_path / "build")
        assert built.returncode == 0, built.stdout + built.stderr
        return done("ctest", "--test-dir", tmp_path / "build")

    configured = done("cmake", "-S", packaged.path, "-B", tmp_path / "build", env=environment)
    assert configured.returncode == 0, configured.stderr
    result = tested()
    assert result.returncode == 0, result.stdout
    assert "100% tests passed, 0 tests failed out of 1" in result.stdout
    spoil(packaged)
    assert "net_self_test (Failed)" in tested().stdout


@CMAKE
@pytest.mark.usefixtures("packaged")
def test_a_project_takes_it_as_a_folder(tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(whole C)\nadd_subdirectory(net)\n"
        "add_executable(whole main.c)\ntarget_link_libraries(whole net)\n"
    )
    (tmp_path / "main.c").write_text('#include "net.h"\nint main(void) { return NET_INPUT_0_ELEMENTS == 252 ? 0 : 1; }\n')
    assert done("cmake", "-S", tmp_path, "-B", tmp_path / "build", "-DCMAKE_C_COMPILER=gcc").returncode == 0
    assert done("cmake", "--build", tmp_path / "build", "--target", "whole").returncode == 0
    assert done(tmp_path / "build" / "whole").returncode == 0


@CMAKE
@pytest.mark.parametrize("chosen", ["ON", "OFF"])
def test_zephyr_gets_its_files_when_it_is_chosen(packaged, tmp_path, chosen):
    """Zephyr itself is gigabytes: its functions print here what they are given."""
    module = yaml.safe_load((packaged.path / "zephyr" / "module.yml").read_text())
    assert (packaged.path / module["build"]["kconfig"]).read_text().startswith("config EDGEPRESS_NET\n")
    functions = ("zephyr_library_named", "zephyr_library_sources", "zephyr_library_compile_options", "zephyr_include_directories")
    script = "".join(f"function({name})\n message(STATUS {name}=${{ARGV}})\nendfunction()\n" for name in functions)
    path = tmp_path / "zephyr.cmake"
    path.write_text(f"{script}set(CONFIG_EDGEPRESS_NET {chosen})\ninclude({packaged.path / module['build']['cmake'] / 'CMakeLists.txt'})\n")
    result = done("cmake", "-P", path)
    assert result.returncode == 0, result.stderr
    files = [Path(line.partition("sources=")[2]) for line in result.stdout.splitlines() if "sources=" in line]
    assert {file.name for file in files} == ({"net.c", "net_weights.c", "net_firmware.c"} if chosen == "ON" else set())
    assert all(file.is_file() for file in files)


ARDUINO = """#include <stddef.h>
#include <stdint.h>
struct Line { int available(); int read(); size_t write(const uint8_t *, size_t); void flush(); void begin(long); };
extern Line Serial;
void yield();
"""


def test_it_is_an_arduino_library_of_the_flat_kind(packaged, tmp_path):
    """Arduino compiles what lies in the folder itself, so no `main` may lie there; a sketch is C++ in a folder of its own name."""
    properties = dict(line.split("=", 1) for line in (packaged.path / "library.properties").read_text().splitlines())
    assert properties["name"] == "net"
    assert (packaged.path / properties["includes"]).is_file()
    assert not (packaged.path / "src").exists()
    assert not any("int main" in file.read_text() for file in packaged.path.glob("*.c"))
    (tmp_path / "arduino.h").write_text(ARDUINO)
    sketch = packaged.path / "examples" / "net" / "net.ino"
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-deprecated-volatile", "-x", "c++", "-include", tmp_path / "arduino.h")
    command = (sys.executable, "-m", "ziglang", "c++", *flags, "-I", packaged.path, "-c", "-o", tmp_path / "sketch.o", sketch)
    result = done(*command)
    assert result.returncode == 0, result.stderr


def test_no_compiler_warns(packaged, tmp_path):
    own = [packaged.path / "net_firmware.c", packaged.path / "examples" / "main.c"]
    for serial in ((), ("-DEP_SERIAL",)):
        for target in ((), M4, RISCV):
            for source in own:
                zig(*STRICT, *serial, *target, "-I", packaged.path, "-c", "-o", tmp_path / "object.o", source)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here; apt-get install gcc")
def test_gcc_does_not_warn(packaged, tmp_path):
    files = [*sorted(packaged.path.glob("*.c")), packaged.path / "examples" / "main.c"]
    assert done("gcc", *STRICT, "-O2", "-I", packaged.path, "-o", tmp_path / "example", *files).stderr == ""
    assert done("gcc", *STRICT, "-DEP_SERIAL", "-I", packaged.path, "-c", "-o", tmp_path / "main.o", files[-1]).stderr == ""
    assert done(tmp_path / "example").returncode == 0


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0plus"])
def test_the_example_checks_itself_on_a_core(packaged, tmp_path, core):
    assert EmulatedBoard(build(packaged.path, tmp_path, core=core), core).main() == 0
    spoil(packaged)
    assert EmulatedBoard(build(packaged.path, tmp_path, core=core), core).main() == 1
