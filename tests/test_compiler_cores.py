"""The generated C on emulated cores, with the DSP extension, with vectors and with neither, against LiteRT's reference kernels."""

import numpy as np
import pytest
import typed_networks
from compiler_networks import convolutions
from operator_networks import everywhere
from tflite_files import TYPES, merged, random_samples, reference

from targets.microcontroller import cores, firmware
from targets.microcontroller.compiler import compile_tflite
from targets.microcontroller.emulators.qemu import Qemu
from targets.microcontroller.emulators.unicorn import Unicorn
from targets.microcontroller.sources import Sources

MEMORY = 1 << 20
INT16 = TYPES["int16"]
CORES = (
    "cortex-m4",
    "cortex-m0plus",
    pytest.param("cortex-m55", marks=pytest.mark.skipif(Qemu.missing() is not None, reason=str(Qemu.missing()))),
)


@pytest.mark.parametrize("core", CORES)
def test_every_operator_on_a_core(core, tmp_path):
    assert_exact_on([(label, builder) for label, builder in (*convolutions(), *everywhere()) if "float" not in label], core, tmp_path)


@pytest.mark.parametrize("core", CORES)
def test_other_types_on_a_core(core, tmp_path):
    """int16 and float32, and weights of 4 bits; floats with an FPU and without, but for those that our own exponentials are in."""
    inexact = ("logistic", "tanh", "softmax")
    everything = typed_networks.everything()
    kept = [(label, builder) for label, builder in everything if not label.startswith(inexact) or builder.tensors[0].type == INT16]
    assert_exact_on(kept, core, tmp_path)


def assert_exact_on(networks, core, tmp_path):
    """All networks, as one, give the reference kernels' bytes on an emulated core."""
    path = merged([builder for _, builder in networks]).write(tmp_path / "all.tflite")
    sources = Sources.of(compile_tflite(path, tmp_path / "c"))
    chosen = cores.load(core)
    built = firmware.build(sources, chosen, MEMORY, MEMORY, "-O2")
    emulator = (Qemu if chosen.emulator == "qemu" else Unicorn)(chosen, built, MEMORY)
    labels = [label for label, builder in networks for _ in builder.operators[-1].outputs]
    for sample in random_samples(path, 2):
        wanted = reference(path, [sample])[0]
        for label, want, have in zip(labels, wanted, emulator.infer(sample), strict=True):
            np.testing.assert_array_equal(np.frombuffer(have, want.dtype), want.ravel(), err_msg=label)
