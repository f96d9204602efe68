"""Networks on emulated cores: the same bytes as TFLite's reference kernels, exact counts, and figures that agree with the ELF file."""

import dataclasses
from collections import Counter

import c_folders
import numpy as np
import pytest
import unicorn
from conftest import DATA
from elftools.elf.elffile import ELFFile
from tflite_files import Builder, reference

from targets import boards, formats
from targets.base import RunOptions
from targets.errors import EdgepressError, UserError
from targets.microcontroller import Microcontroller, cores, firmware, native, profile
from targets.microcontroller.compiled import as_c
from targets.microcontroller.decoders import DECODERS
from targets.microcontroller.emulators.unicorn import Unicorn
from targets.microcontroller.sources import Sources

BOARD = "nucleo-l4r5zi"
RAM = 256 * 1024
OPTIONS = RunOptions()
RANDOM = np.random.default_rng(0)


def weights(*shape):
    return RANDOM.integers(-127, 128, shape).astype(np.int8)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Convolution, depthwise convolution, pooling, dense layer and softmax, int8."""
    made = Builder()
    x = made.input((1, 8, 8, 2), 0.05, 3)
    filters = made.constant(weights(8, 3, 3, 2), "int8", scale=np.linspace(0.002, 0.02, 8))
    bias = made.constant(RANDOM.integers(-2000, 2000, 8), scale=np.linspace(0.002, 0.02, 8) * 0.05)
    wide = made.tensor((1, 8, 8, 8), "int8", 0.08, -10, name="wide")
    made.operator("CONV_2D", [x, filters, bias], [wide], "Conv2DOptions", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    depth = made.constant(weights(1, 3, 3, 8), "int8", scale=np.linspace(0.01, 0.03, 8), axis=3)
    bias = made.constant(RANDOM.integers(-2000, 2000, 8), scale=np.linspace(0.01, 0.03, 8) * 0.08)
    small = made.tensor((1, 4, 4, 8), "int8", 0.1, 5, name="small")
    strides = {"strideW": 2, "strideH": 2, "depthMultiplier": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    made.operator("DEPTHWISE_CONV_2D", [wide, depth, bias], [small], "DepthwiseConv2DOptions", **strides)
    pooled = made.tensor((1, 1, 1, 8), "int8", 0.1, 5, name="pooled")
    window = {"padding": 1, "strideW": 4, "strideH": 4, "filterWidth": 4, "filterHeight": 4}
    made.operator("AVERAGE_POOL_2D", [small], [pooled], "Pool2DOptions", **window)
    flat = made.tensor((1, 8), "int8", 0.1, 5, name="flat")
    made.operator("RESHAPE", [pooled, made.constant([1, 8])], [flat], "ReshapeOptions", newShape=[1, 8])
    dense, bias = made.constant(weights(5, 8), "int8", scale=0.01), made.constant(RANDOM.integers(-500, 500, 5), scale=0.001)
    logits = made.tensor((1, 5), "int8", 0.2, 0, name="logits")
    made.operator("FULLY_CONNECTED", [flat, dense, bias], [logits], "FullyConnectedOptions")
    classes = made.tensor((1, 5), "int8", 1 / 256, -128, name="classes")
    made.operator("SOFTMAX", [logits], [classes], "SoftmaxOptions", beta=1.0)
    return formats.read(made.write(tmp_path_factory.mktemp("network") / "small.tflite"))


@pytest.fixture(scope="module")
def samples():
    return RANDOM.integers(-128, 128, (40, 8, 8, 2)).astype(np.int8)


def target(**changes):
    return Microcontroller(dataclasses.replace(boards.load(BOARD), **changes))


def run(artifact, samples, options=OPTIONS, **changes):
    return target(**changes).run(artifact, [(samples,)], options)


@pytest.fixture(scope="module")
def measured(network, samples):
    return run(network, samples[:3])


@pytest.mark.parametrize("core", cores.names())
def test_every_core_gives_the_reference_kernels_bytes(network, samples, core):
    missing = target(core=core).available()
    if missing is not None:
        pytest.skip(str(missing))
    result = run(network, samples[:6], core=core)
    expected = np.concatenate([outputs[0] for outputs in reference(network.path, [[sample[None]] for sample in samples[:6]])])
    np.testing.assert_array_equal(result.outputs[0], expected)
    assert result.source == "emulated"
    assert core in result.runner
    assert result.details["emulated_samples"] == 6


def test_the_same_c_on_this_machine_gives_the_same_bytes(network, samples):
    outputs = native.run(as_c(network), [(samples[:10],), (samples[10:],)])
    expected = [answer[0] for answer in reference(network.path, [[sample[None]] for sample in samples])]
    np.testing.assert_array_equal(outputs[0], np.concatenate(expected))


def test_many_samples_are_confirmed_by_the_first_ones(network, samples):
    result = run(network, samples)
    assert result.details["samples"] == 40
    assert result.details["emulated_samples"] == 16
    assert any("first 16 of 40" in note for note in result.notes)
    np.testing.assert_array_equal(result.outputs[0], native.run(as_c(network), [(samples,)])[0])


def test_two_runs_count_the_same(network, samples, measured):
    again = run(network, samples[:3])
    assert (again.instructions, again.cycles, again.layers) == (measured.instructions, measured.cycles, measured.layers)


def test_layers_sum_to_the_whole(measured):
    assert sum(layer.instructions for layer in measured.layers) == measured.instructions
    assert sum(layer.cycles for layer in measured.layers) == measured.cycles
    assert sum(layer.latency_ms for layer in measured.layers) == pytest.approx(measured.latency.p50_ms)
    operators = [layer.operator for layer in measured.layers]
    assert operators[:3] == ["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D"]
    assert measured.layers[0].macs == 8 * 8 * 8 * 3 * 3 * 2
    assert all(layer.instructions > 0 for layer in measured.layers if layer.operator != "RESHAPE")


def test_latency_is_an_estimate_from_cycles_at_the_boards_clock(network, samples):
    result = run(network, samples[:1], clock_hz=1_000_000, power_w=0.5, model={})
    assert result.latency.p50_ms == pytest.approx(result.cycles / 1000)
    assert result.latency.source == "estimated"
    assert result.energy_mj == 0.5 * result.latency.p50_ms
    assert result.energy_source == "estimated"
    assert result.details["wait_cycles"] is None
    assert any("left out" in note for note in result.notes)


FLASH = {"flash_wait_states": 5, "flash_bus_bytes": 16, "instruction_cache_bytes": 1024, "data_cache_bytes": 128}


def waits(network, samples, **changes):
    result = run(network, samples[:1], clock_hz=1_000_000, model=FLASH | changes)
    assert result.latency.p50_ms == pytest.approx((result.cycles + result.details["wait_cycles"]) / 1000)
    return result.details["wait_cycles"]


def test_waiting_for_the_flash_is_a_term_of_its_own(network, samples, measured):
    some = waits(network, samples)
    assert some > 0
    assert waits(network, samples, flash_wait_states=10) == 2 * some
    assert waits(network, samples, flash_wait_states=0) == 0
    assert waits(network, samples, instruction_cache_bytes=0, data_cache_bytes=0) > some
    reads = waits(network, samples, instruction_cache_bytes=1 << 16, data_cache_bytes=1 << 16) / 5
    assert reads <= 2 * measured.flash_bytes / 16  # each line at most once as an instruction and once as a constant
    assert run(network, samples[:1], model=FLASH).cycles == measured.cycles


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (FLASH | {"flash_wait_state": 5}, "model has no key 'flash_wait_state'; did you mean 'flash_wait_states'"),
        ({"flash_wait_states": 5}, "model.flash_bus_bytes must be a whole number"),
        (FLASH | {"flash_bus_bytes": 0}, "model.flash_bus_bytes must be a whole number"),
    ],
)
def test_a_flash_that_makes_no_sense_is_refused(network, samples, model, message):
    with pytest.raises(UserError, match=message):
        run(network, samples[:1], model=model)


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m7", "rv32imc"])
def test_cycles_are_each_cores_own(network, samples, core):
    result = run(network, samples[:1], core=core)
    assert result.cycles == sum(layer.cycles for layer in result.layers)
    assert 0.5 <= result.cycles / result.instructions <= 2
    assert any(cores.load(core).sources["cycles"] in note for note in result.notes)
    assert not any("not in the timing table" in note for note in result.notes)


def built(artifact, core="cortex-m4", optimization="-O2"):
    return firmware.build(Sources.of(as_c(artifact)), cores.load(core), 1 << 20, RAM, optimization)


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "rv32imc"])
def test_instructions_are_those_of_a_hook_on_every_instruction(network, samples, core):
    """Unicorn doesn't show those that an IT block skips to such a hook; the core spends a cycle on each, so they count."""
    made = built(network, core)
    emulator = Unicorn(cores.load(core), made, RAM)
    outputs, counts = emulator.count([samples[0]])
    counted, skippable = Counter(), set()
    for block in counts.blocks:
        address, conditional = block.address, 0
        for instruction in DECODERS.load(cores.load(core).decoder)().block(made.code_of(address, block.size)):
            counted[address] += block.executions
            skippable |= {address} if conditional else set()
            conditional = 4 if instruction.operation == "it" else max(conditional - 1, 0)
            address += instruction.size
    hooked = Counter()
    emulator._engine.hook_add(unicorn.UC_HOOK_CODE, lambda _, address, *__: hooked.update((address,)))
    assert emulator.infer([samples[0]]) == outputs
    assert {address: hooked[address] for address in counted if address not in skippable} == {
        address: count for address, count in counted.items() if address not in skippable
    }
    assert set(hooked) <= set(counted)
    assert all(hooked[address] <= counted[address] for address in skippable)
    assert counted.total() == sum(cost.instructions for cost in profile.by_owner(cores.load(core), made, counts).values())


def test_sizes_are_those_of_the_elf_file(network, measured):
    with built(network).path.open("rb") as file:
        sections = [section for section in ELFFile(file).iter_sections() if section["sh_flags"] & 2]
        in_flash = sum(section["sh_size"] for section in sections if section["sh_type"] != "SHT_NOBITS")
        in_ram = sum(section["sh_size"] for section in sections if section["sh_addr"] >= cores.load("cortex-m4").ram_origin)
    board = boards.load(BOARD)
    flash, ram = measured.details["flash"], measured.details["ram"]
    assert measured.flash_bytes == in_flash == board.flash_bytes - flash["left"]
    assert measured.ram_bytes == in_ram + ram["stack"] == board.ram_bytes - ram["left"]
    assert ram["inputs"] == 8 * 8 * 2
    assert ram["outputs"] == 5
    assert 0 < flash["code"] < 12 * 1024


def test_smaller_code_on_demand(network, samples, measured):
    small = run(network, samples[:1], RunOptions(settings={"optimization": "Os"}))
    assert small.details["flash"]["code"] < measured.details["flash"]["code"]
    assert small.runner.endswith("-Os")


def test_a_network_that_fits_has_no_problems(network):
    assert target().check(network) == []
    assert target().check(as_c(network)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flash_bytes": 300}, ("of flash", "SOFTMAX", "prune channels")),
        ({"ram_bytes": 500}, ("of RAM", "CONV_2D", "choose a board with more RAM")),
    ],
)
def test_a_board_that_is_too_small_is_refused_before_anything_is_built(network, samples, changes, words):
    problem = str(target(**changes).check(network)[0])
    assert all(word in problem for word in words)
    with pytest.raises(UserError, match=words[0]):
        run(network, samples[:1], **changes)


def test_code_that_overflows_the_flash_is_refused_by_the_linker(network, samples):
    with pytest.raises(UserError, match=r"needs \d+ bytes more of FLASH than the board has"):
        run(network, samples[:1], flash_bytes=1500)


def test_a_stack_that_no_longer_fits_is_refused(network, samples, measured):
    enough = measured.ram_bytes
    assert run(network, samples[:1], ram_bytes=enough + 16).ram_bytes == enough
    with pytest.raises(UserError, match=r"a stack of \d+ bytes doesn't fit"):
        run(network, samples[:1], ram_bytes=enough // 8 * 8 - 16)


def test_an_operator_that_cannot_be_compiled_is_named(tmp_path):
    made = Builder()
    made.operator("WHERE", [made.input((1, 4))], [made.tensor((4, 1), "int64", name="places")])
    problem = target().check(formats.read(made.write(tmp_path / "where.tflite")))[0]
    assert "WHERE" in problem.reason
    assert "places" in problem.reason
    assert problem.cure


def test_the_c_is_preferred_to_the_tflite_that_it_was_made_from(network):
    assert target().choose([network, as_c(network)]) == [as_c(network)]
    assert target().choose([network]) == [network]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RunOptions(device="/dev/ttyACM0"), "'/dev/ttyACM0' is no serial line; name a board as serial:///dev/ttyACM0"),
        (RunOptions(settings={"optimisation": "O2"}), "did you mean 'optimization'"),
        (RunOptions(settings={"optimization": "O7"}), "can't be 'O7'"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(network, samples, options, message):
    with pytest.raises(UserError, match=message):
        run(network, samples[:1], options)


def test_samples_that_do_not_fit_are_refused(network, samples):
    with pytest.raises(UserError, match=r"small.tflite: input .* takes samples of int8 \(8, 8, 2\), the data's are float32"):
        run(network, samples[:1].astype(np.float32))
    with pytest.raises(UserError, match="no sample"):
        target().run(network, [], RunOptions())


def test_samples_are_limited_on_demand(network, samples):
    result = target().run(network, [(samples[:3],), (samples[3:6],), (samples[6:],)], RunOptions(samples=5))
    assert len(result.outputs[0]) == 5


def test_a_core_that_computes_something_else_is_an_error_that_names_the_sample(tmp_path):
    body = "memcpy(y, x, 4);\n#ifdef __arm__\n    if (x[0] == 7) y[1] = 1;\n#endif"
    artifact = c_folders.write(tmp_path / "differs", body)
    values = np.zeros((4, 4), np.int8)
    assert run(artifact, values).outputs[0].tolist() == values.tolist()
    values[2] = 7
    with pytest.raises(EdgepressError, match="sample 2 gives other bytes on the emulated core"):
        run(artifact, values)


def test_a_fault_names_the_function(tmp_path):
    body = "memcpy(y, x, 4);\n#ifdef __arm__\n    y[0] = *(volatile int8_t *)0x90000000;\n#endif"
    with pytest.raises(EdgepressError, match="hand_layer_00: the emulated core stopped"):
        run(c_folders.write(tmp_path / "faults", body), np.zeros((1, 4), np.int8))


def test_c_that_does_not_compile_is_one_line(tmp_path):
    with pytest.raises(EdgepressError, match=r"zig cc [\d.]+ stopped: .*error: .*undeclared") as caught:
        run(c_folders.write(tmp_path / "broken", "y[0] = nowhere;"), np.zeros((1, 4), np.int8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 64, 1000])
def test_the_stack_mark_is_as_deep_as_the_code_goes(tmp_path, size):
    body = f"volatile int8_t deep[{size + 4}]; for (int i = 0; i < {size + 4}; i++) deep[i] = x[i & 3]; y[0] = deep[x[1]];"
    stack = run(c_folders.write(tmp_path / str(size), body), np.ones((1, 4), np.int8)).details["ram"]["stack"]
    assert size <= stack <= size + 64


@pytest.mark.data
def test_a_file_that_others_made_gives_the_reference_kernels_bytes():
    path = DATA / "mlperf_tiny" / "kws_ref_model.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    inputs = np.random.default_rng(0).integers(-128, 128, (20, 49, 10, 1)).astype(np.int8)
    result = run(formats.read(path), inputs)
    expected = [answer[0] for answer in reference(path, [[sample[None]] for sample in inputs])]
    np.testing.assert_array_equal(result.outputs[0], np.concatenate(expected))
    assert result.details["emulated_samples"] == 20
    assert result.cycles < 9.38e6  # CMSIS-NN's kernels by the same timings
    assert result.details["ram"]["arena"] < 16_000  # the largest set of live activations
