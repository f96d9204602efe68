"""What all tests share: a cache of their own, and networks and data small enough to be made anew."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from targets.cache import cache_folder

settings.register_profile("edgepress", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgepress")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each worker has a core

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
RECIPES = Path(__file__).parent.parent / "recipes"


@pytest.fixture
def one_thread():
    """Torch adds in one order only."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def edgepress(monkeypatch, capsys, tmp_path):
    """Runs the command in this process, in an empty folder; gives exit code, standard output and standard error."""
    import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgepress", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Results of earlier runs never decide a test. What takes minutes to set up (an emulated Pi, a compiler's start) is shared."""
    kept = {name: cache_folder() / name for name in ("raspberry-pi", "zig")}
    folder = tmp_path_factory.mktemp("cache")
    for name, path in kept.items():
        if path.exists():
            (folder / name).symlink_to(path)
    before = os.environ.get("EDGEPRESS_CACHE")
    os.environ["EDGEPRESS_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["EDGEPRESS_CACHE"]
    else:
        os.environ["EDGEPRESS_CACHE"] = before
