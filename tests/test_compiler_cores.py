"""The generated C on emulated cores, with the DSP extension and without, against LiteRT's reference kernels."""

import numpy as np
import pytest
from compiler_networks import convolutions
from operator_networks import everywhere
from tflite_files import merged, random_samples, reference

from targets.microcontroller import cores, firmware
from targets.microcontroller.compiler import compile_tflite
from targets.microcontroller.emulators.unicorn import Unicorn
from targets.microcontroller.sources import Sources

MEMORY = 1 << 20


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0plus"])
def test_every_operator_on_a_core(core, tmp_path):
    networks = [(label, builder) for label, builder in (*convolutions(), *everywhere()) if "float" not in label]
    path = merged([builder for _, builder in networks]).write(tmp_path / "all.tflite")
    sources = Sources.of(compile_tflite(path, tmp_path / "c"))
    built = firmware.build(sources, cores.load(core), MEMORY, MEMORY, "-O2")
    emulator = Unicorn(cores.load(core), built, MEMORY)
    labels = [label for label, builder in networks for _ in builder.operators[-1].outputs]
    for sample in random_samples(path, 2):
        wanted = reference(path, [sample])[0]
        for label, want, have in zip(labels, wanted, emulator.infer(sample), strict=True):
            np.testing.assert_array_equal(np.frombuffer(have, want.dtype), want.ravel(), err_msg=label)
