"""The edgepress command. Imports what a command needs when it runs, so that help is instant."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from targets.errors import EdgepressError, TargetUnreachableError, UserError

if TYPE_CHECKING:
    from rich.table import Table

    from compress.progress import Progress

INTERNAL_ERROR = 70
INTERRUPTED = 130
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of tables.")


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="edgepress")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Shrink a trained network, export it, and prove its accuracy and latency on the target.

    \b
    Example:
      edgepress run recipes/quickstart.yaml
    """
    if not debug:
        import logging
        import warnings

        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)


@cli.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write; default runs/<recipe's name>.")
@json_option
def run(recipe: Path, output: Path | None, as_json: bool) -> None:
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
    report = run_to_folder(checked, folder, _progress())
    if as_json:
        click.echo((folder / "report.json").read_text(encoding="utf-8"))
    else:
        terminal.show(report, _console())
        click.echo(f"report: {folder / 'report.html'} (and report.md, report.json, recipe.lock.yaml)")
    if report.unreachable:
        sys.exit(TargetUnreachableError.exit_code)
    sys.exit(0 if report.kept else 1)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", "-t", "names", multiple=True, default=("host",), help="Board's name or YAML file; may be given several times.")
@click.option("--data", help="digits, an .npz file or package.module:function; default: random inputs, no accuracy.")
@click.option("--metric", default="accuracy", show_default=True, help="accuracy, mse or package.module:function.")
@click.option("--samples", type=click.IntRange(1), help="How many samples to run; default 20 random ones, or all of the data.")
@click.option("--repetitions", type=click.IntRange(1), default=50, show_default=True, help="Timed runs, after 10 to warm up.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random inputs.")
@click.option("--device", help="Where the target's device is, e.g. adb://SERIAL.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the target, e.g. kernels=reference.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the file's inputs and each target's raw outputs to this .npz.")
@json_option
def profile(file: Path, names: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Measure an exported FILE (.tflite, .onnx, or a folder of generated C) on targets.

    Outputs are compared with LiteRT's reference kernels (for ONNX, ONNX Runtime) on the same inputs.

    \b
    Example:
      edgepress profile model.tflite --target nucleo-l4r5zi --target host
    """
    from compress.profile_command import profile_file
    from compress.report import terminal

    rows = profile_file(file, list(names), _progress(), **given)
    if as_json:
        _echo_json({"schema": 1, "rows": [row.as_dict() for row in rows]})
    else:
        terminal.show_rows(rows, _console())
    if any(row.unreachable for row in rows):
        sys.exit(TargetUnreachableError.exit_code)


@cli.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="digits, an .npz file or package.module:function.")
@click.option("--samples", type=click.IntRange(1), default=100, show_default=True, help="How many samples of its evaluation part to run.")
@json_option
def compare(one: Path, other: Path, data: str, samples: int, as_json: bool) -> None:
    """Compare two exported files, tensor by tensor, in integer steps.

    Tensors are matched by scale and size, as exports of one network share them, or by name.

    \b
    Example:
      edgepress compare model.tflite model.onnx --data digits
    """
    from compress.comparing.compare import compare as compare_files
    from compress.profile_command import open_data
    from compress.report import comparison

    found = compare_files(one, other, open_data(data).evaluation.first(samples), _progress())
    if as_json:
        _echo_json(comparison.as_dict(found))
    else:
        comparison.show(found, _console())


@cli.command()
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
def diagnose(model_or_recipe: Path, samples: int, layers: int, plot: Path | None, as_json: bool, **given: str | None) -> None:
    """Which layers cost a quantized network (.pt2 or recipe) its accuracy, what would win it back, and overrides to paste.

    \b
    Example:
      edgepress diagnose recipes/quickstart.yaml --plot diagnosis.svg
    """
    from compress.diagnosing.command import Wishes, diagnose_file
    from compress.report import diagnosis, diagnosis_plot

    found = diagnose_file(model_or_recipe, Wishes(given.pop("data"), given.pop("metric"), samples, layers, given), _progress())
    if plot:
        diagnosis_plot.write(found, plot)
    if as_json:
        _echo_json(diagnosis.as_dict(found))
    else:
        diagnosis.show(found, _console())


@cli.command("compile")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write; default <FILE's name>-c beside it.")
@json_option
def compile_file(file: Path, output: Path | None, as_json: bool) -> None:
    """Turn a quantized .tflite FILE, anybody's, into a folder of C for a microcontroller's firmware.

    \b
    Example:
      edgepress compile model.tflite --output firmware/model
    """
    from targets.microcontroller.compiler import compile_tflite
    from targets.microcontroller.packaging import package

    folder = output or file.with_name(f"{file.stem}-c")
    if folder.exists() and not (folder / "model.json").exists():
        raise UserError(f"{folder}: holds other files; name another folder with --output")
    artifact = compile_tflite(file, folder)
    package(artifact)
    facts = {"folder": str(folder), "sha256": artifact.sha256, "bytes": artifact.bytes, "arena_bytes": artifact.details["arena_bytes"]}
    if as_json:
        _echo_json(facts)
    else:
        click.echo(f"wrote {folder}: an arena of {facts['arena_bytes']:,} bytes; its README.md says how to build it in")


@cli.group()
def targets() -> None:
    """Boards and what runs files on them.

    \b
    Example:
      edgepress targets list
    """


@targets.command("list")
@json_option
def list_targets(as_json: bool) -> None:
    """Every board that ships.

    \b
    Example:
      edgepress targets list
    """
    from targets import boards

    found = [boards.load(name) for name in boards.names()]
    if as_json:
        keys = ("name", "title", "target", "core", "clock_hz", "flash_bytes", "ram_bytes")
        _echo_json([{key: getattr(board, key) for key in keys} for board in found])
        return
    table = _table("name", "kind", "core", "clock", "flash", "RAM")
    table.columns[0].min_width = max(len(board.name) for board in found)
    for board in found:
        clock = f"{board.clock_hz / 1e6:g} MHz" if board.clock_hz else "-"
        table.add_row(board.name, board.target, board.core or "-", clock, _size(board.flash_bytes), _size(board.ram_bytes))
    _console().print(table)


@targets.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """All that is known of one board, with the source of each figure.

    \b
    Example:
      edgepress targets show nucleo-l4r5zi
    """
    from dataclasses import asdict

    from targets import boards

    board = boards.load(name)
    target = boards.target(name)
    problem = target.available()
    facts = {**asdict(board), "formats": list(target.formats), "ready": problem is None, "missing": str(problem) if problem else None}
    if as_json:
        _echo_json(facts)
        return
    table = _table("figure", "value", "source")
    for key, value in facts.items():
        if key != "sources" and value not in (None, {}):
            table.add_row(key, str(value), board.sources.get(key, ""))
    _console().print(table)


@targets.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", "-t", "names", multiple=True, required=True, help="Board's name or YAML file.")
@json_option
def check(file: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Will FILE work on a board? Says what will not, before anything is built. Exit code 1 when something will not.

    \b
    Example:
      edgepress targets check model.tflite --target nano-33-ble
    """
    from targets import boards, formats

    artifact = formats.read(file)
    found = {name: [{"reason": p.reason, "cure": p.cure} for p in boards.target(name).check(artifact)] for name in names}
    if as_json:
        _echo_json([{"file": str(file), "target": name, "fits": not problems, "problems": problems} for name, problems in found.items()])
    else:
        for name, problems in found.items():
            click.echo(f"{name}: {'fits' if not problems else 'does not fit'}")
            for problem in problems:
                click.echo(f"  {problem['reason']}; {problem['cure']}")
    sys.exit(1 if any(found.values()) else 0)


@targets.command()
@click.argument("kind", type=click.Choice(["raspberry-pi"]))
@json_option
def setup(kind: str, as_json: bool) -> None:
    """Fetch what a target needs to be emulated here, once, into the cache.

    \b
    Example:
      edgepress targets setup raspberry-pi
    """
    from targets.raspberry_pi import setup as prepare

    folder = prepare(lambda line: click.echo(line, err=True))
    if as_json:
        _echo_json({"kind": kind, "folder": str(folder)})
    else:
        click.echo(f"{kind}: ready in {folder}")


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """Which parts of this machine serve which feature, and how to get what is missing.

    \b
    Example:
      edgepress doctor
    """
    from dataclasses import asdict

    from compress.doctor import examine

    parts = examine()
    if as_json:
        _echo_json([asdict(part) for part in parts])
        return
    table = _table("serves", "part", "found", "how to get it")
    for part in parts:
        table.add_row(part.feature, part.part, f"[green]{part.found}[/]" if part.found else "[yellow]missing[/]", part.cure or "")
    _console().print(table)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("recipe.yaml"))
@click.option("--model", default="model.pt2", show_default=True, help="A .pt2 file, or package.module:factory.")
@click.option("--data", default="data.npz", show_default=True, help="digits, an .npz file, an image folder or package.module:function.")
@click.option("--name", help="The run's name; default: the file's.")
@json_option
def init(file: Path, model: str, data: str, name: str | None, as_json: bool) -> None:
    """Write a commented recipe to FILE for your own model.

    \b
    Example:
      edgepress init my-recipe.yaml --model my_model.pt2 --data my_data.npz
    """
    from compress.template import write_recipe

    write_recipe(file, name or file.stem, model, data)
    if as_json:
        _echo_json({"recipe": str(file)})
    else:
        click.echo(f"wrote {file}; look it through, then: edgepress run {file}")


def _progress() -> "Progress":
    from compress.console import ConsoleProgress

    return ConsoleProgress()


def _console() -> Any:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=100)


def _table(*columns: str) -> "Table":
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False)


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 2**20:,.0f} MB" if count >= 2**21 else f"{count / 2**10:,.0f} KB"


def _echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def main() -> None:
    """The command's entry: one line and an exit code for every error; `--debug` may stand anywhere."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads make training ten times slower on a busy machine
    debug = "--debug" in sys.argv
    arguments = [*(["--debug"] if debug else []), *(word for word in sys.argv[1:] if word != "--debug")]
    try:
        sys.exit(cli(arguments, standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(UserError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped; passes that were finished are kept, and the next run goes on from there", err=True)
        sys.exit(INTERRUPTED)
    except EdgepressError as error:
        if debug:
            raise
        click.echo(f"edgepress: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # whatever else is a fault of ours: say so in one line, the traceback on request
        if debug:
            raise
        click.echo(f"edgepress: internal error: {type(error).__name__}: {error}; see it with 'edgepress --debug …' and report it", err=True)
        sys.exit(INTERNAL_ERROR)


if __name__ == "__main__":
    main()
