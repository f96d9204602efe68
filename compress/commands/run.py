"""edgepress run: a recipe from the network to the report."""

import sys
from pathlib import Path

import click

from compress.commands.base import console, json_option, progress
from targets.errors import TargetUnreachableError


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write; default runs/<recipe's name>.")
@json_option
def command(recipe: Path, output: Path | None, as_json: bool) -> None:
    """Run a recipe: compress, export, measure, report.

    Exit code 0: all budgets kept; 1: one missed; 2: something to mend in the input; 3: a target could not be reached.

    \b
    Example:
      edgepress run recipes/quickstart.yaml --output runs/quickstart
    """
    from compress import recipe as recipes
    from compress.report import terminal
    from compress.running import run_to_folder

    checked = recipes.load(recipe)
    folder = output or Path("runs") / checked.name
    report = run_to_folder(checked, folder, progress())
    if as_json:
        click.echo((folder / "report.json").read_text(encoding="utf-8"))
    else:
        terminal.show(report, console())
        click.echo(f"report: {folder / 'report.html'} (and report.md, report.json, recipe.lock.yaml)")
    if report.unreachable:
        sys.exit(TargetUnreachableError.exit_code)
    sys.exit(0 if report.kept else 1)
