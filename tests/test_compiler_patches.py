"""Layers in stripes: the reference kernels' bytes in less memory, nothing computed twice, and limits that can't be kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_files import STRICT, Builder, random_samples, reference, zig

import cli
from targets import boards, formats
from targets.base import RunOptions
from targets.errors import ExportError, UserError
from targets.microcontroller import Microcontroller, firmware, native
from targets.microcontroller.compiler import compile_tflite
from targets.microcontroller.compiler.layer import Rows
from targets.microcontroller.compiler.streaming import stream

RANDOM = np.random.default_rng(0)
FREESTANDING = Path(firmware.__file__).parent / "freestanding"
SAME, VALID = 0, 1
CHAINS = {
    "stem": ((24, 10, 3), [("conv", 8, 3, 2, SAME), ("depthwise", 0, 3, 1, SAME), ("conv", 12, 1, 1, SAME), ("depthwise", 0, 3, 2, SAME)]),
    "valid": ((23, 9, 4), [("conv", 8, 3, 1, VALID), ("depthwise", 0, 5, 1, VALID), ("conv", 4, 3, 2, VALID)]),
    "large kernels": ((20, 8, 4), [("conv", 8, 7, 1, SAME), ("conv", 8, 5, 3, SAME)]),
    "gaps": ((21, 8, 4), [("conv", 8, 3, 1, SAME), ("conv", 8, 1, 2, VALID), ("depthwise", 0, 3, 1, SAME)]),
}


def chain(shape, layers):
    """A network of convolutions: (kind, channels, kernel, stride, padding) each, then a mean over rows and columns."""
    builder = Builder()
    tensor, (height, width, depth), scale = builder.input((1, *shape), 0.05, 3), shape, 0.05
    for kind, filters, kernel, stride, padding in layers:
        depthwise = kind == "depthwise"
        channels = depth if depthwise else filters
        form = (1, kernel, kernel, depth) if depthwise else (channels, kernel, kernel, depth)
        weights = builder.constant(RANDOM.integers(-127, 128, form), "int8", scale=0.01, axis=3 if depthwise else 0)
        bias = builder.constant(RANDOM.integers(-3000, 3000, channels), scale=0.01 * scale)
        height, width = (-(-(size - (kernel - 1 if padding == VALID else 0)) // stride) for size in (height, width))
        depth, scale, source = channels, 0.05 if depthwise else 0.1, tensor
        tensor = builder.tensor((1, height, width, depth), "int8", scale, -9)
        options = {"padding": padding, "strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1}
        options |= {"depthMultiplier": 1} if depthwise else {}
        name, table = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
        builder.operator(name, [source, weights, bias], [tensor], table, **options)
    pooled = builder.tensor((1, depth), "int8", scale, -9)
    builder.operator("MEAN", [tensor, builder.constant([1, 2])], [pooled], "ReducerOptions", keepDims=False)
    return builder


@pytest.fixture(scope="module", params=CHAINS)
def network(request, tmp_path_factory):
    return chain(*CHAINS[request.param]).write(tmp_path_factory.mktemp("chain") / "chain.tflite")


def limits(path, folder):
    """The arena without a limit, and a limit for each way of less memory, down to the least, in kilobytes."""
    whole = arena = compile_tflite(path, folder / "whole").details["arena_bytes"]
    found = []
    while True:
        try:
            made = compile_tflite(path, folder / f"{len(found)}", max_ram_kb=(arena - 1) / 1024)
        except ExportError:
            return whole, found
        arena = made.details["arena_bytes"]
        found.append(made)


def test_stripes_give_the_reference_kernels_bytes_in_less_memory(network, tmp_path):
    samples = random_samples(network, 3)
    expected = np.concatenate([outputs[0] for outputs in reference(network, samples)])
    batch = (np.concatenate([sample[0] for sample in samples]),)
    whole, found = limits(network, tmp_path)
    assert found
    assert found[-1].details["arena_bytes"] < 0.8 * whole
    for made in {artifact.details["stripes"]["count"]: artifact for artifact in found}.values():
        np.testing.assert_array_equal(native.run(made, [batch])[0], expected)


rows = st.builds(lambda taps, stride, pad: (taps, stride, min(pad, taps - 1)), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2))


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, min_size=2, max_size=4), st.integers(20, 40), st.integers(1, 9))
def test_every_row_is_made_once_and_is_there_when_it_is_needed(windows, height, stripe):
    layers, size = [], height
    for taps, stride, pad in windows:
        output = (size + 2 * pad - taps) // stride + 1
        if output < 1:
            return
        layers.append(Rows(size, output, taps, stride, pad))
        size = output
    found = stream(0, layers, min(stripe, size))
    buffers = [list(range(height))] + [[] for _ in layers]
    made = [0] * len(layers)
    for number in range(found.stripes):
        for index, (layer, parts) in enumerate(zip(layers, found.parts, strict=True)):
            part, buffer = parts[number], buffers[index + 1]
            del buffer[: part.leave]
            assert len(buffer) >= part.stay
            there = buffers[index][part.read : part.read + part.input]
            for row in range(made[index], made[index] + part.add):
                wanted = [row * layer.stride - layer.pad + tap for tap in range(layer.extent)]
                assert {at for at in wanted if 0 <= at < layer.input} <= set(there)
            assert not part.add or part.pad == there[0] - (made[index] * layer.stride - layer.pad)
            buffer[part.stay :] = range(made[index], made[index] + part.add)
            made[index] += part.add
            assert len(buffer) <= found.held[index]
    assert made[-1] == layers[-1].output


@pytest.mark.parametrize(
    "target", [(), ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-ffreestanding", "-isystem", FREESTANDING)]
)
def test_stripes_compile_without_warnings(network, target, tmp_path):
    _, found = limits(network, tmp_path)
    zig("-O2", *STRICT, *target, "-c", found[-1].path / "chain.c", "-o", tmp_path / "chain.o")


def test_a_limit_that_can_not_be_kept_names_the_least_and_its_layer(network, tmp_path):
    with pytest.raises(ExportError, match=r"an arena of [\d,]+ bytes is the least, for layer '.+' \(\w+\); max_ram_kb must be at least \d"):
        compile_tflite(network, tmp_path / "c", max_ram_kb=0.1)
    assert not (tmp_path / "c").exists()


def test_a_limit_that_is_kept_anyway_changes_nothing(network, tmp_path):
    made, roomy = compile_tflite(network, tmp_path / "c"), compile_tflite(network, tmp_path / "d", max_ram_kb=1000)
    assert made.sha256 == roomy.sha256
    assert roomy.details["stripes"] is None


def test_stripes_on_a_core_cost_little_and_are_told(tmp_path):
    path = chain(*CHAINS["stem"]).write(tmp_path / "stem.tflite")
    sample = random_samples(path, 1)[0]
    target = Microcontroller(boards.load("nucleo-l4r5zi"))
    whole = target.run(formats.read(path), [sample], RunOptions())
    limit = (whole.details["ram"]["arena"] - 1) / 1024
    small = target.run(formats.read(path), [sample], RunOptions(settings={"max_ram_kb": f"{limit}"}))
    assert small.details["ram"]["arena"] <= limit * 1024
    np.testing.assert_array_equal(small.outputs[0], whole.outputs[0])
    assert small.cycles < 1.3 * whole.cycles
    assert any(f"run in {small.details['stripes']['count']} stripes" in note for note in small.notes)
    assert small.details["stripes"]["moved_bytes"] > 0
    first, last = small.details["stripes"]["first"], small.details["stripes"]["last"]
    assert all(layer.cycles > 0 for layer in small.layers[first : last + 1])
    assert [layer.macs for layer in small.layers] == [layer.macs for layer in whole.layers]


@pytest.mark.parametrize("value", ["many", "0", "-3", "inf"])
def test_a_setting_that_is_no_number_is_refused(value, tmp_path):
    path = chain(*CHAINS["valid"]).write(tmp_path / "valid.tflite")
    with pytest.raises(UserError, match=r"settings\.max_ram_kb: can't be"):
        Microcontroller(boards.load("nucleo-l4r5zi")).run(formats.read(path), [], RunOptions(settings={"max_ram_kb": value}))


def test_a_limit_on_what_is_c_already_is_refused(tmp_path):
    made = compile_tflite(chain(*CHAINS["valid"]).write(tmp_path / "valid.tflite"), tmp_path / "c")
    with pytest.raises(UserError, match="is C already"):
        Microcontroller(boards.load("nucleo-l4r5zi")).run(made, [], RunOptions(settings={"max_ram_kb": "1"}))


def test_the_command_takes_the_limit(tmp_path):
    path = chain(*CHAINS["stem"]).write(tmp_path / "stem.tflite")
    whole = json.loads(CliRunner().invoke(cli.cli, ["compile", str(path), "-o", str(tmp_path / "a"), "--json"]).output)
    limit = (whole["arena_bytes"] - 1) / 1024
    said = CliRunner().invoke(cli.cli, ["compile", str(path), "-o", str(tmp_path / "b"), "--max-ram-kb", str(limit)]).output
    assert "stripes, no MAC twice" in said
    small = json.loads((tmp_path / "b" / "model.json").read_text())
    assert small["arena_bytes"] <= limit * 1024 < whole["arena_bytes"]
    assert max(place["offset"] + place["bytes"] for place in small["memory_plan"]) <= small["arena_bytes"]


@pytest.mark.parametrize("limit", ["nan", "inf"])
def test_a_limit_that_is_no_number_of_kilobytes_is_refused(limit, tmp_path):
    path = chain(*CHAINS["stem"]).write(tmp_path / "stem.tflite")
    refused = CliRunner().invoke(cli.cli, ["compile", str(path), "--max-ram-kb", limit])
    assert isinstance(refused.exception, UserError)
    assert f"--max-ram-kb: can't be {limit}; give the kilobytes" in str(refused.exception)


def test_the_command_takes_a_network_without_layers(tmp_path):
    builder = Builder()
    path = builder.write(tmp_path / "nothing.tflite", outputs=[builder.input((1, 4))])
    done = CliRunner().invoke(cli.cli, ["compile", str(path)])
    assert done.exit_code == 0
    assert "an arena of 0 bytes" in done.output
