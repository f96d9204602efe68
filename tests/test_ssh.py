"""Boards over SSH: a real server and real processes on loopback; the emulated Raspberry Pi behind sshd is in test_ssh_emulated.py."""

import json
import socket
import sys
from dataclasses import replace

import numpy as np
import pytest
from small_files import dense_onnx, dense_tflite, float_answer, float_samples, int8_answer, int8_samples
from ssh_server import SshServer

from targets import boards, formats, ssh
from targets.base import RunOptions
from targets.errors import ExportError, TargetUnreachableError, UserError
from targets.raspberry_pi import device


@pytest.fixture
def server(tmp_path, monkeypatch):
    client = tmp_path / "client"
    client.mkdir()
    monkeypatch.setenv("HOME", str(client))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = SshServer(tmp_path / "board", client)
    yield server
    server.close()


def options(server, **settings):
    return RunOptions(warmup=1, repetitions=3, device=server.address, settings={"python": sys.executable} | settings)


def in_batches(samples, size):
    return [(samples[start : start + size],) for start in range(0, len(samples), size)]


def left(server):
    """The jobs that the board still holds."""
    folder = server.home / ".cache/edgepress/jobs"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_file_is_measured_on_the_board_and_nothing_but_the_model_stays_there(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite", quantized=True))
    samples = int8_samples(20)
    measurement = boards.target("raspberry-pi-4").run(artifact, in_batches(samples, 8), options(server))
    np.testing.assert_array_equal(measurement.outputs[0], int8_answer(samples))
    assert measurement.source == "measured"
    assert measurement.latency.source == "measured"
    assert measurement.latency.repetitions == 3
    assert measurement.runner.startswith("ai-edge-litert 2.")
    assert measurement.runner.endswith("over SSH")
    assert any(note.startswith("the recipe says Raspberry Pi 4 Model B, the device calls itself ") for note in measurement.notes)
    assert left(server) == []
    assert [path.name[17:] for path in (server.home / ".cache/edgepress/models").iterdir()] == ["m.tflite"]


def test_onnx_runtime_gives_a_row_an_operator(server, tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    samples = float_samples(5)
    measurement = boards.target("raspberry-pi-5").run(artifact, in_batches(samples, 5), options(server))
    np.testing.assert_allclose(measurement.outputs[0], float_answer(samples), rtol=1e-5, atol=1e-5)
    assert all(layer.latency_ms > 0 for layer in measurement.layers)


def test_a_model_is_pushed_once_and_again_when_it_was_spoiled(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    target = boards.target("raspberry-pi-4")
    target.run(artifact, in_batches(float_samples(2), 2), options(server))
    (copy,) = (server.home / ".cache/edgepress/models").iterdir()
    pushed = copy.stat().st_mtime_ns, copy.stat().st_ino
    target.run(artifact, in_batches(float_samples(2), 2), options(server))
    assert (copy.stat().st_mtime_ns, copy.stat().st_ino) == pushed
    copy.write_bytes(b"spoiled")
    again = target.run(artifact, in_batches(float_samples(2), 2), options(server))
    np.testing.assert_allclose(again.outputs[0], float_answer(float_samples(2)), rtol=1e-5, atol=1e-5)


def test_a_run_that_was_cut_off_anywhere_is_one_line_and_the_next_goes_on(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    samples, target = float_samples(70), boards.target("raspberry-pi-4")
    for server.cut_at in ("mkdir", "echo", "sha256sum -- .cache/edgepress/models", "runner.py .", "ls .cache"):
        with pytest.raises(TargetUnreachableError) as broken:
            target.run(artifact, in_batches(samples, 32), options(server))
        assert "\n" not in str(broken.value)
    server.cut_at = None
    whole = target.run(artifact, in_batches(samples, 32), options(server))
    np.testing.assert_allclose(whole.outputs[0], float_answer(samples), rtol=1e-5, atol=1e-5)


def test_outputs_that_are_there_already_are_kept(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    server.cut_at = "ls .cache"
    with pytest.raises(TargetUnreachableError):
        boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(70), 32), options(server))
    (job,) = left(server)
    kept = {path.name: path.stat().st_mtime_ns for path in job.glob("outputs-*.npz")}
    assert len(kept) == 3
    (job / "outputs-00001.npz").unlink()
    with pytest.raises(TargetUnreachableError):
        boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(70), 32), options(server))
    there = {path.name: path.stat().st_mtime_ns for path in job.glob("outputs-*.npz")}
    assert [name for name in sorted(there) if there[name] != kept[name]] == ["outputs-00001.npz"]


def test_a_file_that_the_runtime_refuses_is_named(server, tmp_path):
    path = dense_tflite(tmp_path / "m.tflite")
    artifact = formats.read(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ExportError, match=r"m\.tflite: .*127\.0\.0\.1"):
        boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(1), 1), replace(options(server), layers=False))
    assert left(server) == []


def test_a_missing_runtime_and_a_missing_python_say_what_to_do(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    bare = tmp_path / "python-bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(TargetUnreachableError, match="no ai-edge-litert; run: edgepress targets setup raspberry-pi --device ssh://tester@"):
        boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(1), 1), options(server, python=str(bare)))
    with pytest.raises(TargetUnreachableError, match=r"/no/python: .*not found"):
        boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(1), 1), options(server, python="/no/python"))


def test_a_run_that_takes_too_long_is_ended(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    slow = tmp_path / "python-slow"
    slow.write_text(f'#!/bin/sh\ncase "$1" in *facts.py) ;; *) sleep 30 ;; esac\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    with pytest.raises(TargetUnreachableError, match=r"running m\.tflite took more than 1 seconds"):
        boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(1), 1), options(server, python=str(slow), timeout="1"))


def test_a_slow_command_is_waited_for_and_one_that_does_nothing_is_not(server, monkeypatch):
    monkeypatch.setattr(ssh, "PATIENCE_SECONDS", 2.0)
    with ssh.connect(server.address) as device:
        assert device.run("end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done; echo done") == ssh.Answer(0, "done\n", "")
        with pytest.raises(TargetUnreachableError, match="sleeping made no progress for 2 seconds"):
            device.run("sleep 60", doing="sleeping")


def test_a_host_whose_key_is_not_known_is_not_trusted(server, tmp_path):
    (tmp_path / "client/.ssh/known_hosts").write_text("")
    with pytest.raises(TargetUnreachableError, match=r"host key is not known here .* look at it: ssh -p \d+ tester@"):
        ssh.connect(server.address)


def test_a_key_that_is_not_accepted_says_how_to_give_it(server, tmp_path):
    (tmp_path / "client/.ssh/id_ed25519").unlink()
    with pytest.raises(TargetUnreachableError, match=r"accepts no key of yours; give it one: ssh-copy-id -p \d+ tester@"):
        ssh.connect(server.address)


def test_a_device_that_is_not_there_is_one_line():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(TargetUnreachableError, match="is it on"):
            ssh.connect(f"ssh://tester@127.0.0.1:{closed.getsockname()[1]}")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("ssh://pi:secret@board", "a password has no place in a recipe"),
        ("pi@board", "is no address; write ssh://user@host"),
        ("adb://x", "is no address"),
        ("ssh://pi@board:ssh", "a password|is no address"),
    ],
)
def test_addresses_that_are_none(device, message):
    with pytest.raises(UserError, match=message):
        ssh.Address.parse(device)


def test_addresses_that_are_some():
    assert ssh.Address.parse("ssh://pi@board.local:2222") == ssh.Address("board.local", "pi", 2222)
    assert ssh.Address.parse("ssh://board") == ssh.Address("board")
    assert ssh.Address.parse("ssh://pi@[fe80::1]:22") == ssh.Address("fe80::1", "pi", 22)
    assert ssh.Address.parse("ssh://pi@board:2222").login == "ssh -p 2222 pi@board"


def test_the_state_of_a_board_is_plain_data(server):
    with ssh.connect(server.address) as connection:
        state = device.state(connection, sys.executable)
    assert state.facts["runtimes"]["tflite"].startswith("ai-edge-litert")
    assert json.loads(json.dumps(state.facts)) == state.facts


def test_an_interpreter_may_have_a_blank_in_its_path(server, tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    blank = tmp_path / "my python"
    blank.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    blank.chmod(0o755)
    found = boards.target("raspberry-pi-4").run(artifact, in_batches(float_samples(2), 2), options(server, python=str(blank)))
    np.testing.assert_allclose(found.outputs[0], float_answer(float_samples(2)), rtol=1e-5, atol=1e-5)


def test_throttling_that_began_and_ended_during_a_run_is_told():
    silent = {"governor": None, "mhz": None, "celsius": None, "model": "Pi"}
    before, after = (device.State("python3", {**silent, "throttled": flags}) for flags in (0x10000, 0x50000))
    said = [note for note in device._notes(boards.load("raspberry-pi-4"), before, after) if "device says" in note]
    assert said == ["the device says: it was throttled during the run, so times are longer than they need be"]
