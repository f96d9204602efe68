"""The reader on what benchmark_model prints, and everything up to a phone; a real phone or adbd is for `test_phone_adbd.py`."""

import importlib.util
import socket
import sys
from dataclasses import replace

import pytest
from small_files import dense_tflite, float_samples

from targets import boards, formats
from targets.base import RunOptions
from targets.errors import TargetUnreachableError, UserError
from targets.phone import benchmark_model

needs_adb = pytest.mark.skipif(
    importlib.util.find_spec("adb_shell") is None, reason="adb-shell is not installed: pip install 'edgepress[phone]'"
)
PHONES = [name for name in boards.names() if boards.load(name).target == "phone"]

NEW = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [100]
INFO: Graph: [/data/local/tmp/edgepress/0123456789abcdef-m.tflite]
INFO: Loaded model /data/local/tmp/edgepress/0123456789abcdef-m.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: The input model file size (MB): 0.3275
INFO: Initialized session in 5.579ms.
INFO: Running benchmark for at least 10 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=51 first=11012 curr=9801 min=9790 max=11012 avg=9.9e+03 std=160 p5=9795 median=9810 p95=10900

INFO: Running benchmark for at least 100 iterations and at least 0 seconds but terminate if exceeding 150 seconds.
INFO: count=100 first=9812 curr=9820 min=9785 max=1.0031e+04 avg=9831.2 std=33 p5=9790 median=9828 p95=9911

INFO: Inference timings in us: Init: 5579, First inference: 11012, Warmup (avg): 9.9e+03, Inference (avg): 9831.2
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory footprint.
INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=4.25
"""

OLD = """\
STARTING!
Loaded model m.tflite
Initialized session in 9.933ms.
count=7 first=127425 curr=66709 min=66709 max=127425 avg=76605.9 std=20944

count=15 first=66753 curr=66800 min=66699 max=66838 avg=66767.6 std=39

Inference timings in us: Init: 9933, First inference: 127425, Warmup (avg): 76605.9, Inference (avg): 66767.6
Peak memory footprint (MB): init=4.92969 overall=138.809
"""


def table(title, *rows):
    headings = ["[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]", "[Name]"]
    lines = [
        "\t".join(["", *(f"{cell:>24}" if place == 0 else f"{cell:>9}" for place, cell in enumerate(row))]) for row in (headings, *rows)
    ]
    return "\n".join([f"============================== {title} ==============================", *lines, "", ""])


def profile(graph, inside=()):
    def columns(rows):
        return [(kind, "0.100", f"{ms:.3f}", "50.000%", "50.000%", "0.000", "1", name) for kind, ms, name in rows]

    text = "Profiling Info for Benchmark Initialization:\n" + table("Run Order", *columns([("AllocateTensors", 1.5, "AllocateTensors/0")]))
    text += "Operator-wise Profiling Info for Regular Benchmark Runs:\n" + table("Run Order", *columns(graph))
    text += table("Top by Computation Time", *columns(graph[::-1]))
    text += "Number of nodes executed: 2\n" + table("Summary by node type")
    if inside:
        text += "Delegate internal: \n" + table("Run Order", *columns(inside)) + table("Top by Computation Time", *columns(inside[::-1]))
    return text


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_run_of_today_gives_percentiles_and_memory(ending):
    result = benchmark_model.parse(NEW.replace("\n", ending))
    assert (result.p50_ms, result.p90_ms, result.repetitions) == (9.828, 9.911, 100)
    assert (result.init_ms, result.first_ms) == (5.579, 11.012)
    assert result.ram_bytes == int(4.25 * 2**20)
    assert "95th percentile" in result.notes[0]
    assert result.layers == ()


def test_an_older_run_has_no_percentiles_and_says_what_stands_there_instead():
    result = benchmark_model.parse(OLD)
    assert (result.p50_ms, result.p90_ms, result.repetitions) == (66.7676, 66.838, 15)
    assert "p50 is the mean" in result.notes[0]
    assert result.ram_bytes == int(138.809 * 2**20)


def test_the_profile_gives_a_row_an_operator_in_the_order_they_ran():
    text = NEW + profile([("CONV_2D", 0.957, "[conv/Relu6, other]:0"), ("SOFTMAX", 0.23, "[Identity]:1")])
    found = [(layer.name, layer.operator, layer.latency_ms) for layer in benchmark_model.parse(text).layers]
    assert found == [("conv/Relu6, other", "CONV_2D", 0.957), ("Identity", "SOFTMAX", 0.23)]


def test_a_column_more_or_less_does_not_matter():
    text = (
        (NEW + profile([("CONV_2D", 0.957, "[conv]:0")]))
        .replace("[first]", "[start]\t  [first]")
        .replace("    0.100\t", "    0.066\t    0.100\t")
    )
    assert [layer.latency_ms for layer in benchmark_model.parse(text).layers] == [0.957]


def test_operators_inside_a_delegate_take_the_place_of_its_node():
    graph = [("QUANTIZE", 0.1, "[q]:0"), ("TfLiteXNNPackDelegate", 9.0, "[Identity]:12:5")]
    inside = [
        ("DelegateOpInvoke", 8.0, "Delegate/Convolution (NHWC, QC8) IGEMM:0"),
        ("DelegateOpInvoke", 1.0, "Delegate/Softmax (NC, QU8):1"),
    ]
    layers = benchmark_model.parse(NEW + profile(graph, inside)).layers
    assert [layer.operator for layer in layers] == ["QUANTIZE", "Convolution (NHWC, QC8) IGEMM", "Softmax (NC, QU8)"]
    assert [layer.operator for layer in benchmark_model.parse(NEW + profile(graph)).layers] == ["QUANTIZE", "TfLiteXNNPackDelegate"]


def test_a_delegate_that_did_not_take_the_network_is_noted():
    said = "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
    assert said in benchmark_model.parse(f"INFO: {said}\n{NEW}").notes


def test_a_run_without_an_end_is_none_and_its_error_is_found():
    text = "STARTING!\nERROR: Didn't find op for builtin opcode 'CONV_2D' version '99'\nERROR: Registration failed.\nBenchmarking failed.\n"
    assert benchmark_model.parse(text) is None
    assert benchmark_model.complaint(text) == "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '99'"
    assert benchmark_model.complaint("sh: benchmark_model: not found\n") == "sh: benchmark_model: not found"
    assert benchmark_model.complaint("fine\n") is None
    assert benchmark_model.complaint("WARNING: [npu_registry.cc:34] NPU accelerator: kLiteRtStatusErrorNotFound.\n") is None


@pytest.mark.parametrize("name", PHONES)
def test_a_phone_names_the_sources_of_its_figures(name):
    board = boards.load(name)
    assert board.core
    assert board.clock_hz > 10**9
    assert all(any(word in source for word in (".com", "specifications")) for source in board.sources.values())


@pytest.fixture
def phone():
    return boards.target("pixel-8")


@pytest.fixture
def artifact(tmp_path):
    return formats.read(dense_tflite(tmp_path / "m.tflite"))


@needs_adb
def test_without_a_program_or_a_phone_nothing_is_measured_and_the_cure_is_named(phone, artifact, tmp_path):
    batches = [(float_samples(1),)]
    assert "settings: {benchmark_model: PATH}" in phone.run(artifact, batches, RunOptions()).reason
    program = tmp_path / "benchmark_model"
    program.touch()
    unplugged = phone.run(artifact, batches, RunOptions(settings={"benchmark_model": str(program)}))
    assert unplugged.source == "not measured"
    assert "device: adb://HOST:PORT" in unplugged.reason


def test_without_adb_shell_its_package_is_named(phone, artifact, monkeypatch):
    monkeypatch.setitem(sys.modules, "adb_shell", None)
    assert str(phone.available()) == "adb-shell is not installed; run: pip install 'edgepress[phone]'"
    assert phone.run(artifact, [], RunOptions()).reason == str(phone.available())


@needs_adb
def test_a_phone_that_was_named_and_does_not_answer_is_unreachable(phone, artifact, tmp_path):
    program = tmp_path / "benchmark_model"
    program.touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        device = f"adb://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TargetUnreachableError, match=r"127\.0\.0\.1:\d+: .*refused.*USB debugging"):
            phone.run(artifact, [], RunOptions(device=device, settings={"benchmark_model": str(program)}))


@needs_adb
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (RunOptions(settings={"benchmark": "x"}), "no setting is called 'benchmark'; did you mean 'benchmark_model'"),
        (RunOptions(settings={"delegate": "npu"}), r"settings\.delegate: can't be 'npu'"),
        (RunOptions(settings={"benchmark_model": "/nowhere/benchmark_model"}), "/nowhere/benchmark_model is no file"),
    ],
)
def test_settings_that_do_not_apply_are_refused(phone, artifact, options, reason):
    with pytest.raises(UserError, match=reason):
        phone.run(artifact, [], options)


@needs_adb
def test_a_device_of_another_kind_is_refused(phone, artifact, tmp_path):
    program = tmp_path / "benchmark_model"
    program.touch()
    with pytest.raises(UserError, match="name one as adb://HOST:PORT"):
        phone.run(artifact, [], RunOptions(device="ssh://pi@board", settings={"benchmark_model": str(program)}))


def test_only_tflite_files_run_on_a_phone(phone, artifact):
    onnx = replace(artifact, format="onnx")
    assert phone.choose([onnx, artifact]) == [artifact]
    assert "runs no .onnx files; export tflite" in str(phone.check(onnx)[0])
