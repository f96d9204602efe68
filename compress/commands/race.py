"""edgepress race: which of several files is faster."""

from pathlib import Path
from typing import Any

import click

from compress.commands.base import console, echo_json, json_option, progress
from targets.errors import UserError


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--target", "-t", "board", default="host", show_default=True, help="Board's name or YAML file.")
@click.option("--device", help="Where the target's device is, e.g. ssh://pi@raspberrypi.local.")
@click.option("--precision", type=click.FloatRange(0.1, 50), default=2.0, help="The smallest difference that counts, in %.")
@click.option("--repetitions", type=click.IntRange(1), default=50, show_default=True, help="Timed runs of each round, after 10 to warm up.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the target, e.g. kernels=reference.")
@json_option
def command(files: tuple[Path, ...], board: str, precision: float, as_json: bool, **given: Any) -> None:
    """Which of these FILES is faster, and is the difference more than noise? They run in turn, so what disturbs one disturbs all.

    \b
    Example:
      edgepress race float.tflite int8.tflite --target raspberry-pi-4 --device ssh://pi@raspberrypi.local
    """
    from compress.profile_command import read_settings
    from compress.racing import race
    from compress.report import race as report
    from targets import formats
    from targets.base import RunOptions

    if len(files) < 2:
        raise UserError(f"{files[0]}: a race wants two files or more")
    options = RunOptions(10, given["repetitions"], given["threads"], 1, given["device"], read_settings(given["settings"]))
    found = race([formats.read(file) for file in files], board, options, precision / 100, progress())
    if as_json:
        echo_json(report.as_dict(found))
    else:
        report.show(found, console())
