"""The compiler's own promises: what it refuses and how, harmless names, the same text for the same file, memory."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import typed_networks
from compiler_networks import convolution, convolutions, dense, moved, pooling, softmax, unary
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_networks import everywhere
from tflite_files import STRICT, Builder, assert_exact, merged, zig

from targets.errors import ExportError, UserError
from targets.formats import c
from targets.microcontroller.compiler import compile_tflite, supported
from targets.microcontroller.compiler.fixed_point import exact_multiplier, round_half_away
from targets.microcontroller.compiler.planner import ALIGNMENT, SAME_PLACE, Buffer, plan
from targets.microcontroller.compiler.text import identifier


def changed(builder, change):
    change(builder)
    return builder


def float_weights(builder):
    tensor = builder.tensors[1]
    tensor.type, tensor.quantization = 0, None
    builder.buffers[tensor.buffer].data = np.zeros(4 * int(np.prod(tensor.shape)), np.uint8)


def computed_weights(builder):
    builder.tensors[1].buffer = 0
    builder.inputs.append(1)


def lopsided_weights(builder):
    builder.tensors[1].quantization.zeroPoint = builder.tensors[1].quantization.zeroPoint + 3


def no_scale(builder):
    builder.tensors[0].quantization = None


def state(builder):
    builder.tensors[0].isVariable, builder.inputs[:] = True, []


def output_too_many(builder):
    builder.operators[0].outputs.append(builder.tensor((1, 4, 8, 8), "int8", 0.03, -7))


def groups(builder):
    builder.tensors[0].shape = [1, 9, 7, 8]


def batch(builder):
    for tensor in (builder.tensors[0], builder.tensors[-1]):
        tensor.shape = [2, *tensor.shape[1:]]


def fused_tanh(builder):
    builder.operators[0].builtinOptions.fusedActivationFunction = 4


def stride(builder):
    builder.operators[0].builtinOptions.strideW = 0


def other_size(builder):
    builder.tensors[-1].shape = [1, 9, 8, 5]


def large_bias(builder):
    builder.buffers[-1].data = np.frombuffer(np.full(5, 2**31 - 1, np.int32).tobytes(), np.uint8)


def other_scale(builder):
    builder.tensors[1].quantization.scale = np.float32([0.5])


REFUSED = [
    (lambda: changed(convolution(), float_weights), "is float32, and this operator takes int8 or int4 here"),
    (lambda: changed(convolution(), computed_weights), "its weights is computed at run time"),
    (lambda: changed(convolution(), lopsided_weights), "have a zero point"),
    (lambda: changed(convolution(), no_scale), "has not one scale"),
    (lambda: changed(convolution(), groups), "4 to each of 5 filters"),
    (lambda: changed(convolution(), batch), "batch of 2"),
    (lambda: changed(convolution(), fused_tanh), "fused activation is TANH"),
    (lambda: changed(convolution(), stride), "stride and dilation"),
    (lambda: changed(convolution(), other_size), "its options give 7"),
    (lambda: changed(convolution(), large_bias), "may leave 32 bits"),
    (lambda: changed(pooling("MAX_POOL_2D"), other_scale), "different scales"),
    (lambda: changed(softmax(), other_scale), "hasn't scale 1/256"),
    (lambda: softmax(scale=1e-10), "its scales don't go together: steps of 1e-10"),
    (lambda: convolution(output_scale=1e-14), "its scales don't go together: a multiplier of"),
    (lambda: unary("RELU", output=(1e-30, 0)), r"has scale 1\.0+\d*e-30 and zero point 0"),
    (lambda: softmax((1, 4096)), "sum of 4096 exponentials may leave 32 bits"),
    (lambda: unary("FLOOR"), "no kernel for this operator"),
    (lambda: changed(unary("LOGISTIC", output=(1 / 256, -128)), state), "from one run to the next"),
    (lambda: changed(unary("ABS"), output_too_many), "it has 2 outputs, and takes 1"),
    (lambda: moved("TRANSPOSE", (1, 2, 3), (1, 3, 2), [[0, 2, 2]]), r"permutation is \[0, 2, 2\]"),
    (lambda: moved("SLICE", (1, 4), (1, 2), [[0, 3], [1, 2]]), "it takes"),
]


def test_outputs_that_nothing_computes_are_refused(tmp_path):
    builder = convolution()
    with pytest.raises(ExportError, match=r"net\.tflite: output 'tensor_1' isn't computed; leave it out of the model"):
        compile_tflite(builder.write(tmp_path / "net.tflite", outputs=[1]), tmp_path / "c")


@pytest.mark.parametrize(("network", "reason"), REFUSED)
def test_what_cannot_be_compiled_is_refused_with_layer_operator_and_cure(network, reason, tmp_path):
    builder = network()
    output = builder.tensors[builder.operators[-1].outputs[0]]
    output.name = "block_3/conv"
    path = builder.write(tmp_path / "net.tflite")
    with pytest.raises(ExportError, match=rf"net\.tflite: layer 'block_3/conv' \([A-Z0-9_]+\): .*{reason}.*; \w+") as raised:
        compile_tflite(path, tmp_path / "c")
    assert "\n" not in str(raised.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["net.tflite"]


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = merged([builder for _, builder in everywhere()]).write(tmp_path / "net.tflite")
    texts = []
    for name in ("one", "two"):
        folder = compile_tflite(path, tmp_path / name).path
        texts.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert texts[0] == texts[1]


HOSTILE = ("*/ int evil; /*", 'a"b\\', "line\nbreak\r", "??/", "// \\", "\u202e\0", "%s%n", "x" * 5000, "int", "*" + "/", "#include <x>")


def test_names_of_tensors_never_become_code(tmp_path):
    builder = Builder()
    last = builder.input((1, 8), name=HOSTILE[0])
    for name in HOSTILE:
        made = builder.tensor((1, 8), "int8", 0.05, 3, name=name)
        builder.operator("RELU", [last], [made])
        last = made
    path = builder.write(tmp_path / "a.tflite")
    assert_exact({"hostile": path}, tmp_path)
    text = (tmp_path / "model_0" / "model_0.c").read_text()
    assert all("evil" not in line or line.startswith("/* RELU:") for line in text.splitlines())


@given(st.text())
def test_any_name_becomes_an_identifier(name):
    assert identifier(name).isidentifier()
    assert identifier(name).isascii()
    assert identifier(name) == identifier(identifier(name))


def test_the_file_names_the_network(tmp_path):
    path = dense().write(tmp_path / "My net-2.tflite")
    folder = compile_tflite(path, tmp_path / "c").path
    assert (folder / "my_net_2.h").exists()
    assert "void my_net_2_run(" in (folder / "my_net_2.h").read_text()
    assert compile_tflite(path, tmp_path / "named", "kws").details["name"] == "kws"


@pytest.mark.parametrize("flags", [["-O0"], ["-O1", "-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"]])
def test_no_compiler_warns(flags, tmp_path):
    path = merged([builder for _, builder in (*everywhere(), *convolutions(), *typed_networks.everything())]).write(tmp_path / "all.tflite")
    artifact = compile_tflite(path, tmp_path / "c")
    freestanding = ["-isystem", c.__file__.replace("formats/c.py", "microcontroller/freestanding")] if "-target" in flags else []
    for source in artifact.details["sources"]:
        zig(*STRICT, *flags, *freestanding, "-c", "-o", tmp_path / "object.o", artifact.path / source)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here; apt-get install gcc")
def test_gcc_does_not_warn(tmp_path):
    path = merged([builder for _, builder in (*everywhere(), *convolutions(), *typed_networks.everything())]).write(tmp_path / "all.tflite")
    artifact = compile_tflite(path, tmp_path / "c")
    for source in artifact.details["sources"]:
        command = ["gcc", *STRICT, "-O2", "-c", "-o", str(tmp_path / "object.o"), str(artifact.path / source)]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_the_folder_reads_back(tmp_path):
    artifact = compile_tflite(convolution().write(tmp_path / "net.tflite"), tmp_path / "c")
    (layer,) = artifact.details["layers"]
    assert (layer["operator"], layer["macs"], layer["function"]) == ("CONV_2D", 9 * 7 * 5 * 36, "net_layer_00_conv_2d")
    assert layer["flash_bytes"] == 5 * 36 + 5 * 9
    assert artifact.inputs[0].shape == (1, 9, 7, 4)
    assert c.read(tmp_path / "c") == artifact


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 9}', '{"schema": 1}', '{"schema": 1, "sources": ["../x.c"], "headers": []}', "\x00"]
)
def test_a_damaged_description_is_refused(text, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json: .*export the model again"):
        c.read(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    path = dense().write(tmp_path / "net.tflite")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*can't be written: .*; name another output folder"):
        compile_tflite(path, tmp_path / "file" / "c")


def test_a_second_export_replaces_the_first(tmp_path):
    for inputs in (33, 12):
        artifact = compile_tflite(dense(inputs=inputs).write(tmp_path / "net.tflite"), tmp_path / "c")
        assert artifact.inputs[0].shape == (1, inputs)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["c", "net.tflite"]


def test_a_missing_source_is_refused(tmp_path):
    compile_tflite(dense().write(tmp_path / "net.tflite"), tmp_path / "c")
    (tmp_path / "c" / "net.c").unlink()
    with pytest.raises(UserError, match=r"net\.c"):
        c.read(tmp_path / "c")


def test_a_view_of_an_input_and_an_input_that_is_an_output_are_copied(tmp_path):
    builder = Builder()
    given = builder.input((1, 4, 2))
    flat = builder.tensor((1, 8), "int8", 0.05, 3)
    builder.operator("RESHAPE", [given, builder.constant([1, 8])], [flat])
    positive = builder.tensor((1, 8), "int8", 0.05, 3)
    builder.operator("RELU", [flat], [positive])
    again = builder.tensor((8,), "int8", 0.05, 3)
    builder.operator("RESHAPE", [positive, builder.constant([8])], [again])
    path = builder.write(tmp_path / "net.tflite", outputs=[flat, positive, again, given])
    assert_exact({"views": path}, tmp_path)


def test_residuals_keep_what_is_needed_later(tmp_path):
    builder = Builder()
    first = builder.input((1, 6, 6, 8), 0.05, 3)
    for _ in range(3):
        branch = builder.tensor((1, 6, 6, 8), "int8", 0.05, 3)
        builder.operator("RELU", [first], [branch])
        made = builder.tensor((1, 6, 6, 8), "int8", 0.05, 3)
        builder.operator("ADD", [branch, first], [made], "AddOptions")
        both = builder.tensor((1, 6, 6, 8), "int8", 0.06, 3)
        builder.operator("MUL", [made, made], [both], "MulOptions")
        first = builder.tensor((1, 6, 6, 8), "int8", 0.05, 3)
        builder.operator("SUB", [both, branch], [first], "SubOptions")
    (network,) = assert_exact({"residual": builder.write(tmp_path / "net.tflite")}, tmp_path)
    assert network.artifact.details["arena_bytes"] <= 3 * 288


def test_every_operator_is_documented_by_name():
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX"} <= set(supported())


@st.composite
def buffers(draw):
    number = draw(st.integers(1, 8))
    sizes = draw(st.lists(st.integers(1, 50).map(lambda units: 4 * units), min_size=number, max_size=number))
    made = []
    for index, size in enumerate(sizes):
        first = draw(st.integers(0, 6))
        sources = {}
        if made and draw(st.booleans()):
            source = draw(st.integers(0, index - 1))
            if made[source].last == first and made[source].first < first:
                sources = {source: draw(st.just(SAME_PLACE) | st.integers(0, 240))}
        made.append(Buffer(size, first, first + draw(st.integers(0, 4)), sources))
    return made


@given(buffers())
@settings(deadline=None)
def test_a_plan_keeps_apart_what_is_needed_at_one_time(buffers):
    made = plan(buffers)
    for index, (start, buffer) in enumerate(zip(made.offsets, buffers, strict=True)):
        assert start % ALIGNMENT == 0
        assert start + buffer.size <= made.arena_bytes
        for other in range(index):
            begin, earlier = made.offsets[other], buffers[other]
            apart = start + buffer.size <= begin or begin + earlier.size <= start
            never = earlier.last < buffer.first or buffer.last < earlier.first
            distance = buffer.sources.get(other)
            allowed = distance is not None and (begin == start if distance == SAME_PLACE else begin >= start + distance)
            assert apart or never or allowed


@given(st.lists(st.integers(1, 1000).map(lambda units: 4 * units), min_size=1, max_size=12))
@settings(deadline=None)
def test_a_chain_needs_no_more_than_its_largest_pair(sizes):
    chain = [Buffer(size, step, step + 1) for step, size in enumerate(sizes)]
    pairs = [sum(sizes[step : step + 2]) for step in range(len(sizes))]
    assert plan(chain).arena_bytes <= -(-max(pairs) // 16) * 16


SCALES = st.floats(2**-12, 1, width=32)


@given(SCALES, SCALES, SCALES, st.integers(10, 2**24), st.data())
@settings(deadline=None)
def test_the_exact_multiplier_rounds_as_double_precision_does(first, second, output, largest, data):
    scale = first * second / output
    multiplier, shift = exact_multiplier(scale, largest, -255, 255)
    assert largest * multiplier < 2**63
    limit = min(largest - 1, round(256 / scale))
    value = data.draw(st.integers(-limit, limit))
    rounded = (value * multiplier + (1 << (shift - 1))) >> shift
    assert max(-255, min(255, rounded)) == max(-255, min(255, round_half_away(value * scale)))


@given(st.floats(0, 1e-20), st.integers(10, 2**31 - 1))
def test_a_scale_below_that_of_any_sum_gives_zeros(scale, largest):
    assert exact_multiplier(scale, largest, -255, 255) == (0, 1)


def test_model_json_is_plain(tmp_path):
    compile_tflite(dense().write(tmp_path / "net.tflite"), tmp_path / "c")
    description = json.loads((tmp_path / "c" / "model.json").read_text())
    assert (description["schema"], description["name"], description["sources"]) == (1, "net", ["net.c", "net_weights.c"])
