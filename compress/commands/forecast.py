"""edgepress forecast: what a recipe will give, before the work."""

import sys
from pathlib import Path

import click

from compress.commands.base import console, echo_json, json_option, progress


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@json_option
def command(recipe: Path, as_json: bool) -> None:
    """What RECIPE will give for each pass and target, in seconds: size, MACs, latency, RAM. Nothing is trained.

    Exit code 0: nothing stands in the way; 1: a file won't work on a target, or a budget would be missed; 2: something to mend.

    \b
    Example:
      edgepress forecast recipes/quickstart.yaml
    """
    from compress import recipe as recipes
    from compress.forecasting.forecast import forecast
    from compress.report import forecast as report

    found = forecast(recipes.load(recipe), progress())
    if as_json:
        echo_json(report.as_dict(found))
    else:
        report.show(found, console())
    sys.exit(0 if found.works else 1)
