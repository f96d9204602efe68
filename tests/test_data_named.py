"""Own code is named as package.module:name, found beside the recipe, and every way to get it wrong is one clear line."""

import sys
from pathlib import Path

import pytest

from targets.errors import UserError
from targets.registry import load_named


@pytest.fixture
def write(tmp_path, request):
    """Writes a module that no other test has loaded and gives its name."""

    def module(code: str) -> str:
        name = f"own_{abs(hash(request.node.nodeid))}"
        (tmp_path / f"{name}.py").write_text(code)
        return name

    before = set(sys.modules)
    yield module
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def test_finds_a_function_in_the_folder_and_leaves_the_path_alone(write, tmp_path):
    path = list(sys.path)
    name = write("import os\nanswer = 42")
    assert load_named(f"{name}:answer", tmp_path) == 42
    assert sys.path == path


def test_finds_a_function_in_the_current_folder_and_in_a_package(tmp_path, monkeypatch):
    package = tmp_path / "own_package" / "inner"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text("def build():\n    return 'net'\n")
    monkeypatch.chdir(tmp_path)
    assert load_named("own_package.inner.nets:build")() == "net"


def test_installed_packages_count_too():
    assert load_named("targets.errors:UserError") is UserError


@pytest.mark.parametrize("reference", ["module", "module:", ":name", "a b:c", "package/module.py:name", "module:name.other", "..up:name"])
def test_a_malformed_reference_says_how_to_write_it(reference):
    with pytest.raises(UserError, match=r"package\.module:name"):
        load_named(reference)


def test_a_wrong_name_gets_the_nearest_right_one(write, tmp_path):
    name = write("def build_network(): ...")
    with pytest.raises(UserError, match="did you mean 'build_network'"):
        load_named(f"{name}:build_netwrok", tmp_path)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package_here", "imports 'no_such_package_here', which is not installed"),
        ("raise ValueError('first\\nsecond')", "failed: ValueError: first$"),
        ("raise SystemExit(3)", "failed: SystemExit: 3$"),
        ("def broken(:", "failed: SyntaxError"),
        ("import torch.no_such_part", "imports 'torch.no_such_part', which is not installed"),
    ],
)
def test_code_that_fails_is_told_in_one_line_and_the_path_restored(write, tmp_path, code, words):
    path = list(sys.path)
    name = write(code)
    with pytest.raises(UserError, match=words) as caught:
        load_named(f"{name}:anything", tmp_path)
    assert "\n" not in str(caught.value)
    assert sys.path == path


def test_a_missing_module_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="no module 'own_nothing'") as caught:
        load_named("own_nothing.part:name", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert str(Path.cwd()) in str(caught.value)


def test_a_module_hidden_by_a_loaded_one_is_refused_rather_than_mixed_up(tmp_path):
    (tmp_path / "pytest.py").write_text("answer = 42")
    with pytest.raises(UserError, match=r"already loaded from .* rename yours"):
        load_named("pytest:answer", tmp_path)
