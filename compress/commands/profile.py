"""edgepress profile: an exported file on targets."""

import sys
from pathlib import Path
from typing import Any

import click

from compress.commands.base import console, echo_json, json_option, progress
from targets.errors import TargetUnreachableError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", "-t", "names", multiple=True, default=("host",), help="Board's name or YAML file; may be given several times.")
@click.option("--data", help="digits, an .npz file or package.module:function; default: random inputs, no accuracy.")
@click.option("--metric", default="accuracy", show_default=True, help="accuracy, mse or package.module:function.")
@click.option("--samples", type=click.IntRange(1), help="How many samples to run; default 20 random ones, or all of the data.")
@click.option("--repetitions", type=click.IntRange(1), default=50, show_default=True, help="Timed runs, after 10 to warm up.")
@click.option("--precision", type=click.FloatRange(0.1, 50), help="Go on until the median is known to this many %, plus or minus.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random inputs.")
@click.option("--device", "devices", multiple=True, help="The target's device, e.g. ssh://pi@board; several: one a target, in order.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the target, e.g. kernels=reference.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the file's inputs and each target's raw outputs to this .npz.")
@json_option
def command(file: Path, names: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Measure an exported FILE (.tflite, .onnx, or a folder of generated C) on targets.

    Outputs are compared with LiteRT's reference kernels (for ONNX, ONNX Runtime) on the same inputs.

    \b
    Example:
      edgepress profile model.tflite --target nucleo-l4r5zi --target host
    """
    from compress.profile_command import profile_file
    from compress.report import terminal

    rows = profile_file(file, list(names), progress(), **given)
    if as_json:
        echo_json({"schema": 1, "rows": [row.as_dict() for row in rows]})
    else:
        terminal.show_rows(rows, console())
    if any(row.unreachable for row in rows):
        sys.exit(TargetUnreachableError.exit_code)
