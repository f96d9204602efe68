"""Damaged, hostile and mislabelled files: each gives a network or one clear line, runs no code and keeps to its memory."""

import io
import json
import pickle
import subprocess
import sys
import tempfile
import zipfile
import zlib
from functools import cache
from pathlib import Path

import damaged_files
import damaged_graphs
import numpy as np
import onnx
import pytest
from damaged_files import IN_BYTES

import cli
import compress
from compress.data.base import Data, Split

HERE = Path(__file__).parent
MEMORY = 2 << 30


@cache
def exported(name):
    """Our own files of the network."""
    with tempfile.TemporaryDirectory() as folder:
        return compress.export(loaded(), name, folder).path.read_bytes()


def onnx_file():
    return exported("onnx")


def tflite_file():
    return exported("tflite")


def loaded():
    inputs = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)
    split = Split(4, lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    return compress.load(damaged_files.network(), Data("random", split, split, split, "random"))


KINDS = {
    "pt2": ("pt2", damaged_files.exported, damaged_files.in_archive),
    "onnx": ("onnx", onnx_file, damaged_graphs.in_onnx),
    "tflite": ("tflite", tflite_file, damaged_graphs.in_tflite),
    "keras": ("keras", lambda: damaged_files.keras("keras"), damaged_files.in_archive),
    "h5": ("h5", lambda: damaged_files.keras("h5"), damaged_files.in_hdf5),
    "torchscript": ("pt", damaged_files.script, damaged_files.in_archive),
    "safetensors": ("safetensors", damaged_files.safetensors, damaged_files.in_safetensors),
    "checkpoint": ("pt", damaged_files.checkpoint, damaged_files.in_archive),
}
"""For each kind its ending, a file's content, and what damages its meaning."""

WEIGHTS = ("safetensors", "checkpoint")


class Reader:
    """Reads files in another process, and in a new one where a file has ended that."""

    def __init__(self, home):
        self.home, self.process = home, None
        (home / "own_network.py").write_text(damaged_files.FACTORY)

    def __call__(self, path, kind=""):
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, HERE / "read_damaged.py"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=self.home,
                env={"PYTHONPATH": f"{HERE.parent}:{HERE}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(self.home)},
            )  # fmt: skip
        job = {"source": "own_network:build", "weights": str(path)} if kind in WEIGHTS else {"source": str(path), "weights": None}
        print(json.dumps(job | {"folder": str(self.home)}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if answer:
            return json.loads(answer)
        self.process.communicate()
        code, self.process = self.process.returncode, None
        return {"said": None, "problem": f"ended the process: {code}", "peak": 0, "seconds": 0}

    def close(self):
        if self.process:
            self.process.communicate()


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    reader = Reader(tmp_path_factory.mktemp("home"))
    yield reader
    reader.close()


def fault(answer):
    """What is wrong with how a file was answered."""
    if answer["problem"]:
        return answer["problem"]
    if answer["said"] is not None and not (answer["said"].strip() and "\n" not in answer["said"]):
        return f"not one line: {answer['said']!r}"
    return f"used {answer['peak'] >> 20} MB" if answer["peak"] > MEMORY else None


@pytest.mark.parametrize("number", [24, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_network_or_one_line(kind, number, read, tmp_path):
    ending, make, in_meaning = KINDS[kind]
    content = make()
    path = tmp_path / f"damaged.{ending}"
    path.write_bytes(content)
    whole = read(path, kind)
    assert (fault(whole), whole["said"]) == (None, None)
    faults, refused = {}, 0
    for seed in range(number):
        random = np.random.default_rng([zlib.crc32(kind.encode()), seed])
        damage = in_meaning if seed % 2 else IN_BYTES[seed // 2 % len(IN_BYTES)]
        path.write_bytes(damage(random, content))
        answer = read(path, kind)
        refused += answer["said"] is not None
        if problem := fault(answer):
            faults[seed] = problem
    assert faults == {}
    assert refused > number / 4


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return Path.touch, (Path(self.place),)


ZEROS = bytes(1 << 28)


def bomb(content, name):
    """An archive in which one entry unpacks to a quarter of a gigabyte for a quarter of a megabyte."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {each: archive.read(each) for each in archive.namelist()}
    found = next(each for each in entries if each.endswith(name))
    return damaged_files.archived(entries | {found: ZEROS}, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("pt2", "model.json"), ("pt2", "weight_0"), ("keras", "config.json"), ("torchscript", "data.pkl"), ("checkpoint", "data/0")],
)
def test_an_archive_that_would_fill_the_memory_is_not_unpacked(kind, name, read, tmp_path):
    ending, make, _ = KINDS[kind]
    path = tmp_path / f"bomb.{ending}"
    path.write_bytes(bomb(make(), name))
    assert path.stat().st_size < 1 << 20
    answer = read(path, kind)
    assert answer["problem"] is None
    assert answer["said"].startswith(str(path))
    assert answer["peak"] < 3 * len(ZEROS)


def hidden(content, name, inner):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {each: archive.read(each) for each in archive.namelist()}
    return damaged_files.archived(entries | {next(each for each in entries if each.endswith(name)): inner})


def twice(content, inner):
    """An archive whose first top folder holds the payload and whose second one is in order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        good = {each: archive.read(each) for each in archive.namelist()}
    bad = {f"other/{each.partition('/')[2]}": inner if "sample_inputs" in each else held for each, held in good.items()}
    return damaged_files.archived(bad | good)


PAYLOADS = {
    "a pickle as the source": ("network.pt", lambda payload: payload, False),
    "a pickle called .pt2": ("network.pt2", lambda payload: payload, False),
    "a pickle called .onnx": ("network.onnx", lambda payload: payload, False),
    "a pickle as weights": ("weights.pt", lambda payload: payload, True),
    "hidden in weights": ("weights.pt", lambda payload: hidden(damaged_files.checkpoint(), "data.pkl", payload), True),
    "hidden in a .pt2": ("network.pt2", lambda payload: hidden(damaged_files.exported(), "sample_inputs/model.pt", payload), False),
    "in a second folder of a .pt2": ("network.pt2", lambda payload: twice(damaged_files.exported(), payload), False),
    "hidden in TorchScript": ("network.pt", lambda payload: hidden(damaged_files.script(), "data.pkl", payload), False),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_does_not_run(name, read, tmp_path):
    file, made, weights = PAYLOADS[name]
    left_behind = tmp_path / "ran"
    path = tmp_path / file
    path.write_bytes(made(pickle.dumps(Payload(left_behind))))
    answer = read(path, "checkpoint" if weights else "")
    assert (fault(answer), answer["said"] is None, left_behind.exists()) == (None, False, False)


CALLS = "".join(f"def f{i}(x: Tensor) -> Tensor:\n  return __torch__.damaged_files.f{i + 1}(x, )\n" for i in range(5000))
DEEP = {
    "calls": f"__torch__.damaged_files.f0(x, )\n{CALLS}def f5000(x: Tensor) -> Tensor:\n  return x\n",
    "brackets": "(" * 50_000 + "x" + ")" * 50_000,
}


@pytest.mark.parametrize("what", DEEP)
def test_torchscript_deeper_than_a_stack_is_one_line(what, read, tmp_path):
    path, name = tmp_path / "deep.pt", "code/__torch__/damaged_files.py"
    with zipfile.ZipFile(io.BytesIO(damaged_files.script())) as archive:
        code = archive.read(f"archive/{name}").decode()
    path.write_bytes(hidden(damaged_files.script(), name, f"{code[: code.index('    classify =')]}    return {DEEP[what]}\n"))
    answer = read(path)
    assert fault(answer) is None
    assert "ends the process" in answer["said"]


def test_a_lambda_does_not_run(read, tmp_path):
    """A layer whose Python code lies in the file."""
    path = tmp_path / "network.keras"
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    with zipfile.ZipFile(io.BytesIO(damaged_files.keras("keras"))) as archive:
        entries = {each: archive.read(each) for each in archive.namelist()}
    config = json.loads(entries["config.json"])
    relu = next(layer for layer in config["config"]["layers"] if layer["name"] == "relu")
    relu |= {"class_name": "Lambda", "config": {"name": "relu", "trainable": True, "function": code, "arguments": {}}}
    path.write_bytes(damaged_files.archived(entries | {"config.json": json.dumps(config)}))
    answer = read(path)
    assert fault(answer) is None
    assert "'relu'" in answer["said"]
    assert "Lambda" in answer["said"]


@pytest.mark.parametrize("ending", ["pt2", "onnx", "tflite", "keras", "h5", "pt"])
@pytest.mark.parametrize("kind", ["pt2", "onnx", "tflite"])
def test_a_wrong_ending_is_read_by_content(kind, ending, read, tmp_path):
    path = tmp_path / f"network.{ending}"
    path.write_bytes(KINDS[kind][1]())
    answer = read(path)
    assert (fault(answer), answer["said"]) == (None, None)


@pytest.mark.parametrize("place", ["/etc/hostname", "../outside.bin", "missing.bin"])
def test_external_data_outside_the_folder_are_refused(place, read, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(1024))
    model = onnx.load_from_string(onnx_file())
    damaged_graphs.refer(model.graph.initializer[0], place)
    (inside / "network.onnx").write_bytes(model.SerializeToString())
    answer = read(inside / "network.onnx")
    assert fault(answer) is None
    assert f"weights are in {place}" in answer["said"].replace("'", "")


@pytest.mark.parametrize("command", [["profile"], ["compile"], ["targets", "check", "--target", "host"], ["run"]])
@pytest.mark.parametrize("file", ["torn.onnx", "torn.tflite", "torn.pt2", "torn.keras"])
def test_the_command_ends_with_code_2_and_one_line(command, file, tmp_path, monkeypatch, capsys):
    path = tmp_path / file
    content = KINDS[path.suffix[1:]][1]()
    path.write_bytes(content[: len(content) // 2])
    if command == ["run"]:
        path = tmp_path / "recipe.yaml"
        path.write_text(f"version: 1\nname: torn\nmodel: {{source: {file}}}\ndata: digits\nexport: [tflite]\n")
    monkeypatch.setattr(sys, "argv", ["edgepress", *command, str(path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgepress:")]
    assert (ended.value.code, len(said)) == (2, 1)
    assert file in said[0]
    assert "internal error" not in said[0]
