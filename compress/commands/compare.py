"""edgepress compare: two exported files, tensor by tensor."""

from pathlib import Path

import click

from compress.commands.base import console, echo_json, json_option, progress


@click.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="digits, an .npz file or package.module:function.")
@click.option("--samples", type=click.IntRange(1), default=100, show_default=True, help="How many samples of its evaluation part to run.")
@json_option
def command(one: Path, other: Path, data: str, samples: int, as_json: bool) -> None:
    """Compare two exported files, tensor by tensor, in integer steps.

    Tensors are matched by scale and size, as exports of one network share them, or by name.

    \b
    Example:
      edgepress compare model.tflite model.onnx --data digits
    """
    from compress.comparing.compare import compare as compare_files
    from compress.profile_command import open_data
    from compress.report import comparison

    found = compare_files(one, other, open_data(data).evaluation.first(samples), progress())
    if as_json:
        echo_json(comparison.as_dict(found))
    else:
        comparison.show(found, console())
