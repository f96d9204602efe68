"""Several devices at once: a recipe's devices work beside each other, and what one does wrong is told."""

import shutil
import sys
import threading
from pathlib import Path

import pytest
import yaml
from ssh_server import SshServer

from compress.devices import side_by_side
from compress.progress import Silent
from compress.recipe import load
from compress.running import run_to_folder

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


def test_the_boards_of_a_recipe_run_beside_each_other(servers, tmp_path):
    """Each board's Python waits, where it runs a job, until the other's has begun."""
    for number in range(2):
        program = tmp_path / f"python-{number}"
        program.write_text(
            f"#!/bin/sh\ncase $1 in runner.py)\n  touch {tmp_path}/began-{number}\n"
            f"  for i in $(seq 600); do [ -f {tmp_path}/began-{1 - number} ] && break; sleep 0.1; done\n"
            f'  [ -f {tmp_path}/began-{1 - number} ] || exit 9;;\nesac\nexec {sys.executable} "$@"\n'
        )
        program.chmod(0o755)
    recipe = yaml.safe_load((RECIPES / "quickstart.yaml").read_text())
    recipe["model"] = {name: str(RECIPES / value) if name == "weights" else value for name, value in recipe["model"].items()}
    recipe |= {"passes": [], "export": ["tflite"], "budgets": {}, "measure": {"repetitions": 2, "warmup": 0, "samples": 8}}
    recipe["targets"] = [
        {board: {"device": server.address, "settings": {"python": str(tmp_path / f"python-{number}")}}}
        for number, (board, server) in enumerate(zip(("raspberry-pi-4", "raspberry-pi-5"), servers, strict=True))
    ]
    shutil.copytree(RECIPES / "digits", tmp_path / "digits")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    report = run_to_folder(load(tmp_path / "recipe.yaml"), tmp_path / "run", Silent())
    assert [(row.target, row.source, row.samples) for row in report.rows] == [
        ("raspberry-pi-4", "measured", 8),
        ("raspberry-pi-5", "measured", 8),
    ]
