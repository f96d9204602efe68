"""Boards on a serial line: the example's own C on an emulated Cortex-M4, at the other end of a pseudo-terminal."""

import json
import os
import sys
import threading
import tty

import numpy as np
import pytest
from click.testing import CliRunner
from compiler_networks import binary, convolution, softmax
from conftest import DATA
from emulated_board import EmulatedBoard, build
from hypothesis import given
from hypothesis import strategies as st
from tflite_files import merged, random_samples, reference

from cli import cli
from targets import boards, formats
from targets.base import RunOptions
from targets.errors import TargetUnreachableError, UserError
from targets.microcontroller import frames, line
from targets.microcontroller.compiler import compile_tflite
from targets.microcontroller.packaging import package

BOARD = "nucleo-l4r5zi"
CLOCK_HZ = 120_000_000


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Three networks side by side in one: several inputs and outputs, the first longer than a frame."""
    folder = tmp_path_factory.mktemp("serial")
    path = merged([convolution(), binary("ADD", (1, 9), (1, 9)), softmax()]).write(folder / "net.tflite")
    artifact = compile_tflite(path, folder / "net")
    package(artifact)
    return artifact


@pytest.fixture(scope="module")
def program(network):
    return build(network.path, network.path.parent, serial=True)


@pytest.fixture
def board(program):
    with EmulatedBoard(program) as found:
        yield found


def samples(network, count):
    drawn = random_samples(network.path.parent / "net.tflite", count)
    return drawn, tuple(np.concatenate(column) for column in zip(*drawn, strict=True))


def run(network, port, batch=None, warmup=0, repetitions=1, timeout=5):
    options = RunOptions(warmup, repetitions, device=f"serial://{port}?baud=115200&timeout={timeout}")
    return boards.target(BOARD).run(network, [samples(network, 1)[1] if batch is None else batch], options)


def test_a_board_gives_the_reference_kernels_bytes_and_its_own_cycles(network, board):
    drawn, batch = samples(network, 3)
    result = run(network, board.port, batch, warmup=1, repetitions=4)
    for column, wanted in zip(result.outputs, zip(*reference(network.path.parent / "net.tflite", drawn), strict=True), strict=True):
        np.testing.assert_array_equal(column, np.concatenate(wanted))
    counted = np.diff(board.cycles)[::2]  # the firmware reads its counter before and after each run
    assert len(counted) == 1 + 4 + 2
    assert result.latency.p50_ms == np.median(counted[1:5]) * 1000 / CLOCK_HZ > 0
    assert result.cycles == int(np.median(counted[1:5]))
    assert (result.source, result.latency.source, result.latency.repetitions) == ("measured", "measured", 4)
    assert result.details["self_test"]
    assert [layer.operator for layer in result.layers] == ["CONV_2D", "ADD", "SOFTMAX"]


def test_the_tflite_file_is_known_as_the_network_on_the_board(network, board):
    assert run(formats.read(network.path.parent / "net.tflite"), board.port).source == "measured"


def test_bytes_that_are_spoiled_on_the_way_are_asked_for_again(network, board):
    board.noise = {3, 40, 60, 75, 90}
    drawn, batch = samples(network, 1)
    result = run(network, board.port, batch)
    assert board.sent > 300
    for have, want in zip(result.outputs, reference(network.path.parent / "net.tflite", drawn)[0], strict=True):
        np.testing.assert_array_equal(have, want)


def test_a_line_that_spoils_everything_is_said_so(network, board):
    board.noise = range(5, 1 << 40, 7)
    with pytest.raises(TargetUnreachableError, match=f"{board.port}: what arrives is garbled or no answer; check the cable"):
        run(network, board.port, timeout=1)


def test_a_board_that_was_cut_off_earlier_answers_anew(network, board):
    terminal = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    os.write(terminal, frames.encode(bytes([line.RUN, 7]))[:-4])
    os.close(terminal)
    assert run(network, board.port).source == "measured"


def test_a_core_without_a_counter_gives_outputs_and_no_latency(network, tmp_path):
    with EmulatedBoard(build(network.path, tmp_path, serial=True, core="cortex-m0plus"), "cortex-m0plus") as board:
        result = run(network, board.port)
    assert (result.source, result.latency, result.cycles) == ("measured", None, None)
    assert len(result.outputs) == 3
    assert any("no counter that the firmware knows" in note for note in result.notes)


@pytest.mark.parametrize(
    ("command", "body", "status"),
    [
        (line.LOAD, bytes([0, 252, 0, 0, 0, 1]), 3),
        (line.LOAD, bytes([0, 255, 255, 255, 255, 1]), 3),
        (line.LOAD, bytes([4, 0, 0, 0, 0, 1]), 3),
        (line.LOAD, bytes([0, 0, 0]), 2),
        (line.READ, bytes([2, 0, 0, 0, 0, 13]), 3),
        (line.READ, bytes([3, 0, 0, 0, 0, 1]), 3),
        (line.READ, bytes([0, 0, 0, 0, 0, 255]), 2),
        (99, b"", 2),
    ],
)
def test_the_firmware_touches_no_memory_but_its_buffers(network, board, command, body, status):
    with (
        line.connect(line.Address(board.port, 115200, 5)) as found,
        pytest.raises(TargetUnreachableError, match=f"refuses command {command} with status {status};"),
    ):
        found._request(command, body)
    assert run(network, board.port).source == "measured"


def test_the_firmware_survives_any_bytes(network, board):
    random = np.random.default_rng(0)
    terminal = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    for size in (1, 255, 256, 257, 1000):
        os.write(terminal, random.integers(0, 256, size, np.uint8).tobytes())
        os.write(terminal, b"\1" * size + b"\0")
    os.close(terminal)
    assert run(network, board.port).source == "measured"


@pytest.mark.parametrize("after", [0, 20, 150])
def test_a_cut_line_is_an_error_that_names_the_port(network, board, after):
    board.cut_after = after
    with pytest.raises(TargetUnreachableError, match=rf"^{board.port}: .*; is ") as caught:
        run(network, board.port, timeout=1)
    assert "\n" not in str(caught.value)


def test_a_board_with_another_network_is_refused(board, tmp_path):
    other = compile_tflite(softmax().write(tmp_path / "other.tflite"), tmp_path / "other")
    batch = (np.zeros(other.inputs[0].shape, np.int8),)
    with pytest.raises(TargetUnreachableError, match=r"holds another network, 'net', than .*other; flash the firmware"):
        run(other, board.port, batch)


def test_a_firmware_that_fails_its_own_test_is_told(network, program, tmp_path):
    content = (network.path / "net_firmware.c").read_text().split("output_2_test[12] = {")[1].split("}")[0]
    expected = bytes(int(word) for word in content.split(",") if word.strip())
    spoiled = tmp_path / "spoiled.elf"
    spoiled.write_bytes(program.read_bytes().replace(expected, bytes(12)))
    with EmulatedBoard(spoiled) as board:
        result = run(network, board.port)
    assert not result.details["self_test"]
    assert any("own test fails" in note for note in result.notes)


@pytest.fixture
def silent():
    """A terminal at whose other end nobody is."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    for end in (ours, theirs):
        os.close(end)


def test_a_board_that_says_nothing_is_an_error_after_its_time(network, silent):
    with pytest.raises(TargetUnreachableError, match=r"no answer within 1 s; is it powered"):
        run(network, silent[1], timeout=1)


def test_a_firmware_that_says_something_else_is_an_error(network, silent):
    ours, port = silent
    talker = threading.Thread(target=os.write, args=(ours, b"Hello, I am a thermometer.\r\n" * 60))
    talker.start()
    with pytest.raises(TargetUnreachableError, match=r"garbled or no answer|no answer within"):
        run(network, port, timeout=1)
    talker.join()


def test_a_port_that_is_not_there_is_an_error(network):
    with pytest.raises(TargetUnreachableError, match=r"^/dev/nowhere: .*; is the board connected"):
        run(network, "/dev/nowhere")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("tcp://board", "is no serial line"),
        ("serial://", "is no serial line"),
        ("serial:///dev/ttyACM0?bauds=9600", "did you mean 'baud'"),
        ("serial:///dev/ttyACM0?baud=fast", "baud must be a whole number above 0, not 'fast'"),
        ("serial:///dev/ttyACM0?timeout=0", "timeout must be a whole number above 0"),
    ],
)
def test_a_device_that_makes_no_sense_is_refused(network, device, words):
    with pytest.raises(UserError, match=words):
        boards.target(BOARD).run(network, [], RunOptions(device=device))


def test_settings_of_the_emulator_are_refused(network):
    options = RunOptions(device="serial:///dev/ttyACM0", settings={"optimization": "O3"})
    with pytest.raises(UserError, match="no setting is called 'optimization'"):
        boards.target(BOARD).run(network, [], options)


def test_a_windows_port_has_its_name():
    assert line.Address.of("serial://COM3?baud=9600") == line.Address("COM3", 9600, 10)


def test_without_pyserial_nothing_is_measured(network, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "serial", raising=False)
    result = run(network, "/dev/ttyACM0")
    assert (result.source, result.reason) == ("not measured", "pyserial is not installed; run: pip install 'edgepress[serial]'")


@given(st.binary(max_size=frames.CONTENT_BYTES - frames.CRC_BYTES))
def test_frames_carry_any_bytes(content):
    frame = frames.encode(content)
    assert frames.decode(frame) == content
    assert frame.index(0) == len(frame) - 1 <= frames.FRAME_BYTES - 1


@given(st.binary(max_size=60), st.data())
def test_a_frame_with_a_wrong_bit_is_none(content, data):
    frame = bytearray(frames.encode(content))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert frames.decode(bytes(frame)) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_none(received):
    content = frames.decode(received)
    assert content is None or frames.encode(content) == received


@pytest.mark.data
def test_the_command_measures_a_real_network_on_a_board(tmp_path):
    path = DATA / "mlperf_tiny" / "kws_ref_model.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    artifact = compile_tflite(path, tmp_path / "kws")
    package(artifact)
    with EmulatedBoard(build(artifact.path, tmp_path, serial=True)) as board:
        options = ["--device", f"serial://{board.port}", "--samples", "2", "--repetitions", "1", "--json"]
        done = CliRunner().invoke(cli, ["profile", str(path), "--target", BOARD, *options])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["source"], row["exact"], row["latency_source"], row["samples"]) == ("measured", True, "measured", 2)
    assert row["latency_ms"] == pytest.approx(row["cycles"] * 1000 / CLOCK_HZ, rel=1e-4)
    assert row["cycles"] > 1_000_000
