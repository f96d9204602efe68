"""What `edgepress profile` does between its options and its rows."""

import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from compress.data import DATA
from compress.data.base import Data, Split
from compress.measuring import Scored
from compress.metrics import metric as named_metric
from compress.profiling import Job, profile, random_inputs
from compress.progress import Progress
from compress.recipe import build
from compress.report.content import Row
from compress.report.rows import row_of
from targets import boards, formats
from targets.base import OUTLIVES_BURSTS, RunOptions
from targets.errors import UserError


def profile_file(  # noqa: PLR0913  one argument for each of the command's options
    file: Path,
    names: list[str],
    progress: Progress,
    *,
    data: str | None,
    metric: str,
    samples: int | None,
    repetitions: int,
    precision: float | None,
    threads: int,
    seed: int,
    devices: tuple[str, ...],
    settings: tuple[str, ...],
    save: Path | None,
) -> list[Row]:
    """The rows of a file on each board; `precision` in percent. UserError for what is wrong with the file, the data or a name."""
    for name in names:
        boards.load(name)
    artifact = formats.read(file)
    split = open_data(data).evaluation if data else None
    wanted = None if precision is None else precision / 100
    chosen = read_settings(settings)
    options = RunOptions(10, repetitions, threads, samples, None, chosen, precision=wanted, min_seconds=OUTLIVES_BURSTS)
    job = Job(named_metric(metric, Path.cwd()), options, split, samples or 20, seed, progress)
    rows = profile(artifact, names, job, paired(names, devices))
    if save:
        _save(save, rows, split or random_inputs(artifact, job.samples, seed), samples)
    return [row_of(row) for row in rows]


def paired(names: list[str], devices: tuple[str, ...]) -> list[str | None]:
    """The device of each target: one is for all of them but this machine, several are one for each of those, in their order."""
    taking = [number for number, name in enumerate(names) if boards.load(name).target != "host"] or list(range(len(names)))
    each = devices * len(taking) if len(devices) == 1 else devices
    if devices and len(each) != len(taking):
        raise UserError(f"--device: {len(devices)} devices for {len(taking)} targets; give one for each target but host, in their order")
    found = dict(zip(taking, each, strict=False))
    return [found.get(number) for number in range(len(names))]


def open_data(name: str) -> Data:
    """Data by one word: `digits`, an `.npz` file or `package.module:function`."""
    kind = "npz" if name.endswith(".npz") else "factory" if ":" in name else "builtin"
    cls = DATA.load(kind)
    main = fields(cls)[0].name
    loaded: Data = build(cls, {main: name}, f"--data {name}", Path.cwd())()
    return loaded


def read_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """Settings of a target as `NAME=VALUE` words give them. UserError for a word without an equals sign."""
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: give NAME=VALUE")
        found[name] = value
    return found


def _save(path: Path, rows: list[Scored], split: Split, samples: int | None) -> None:
    inputs = next(split.batches(samples or split.samples))[0]
    encoded = [tensor.encode(array) for tensor, array in zip(rows[0].artifact.inputs, inputs, strict=True)]
    arrays: dict[str, Any] = {f"input{i}": array for i, array in enumerate(encoded)}
    for number, row in enumerate(rows):
        again = sum(other.board == row.board for other in rows[:number])
        for i, output in enumerate(row.measurement.outputs or ()):
            arrays[f"{row.board}{f'-{again + 1}' if again else ''}_output{i}"] = output
    try:
        np.savez(path, **arrays)
    except (OSError, zipfile.LargeZipFile) as error:
        raise UserError(f"--save {path}: can't be written: {error}") from None
