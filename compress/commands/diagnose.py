"""edgepress diagnose: what quantization costs, layer by layer."""

from pathlib import Path

import click

from compress.commands.base import console, echo_json, json_option, progress


@click.command()
@click.argument("model_or_recipe", metavar="MODEL_OR_RECIPE", type=click.Path(path_type=Path))
@click.option("--data", help="digits, an .npz file or package.module:function; a recipe names its own.")
@click.option("--metric", help="accuracy (the default), mse or package.module:function; a recipe names its own.")
@click.option("--scheme", help="Of the pass quantize: int8, int16x8 or w4a8; default int8, or the recipe's.")
@click.option("--observer", help="Of the pass quantize: minmax, moving_average, percentile, mse …")
@click.option("--weight-granularity", help="Of the pass quantize: channel or tensor.")
@click.option("--samples", type=click.IntRange(1), default=200, show_default=True, help="Evaluation samples that layers are tried on.")
@click.option("--layers", type=click.IntRange(1), default=32, show_default=True, help="How many layers to try, the noisiest first.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the findings to this .svg file.")
@json_option
def command(model_or_recipe: Path, samples: int, layers: int, plot: Path | None, as_json: bool, **given: str | None) -> None:
    """Which layers cost a quantized network (.pt2 or recipe) its accuracy, what would win it back, and overrides to paste.

    \b
    Example:
      edgepress diagnose recipes/quickstart.yaml --plot diagnosis.svg
    """
    from compress.diagnosing.command import Wishes, diagnose_file
    from compress.report import diagnosis, diagnosis_plot

    found = diagnose_file(model_or_recipe, Wishes(given.pop("data"), given.pop("metric"), samples, layers, given), progress())
    if plot:
        diagnosis_plot.write(found, plot)
    if as_json:
        echo_json(diagnosis.as_dict(found))
    else:
        diagnosis.show(found, console())
