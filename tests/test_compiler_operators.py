"""What our own quantization exports compiles to C that does what LiteRT does; C of every operator, for every core and compiler."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import OpResolverType
from compiler_networks import convolutions
from operator_networks import everywhere, quotients
from quantized_networks import CASES, context_of, model_of, samples
from test_quantize_networks import NETWORKS
from tflite_files import STRICT, compiled, merged, random_samples, reference, zig

from compress.exporters.tflite import Tflite
from compress.passes.quantize import Quantize
from targets.microcontroller import cores
from targets.microcontroller.compiler import compile_tflite, supported

WORDS = 20
"""Below which tokens are in the networks that have any."""


def exported(build, shape, words, folder: Path) -> Path:
    original = model_of(build, shape, words)
    model = Quantize()(original, context_of(original, samples(shape, 32, words=words)))
    folder.mkdir()
    return Tflite()(model, folder).path


def check(networks, folder):
    """Each network's C gives the reference kernels' bytes; sums, of which these are wrong, are within a step of the optimized ones'."""
    paths = {name: exported(*network, folder / str(number)) for number, (name, network) in enumerate(networks.items())}
    for (name, path), network in zip(paths.items(), compiled(list(paths.values()), folder), strict=True):
        words = networks[name][2]
        given = [[np.abs(values) % WORDS for values in sample] if words else sample for sample in random_samples(path, 3)]
        summed = name.startswith("sum")
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if summed else OpResolverType.BUILTIN_REF
        for want, have in zip(reference(path, given, kernels), network.run(given), strict=True):
            assert np.abs(have[0].astype(int) - want[0]).max() <= int(summed), name


def of(names):
    return {name: (CASES[name].build, CASES[name].shape, CASES[name].words) for name in names}


def test_layers_of_quantized_networks(tmp_path):
    check(of(["layer norm", "attention to the past", "conv transpose grouped"]), tmp_path)


@pytest.mark.slow
def test_every_quantized_layer(tmp_path):
    check(of(CASES), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_quantized_operator(name, tmp_path):
    check({name: NETWORKS[name]}, tmp_path)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """C of every operator."""
    folder = tmp_path_factory.mktemp("everything")
    path = merged([builder for _, builder in (*everywhere(), *convolutions(), *quotients())]).write(folder / "all.tflite")
    return compile_tflite(path, folder / "c")


def test_what_compiles_is_documented():
    text = (Path(__file__).parent.parent / "docs" / "operators.md").read_text(encoding="utf-8")
    section = text.partition("# Operators that compile to C")[2]
    assert set(supported()) == set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", section.split("\n\n")[1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", cores.names())
def test_no_core_gets_a_warning(name, everything, tmp_path):
    core = cores.load(name)
    target = ["-target", core.zig_target, f"-mcpu={core.zig_cpu}", "-ffreestanding"]
    headers = ["-isystem", Path(cores.FOLDER).parent / "freestanding"]
    for source in everything.details["sources"]:
        zig(*STRICT, *target, *headers, "-O0", "-c", "-o", tmp_path / "object.o", everything.path / source)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
def test_no_compiler_of_this_machine_warns(compiler, everything, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here; apt-get install it")
    for source in everything.details["sources"]:
        command = [compiler, *STRICT, "-O1", "-c", "-o", str(tmp_path / "object.o"), str(everything.path / source)]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""
