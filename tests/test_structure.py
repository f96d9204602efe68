"""The walls of the house: imports go one way, a plugin is one file, importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from compress.commands import COMMANDS
from compress.data import DATA
from compress.distillation.kinds import KINDS
from compress.exporters import EXPORTERS
from compress.passes import PASSES
from compress.sources import SOURCES

ROOT = Path(__file__).parent.parent
FOLDERS = [DATA, EXPORTERS, KINDS, PASSES, SOURCES]
OWN = {"cli", "compress", "targets"}
MAY_IMPORT = {"cli": {"compress", "targets"}, "compress": {"compress", "targets"}, "targets": {"targets"}}
FILES = [ROOT / "cli.py", *sorted((ROOT / "compress").rglob("*.py")), *sorted((ROOT / "targets").rglob("*.py"))]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports(path):
        top = name.partition(".")[0]
        assert top not in OWN or top in MAY_IMPORT[package], f"{path.name} imports {name}"


def test_modules_are_imported_by_name_in_one_place():
    """The runner and its questions are copied to devices by themselves, so they look for a runtime on their own."""
    found = {path.name for path in FILES if "import_module(" in path.read_text(encoding="utf-8")}
    assert found == {"registry.py", "runner.py", "facts.py"}


@pytest.mark.parametrize("folder", [*FOLDERS, COMMANDS], ids=lambda folder: folder.word)
def test_plugins_never_import_each_other(folder):
    plugins = {f"{folder.package}.{name}" for name in folder.names()}
    for name in folder.names():
        path = ROOT.joinpath(*folder.package.split("."), f"{name}.py")
        shared = set(imports(path)) & (plugins - {f"{folder.package}.{name}"})
        assert not shared, f"{name} imports {shared}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.word)
def test_each_file_of_a_plugin_folder_is_a_documented_plugin(folder):
    assert folder.names()
    for name in folder.names():
        assert folder.load(name).__doc__


EXTRAS = {"tensorflow", "keras", "transformers", "neural_compressor"}
HEAVY = {"torch", "numpy", "pydantic", "rich", "yaml", "litert_torch", "onnx", "unicorn", *EXTRAS}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import cli", HEAVY),
        ("import compress", HEAVY),
        ("from compress.passes import PASSES; PASSES.names()", HEAVY),
        ("from targets import boards; [boards.load(name) for name in boards.names()]", HEAVY - {"yaml", "numpy"}),
        ("from targets import boards; [boards.target(name).formats for name in boards.names()]", HEAVY - {"yaml", "numpy"}),
        ("import compress.api", {"litert_torch", "onnx", "unicorn", *EXTRAS}),
        ("from compress.sources import SOURCES; [SOURCES.load(name) for name in SOURCES.names()]", EXTRAS),
    ],
)
def test_imports_are_lazy(code, heavy):
    script = f"{code}\nimport sys\nprint(*[name for name in {sorted(heavy)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_no_file_outgrows_one_idea():
    long = {str(path.relative_to(ROOT)): lines for path in FILES if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400}
    assert long == {}
