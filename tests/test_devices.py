"""Several devices at once: a recipe's devices work beside each other, and what one does wrong is told."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from small_files import dense_tflite
from ssh_server import SshServer

from compress import doctor
from compress.devices import side_by_side
from compress.profile_command import paired
from compress.progress import Silent
from compress.recipe import load
from compress.running import run_to_folder
from targets.errors import TargetUnreachableError, UserError

RECIPES = Path(__file__).parent.parent / "recipes"


def test_all_are_under_way_at_the_same_time():
    barrier, ended = threading.Barrier(3, timeout=30), []
    side_by_side([lambda: ended.append(barrier.wait())] * 3)
    assert sorted(ended) == [0, 1, 2]
    side_by_side([])


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_is_raised_when_the_others_have_ended(place):
    failed, ended = threading.Event(), []

    def fails():
        failed.set()
        raise ValueError("no")

    def ends():
        failed.wait(30)
        ended.append(True)

    works = [ends, ends]
    works.insert(place, fails)
    with pytest.raises(ValueError, match="no"):
        side_by_side(works)
    assert len(ended) == len(works) - 1


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """Two boards that the login of `home` may enter."""
    homes = [tmp_path / "home", tmp_path / "other"]
    for home in homes:
        home.mkdir()
    monkeypatch.setenv("HOME", str(homes[0]))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made = [SshServer(tmp_path / f"board-{number}", home) for number, home in enumerate(homes)]
    mine, other = (home / ".ssh" for home in homes)
    shutil.copy(other / "id_ed25519", mine / "id_rsa")  # a second key under a name that is looked for
    with (mine / "known_hosts").open("a") as known:
        known.write((other / "known_hosts").read_text())
    yield made
    for server in made:
        server.close()


def waiting_pythons(folder):
    """Two interpreters, each of which waits, where it runs a job, until the other has begun one."""
    for number in range(2):
        program = folder / f"python-{number}"
        program.write_text(
            f"#!/bin/sh\ncase $1 in runner.py)\n  touch {folder}/began-{number}\n"
            f"  for i in $(seq 600); do [ -f {folder}/began-{1 - number} ] && break; sleep 0.1; done\n"
            f'  [ -f {folder}/began-{1 - number} ] || exit 9;;\nesac\nexec {sys.executable} "$@"\n'
        )
        program.chmod(0o755)
    return [str(folder / f"python-{number}") for number in range(2)]


def test_the_boards_of_a_recipe_run_beside_each_other(servers, tmp_path):
    pythons = waiting_pythons(tmp_path)
    recipe = yaml.safe_load((RECIPES / "quickstart.yaml").read_text())
    recipe["model"] = {name: str(RECIPES / value) if name == "weights" else value for name, value in recipe["model"].items()}
    recipe |= {"passes": [], "export": ["tflite"], "budgets": {}, "measure": {"repetitions": 2, "warmup": 0, "samples": 8}}
    recipe["targets"] = [
        {board: {"device": server.address, "settings": {"python": pythons[number]}}}
        for number, (board, server) in enumerate(zip(("raspberry-pi-4", "raspberry-pi-5"), servers, strict=True))
    ]
    shutil.copytree(RECIPES / "digits", tmp_path / "digits")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    report = run_to_folder(load(tmp_path / "recipe.yaml"), tmp_path / "run", Silent())
    assert [(row.target, row.source, row.samples) for row in report.rows] == [
        ("raspberry-pi-4", "measured", 8),
        ("raspberry-pi-5", "measured", 8),
    ]


def test_the_devices_of_a_command_run_beside_each_other_and_one_that_is_away_loses_its_own_row(servers, tmp_path):
    """The settings of a command are those of all its devices, so one Python does for both, told apart by the home folder it runs in."""
    first, second = waiting_pythons(tmp_path)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\ncase $PWD in */board-0*) exec {first} "$@";; esac\nexec {second} "$@"\n')
    program.chmod(0o755)
    model, away = dense_tflite(tmp_path / "m.tflite"), "ssh://nobody@127.0.0.1:1"
    command = [
        sys.executable,
        "-m",
        "cli",
        "profile",
        str(model),
        "--repetitions",
        "2",
        "--samples",
        "2",
        "--set",
        f"python={program}",
        "--json",
    ]
    targets = ["raspberry-pi-4", "raspberry-pi-4", "raspberry-pi-5"]
    for target, device in zip(targets, [*(server.address for server in servers), away], strict=True):
        command += ["--target", target, "--device", device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == TargetUnreachableError.exit_code, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(row["target"], row["source"]) for row in rows] == list(zip(targets, ["measured", "measured", "not measured"], strict=True))
    assert rows[2]["reason"].startswith("nobody@127.0.0.1: ")


def test_devices_are_those_of_the_targets_in_their_order():
    assert paired(["host", "raspberry-pi-4", "pixel-8"], ("ssh://four", "adb://8")) == [None, "ssh://four", "adb://8"]
    assert paired(["raspberry-pi-4", "host", "raspberry-pi-5"], ("ssh://one",)) == ["ssh://one", None, "ssh://one"]
    assert paired(["host"], ()) == [None]
    with pytest.raises(UserError, match="--device: 2 devices for 3 targets; give one for each target but host"):
        paired(["raspberry-pi-4", "raspberry-pi-5", "host", "pixel-8"], ("ssh://one", "ssh://two"))


def test_doctor_names_stand_ins_that_are_missing_and_their_cures(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "SYSTEM_FOLDERS", str(tmp_path))
    cures = {part.part: part.cure for part in doctor.stand_ins()}
    assert cures == {"sshd": "run: sudo apt install openssh-server", "adbd": "run: sudo apt install adbd (Debian's backports)"}
    for name in cures:
        (tmp_path / name).touch(mode=0o755)
    assert [part.found for part in doctor.stand_ins()] == [str(tmp_path / name) for name in cures]


def test_doctor_tells_boards_of_a_kind_that_are_ready_from_those_that_lack_a_part(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    lacking, ready = sorted(doctor.targets_of("microcontroller"), key=lambda part: part.found or "")
    assert (lacking.found, ready.found, ready.cure) == (None, "ready", None)
    assert "qemu-system-arm" in lacking.cure
    (lacking,) = doctor.targets_of("raspberry_pi")
    assert lacking.cure == "qemu-aarch64 is not installed; run: sudo apt install qemu-user && edgepress targets setup raspberry-pi"
