"""What the README says is true: its Python runs, its recipe is the shipped one, its commands exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_python_example_runs(tmp_path):
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (code,) = blocks(README, "python")
    assert len(code.strip().splitlines()) <= 12
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    before, after, size, cycles = re.fullmatch(r"([\d.]+) -> ([\d.]+), (\d+) bytes, (\d+) cycles\n", done.stdout).groups()
    assert float(after) > float(before) - 0.1
    assert 0 < int(size) < 100_000
    assert 0 < int(cycles) < 10_000_000


def test_the_recipe_shown_is_the_quickstarts():
    (shown,) = blocks(README, "yaml")
    assert yaml.safe_load(shown) == yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", [line for block in blocks(README, "sh") for line in block.splitlines() if line.startswith("edgepress ")])
def test_the_commands_shown_exist(line):
    command = cli.cli
    for word in shlex.split(line.partition("#")[0])[1:]:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(None, word)
    assert isinstance(command, click.Command)
    assert not isinstance(command, click.Group)


def test_the_pass_in_the_plugin_page_works(tmp_path):
    (code, *_) = blocks(PLUGINS, "python")
    script = f"""{code}
import compress, torch
from compress.recipe import build
data = compress.load_data("digits")
model = compress.load(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), data)
halved = build(HalveBias, {{"factor": 0.25}}, "halve_bias")(model, compress.make_context(model, data))
torch.testing.assert_close(halved.graph.get_parameter("1.bias"), model.graph.get_parameter("1.bias") * 0.25)
print(halved.history[0].lines[0])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "1.bias: x 0.25\n", done.stderr


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README
