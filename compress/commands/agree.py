"""edgepress agree: one exported file on every instruction set."""

from pathlib import Path
from typing import Any

import click

from compress.commands.base import console, echo_json, json_option, progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", "-t", "names", multiple=True, help="Board; may be given several times. Default: host, x86-64-avx2, Pis.")
@click.option("--data", help="digits, an .npz file or package.module:function; default: random inputs, no accuracy.")
@click.option("--metric", default="accuracy", show_default=True, help="accuracy, mse or package.module:function.")
@click.option("--samples", type=click.IntRange(1), default=50, show_default=True, help="How many samples to run.")
@json_option
def command(file: Path, names: tuple[str, ...], data: str | None, as_json: bool, **given: Any) -> None:
    """Does an exported FILE (.tflite or .onnx) give the same answers on every instruction set?

    Each answer is compared with the reference kernels'. Layers that may saturate on x86 processors without VNNI are named.

    \b
    Example:
      edgepress agree model.onnx --data digits
    """
    from compress.agreement.agree import BOARDS, agree
    from compress.metrics import metric as named_metric
    from compress.profile_command import open_data
    from compress.profiling import random_inputs
    from compress.report import agreement
    from targets import formats

    artifact, samples = formats.read(file), given["samples"]
    split = open_data(data).evaluation.first(samples) if data else random_inputs(artifact, samples, 0)
    found = agree(artifact, names or BOARDS, split, named_metric(given["metric"], Path.cwd()) if data else None, progress())
    if as_json:
        echo_json(agreement.as_dict(found))
    else:
        agreement.show(found, console())
