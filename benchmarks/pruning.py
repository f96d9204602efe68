"""Pruning channels: of many architectures, for a target, and what is left of the accuracy; ours beside Torch-Pruning.

    python benchmarks/pruning.py --architectures --json
    python benchmarks/pruning.py --latency --json
    python benchmarks/pruning.py --accuracy --json

`--architectures`: random weights; `ratio` is the share removed of every group of channels. `exact`: outputs equal those of the whole
network with the removed slices of its weights zeroed (layer and group norms count what is left) to 1e-4 of the largest. `tflite`,
`onnx`: our exporters write the smaller network and its runtime gives torch's outputs. `parameters` is the share of them that is left,
`error` the first thing that went wrong.

`--latency` (with ../shared/data): networks with half the MACs, pruned for a target; `before_ms` and `after_ms` are of the exported int8
files, measured (this machine) or counted (the emulated board), `expected_ms` is what the pass said. Accuracies are of the float networks,
in percent of the evaluation samples: the whole one, one pruned without a target, the one for the target before and after its correction.

`--accuracy` (with ../shared/data): resnet56 and resnet20_jpeg at 2.1 and 2.6 times fewer MACs, without fine-tuning and after the same
short one, three seeds (of the order of training images, the calibration samples and the training); percent of the test images.
Torch-Pruning removes channels one by one until it has as few MACs, by first-order Taylor on the same calibration samples, asked anew in
ten steps, within residual blocks only: that leaves more than group norms over all layers do.

Each job has a process of its own, so a machine needs memory for one at a time; with `--out FILE` finished rows are kept there, a line
each, and a run that was stopped goes on.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import architectures
import architectures_transformers
import processes
import pruning_accuracy
import pruning_latency
from rich.console import Console
from rich.table import Table

from compress.console import ConsoleProgress

COLUMNS = ("architecture", "tool", "ratio", "exact", "tflite", "onnx", "parameters", "error")
NAMES = (*architectures.ARCHITECTURES, *architectures_transformers.ARCHITECTURES)
TOOLS = ("edgepress", "torch-pruning")
LATENCY = ("network", "target", "scope", "macs_ratio", "before_ms", "after_ms", "ratio", "expected_ms")
LATENCY += ("accuracy_whole", "accuracy_untargeted", "accuracy_uncorrected", "accuracy_pruned")
ACCURACY = ("network", "tool", "macs_ratio", "finetuned", "accuracy", "accuracy_std", "seeds")
Row = dict[str, Any]


def run(job: dict[str, Any], limit: float) -> list[Row]:
    """The rows of one architecture; those that its process did not come to say why."""
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        _, reason = processes.run("pruning_job.py", job, Path(folder), limit, PYTHONWARNINGS="ignore")
        written = Path(folder) / "rows.jsonl"
        rows = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()] if written.exists() else []
    known = {key(row) for row in rows}
    missing = [(job["architecture"], tool, ratio) for tool, ratio in job["wanted"]]
    lost = {"exact": False, "tflite": False, "onnx": False, "parameters": None, "error": reason}
    return rows + [dict(zip(COLUMNS, place, strict=False)) | lost for place in missing if place not in known]


def key(row: Row) -> tuple[str, str, float]:
    return row["architecture"], row["tool"], row["ratio"]


def measure(options: argparse.Namespace) -> list[Row]:
    """All rows; progress goes to standard error."""
    kept = options.out.read_text(encoding="utf-8").splitlines() if options.out and options.out.exists() else []
    rows = [json.loads(line) for line in kept]
    known = {key(row) for row in rows}
    progress = ConsoleProgress()
    with progress.task("pruning", len(options.only)) as all_architectures:
        for name in options.only:
            wanted = [(tool, ratio) for tool in options.tools for ratio in options.ratios if (name, tool, ratio) not in known]
            found = run({"architecture": name, "wanted": wanted, "exports": not options.no_exports}, options.limit) if wanted else []
            rows += found
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in found)
            all_architectures.advance(note=name)
    return rows


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """The scripts and jobs of `--latency` or `--accuracy`."""
    if options.latency:
        for network in options.only or pruning_latency.NETWORKS:
            for target in options.targets:
                yield "pruning_latency.py", {"network": network, "target": target, "macs": 0.5, "scope": options.scope}
        return
    tools = options.tools or pruning_accuracy.TOOLS
    training = {"epochs": options.epochs, "samples": options.samples, "test_samples": options.test_samples}
    for network in options.only or pruning_accuracy.NETWORKS:
        for ratio in options.ratios or (2.1, 2.6):
            for seed in options.seeds:
                for tool in tools:
                    job = {"network": network, "tool": tool, "macs_ratio": ratio, "seed": seed, "held_out": options.held_out}
                    yield "pruning_accuracy.py", job | training


def work(options: argparse.Namespace) -> list[Row]:
    """The rows of all jobs, each with its job; those that are kept already are not done again."""
    kept = options.out.read_text(encoding="utf-8").splitlines() if options.out and options.out.exists() else []
    done = [json.loads(line) for line in kept]
    rows = []
    todo = list(jobs(options))
    with ConsoleProgress().task("pruning", len(todo)) as task:
        for script, job in todo:
            found = next((each for each in done if each["job"] == job), None)
            if found is None:
                with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
                    result, reason = processes.run(script, job, Path(folder), options.limit, PYTHONWARNINGS="ignore")
                if result is None:
                    sys.exit(f"{job}: {reason}")
                found = {"job": job} | result
                if options.out:
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")
            rows += found["rows"]
            task.advance(note=" ".join(map(str, list(job.values())[:2])))
    return rows


def averaged(rows: list[Row]) -> list[Row]:
    """A row a cell, over its seeds."""
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["network"], row["tool"], row["asked"], row["finetuned"]), []).append(row)
    found = []
    for (network, tool, _, finetuned), same in cells.items():
        values = [row["accuracy"] for row in same]
        std = round(statistics.stdev(values), 2) if len(values) > 1 else None
        least = min(row["macs_ratio"] for row in same)
        numbers = (network, tool, least, finetuned, round(statistics.mean(values), 2), std, len(values))
        found.append(dict(zip(ACCURACY, numbers, strict=True)))
    return found


def show(rows: list[Row], columns: tuple[str, ...]) -> None:
    """A table for people."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    Console(width=None if sys.stdout.isatty() else 220).print(table)


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else {True: "yes", False: "no"}.get(value, str(value))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    for name in ("architectures", "latency", "accuracy"):
        what.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="architectures or networks")
    parser.add_argument("--tools", nargs="+", choices=TOOLS)
    parser.add_argument("--ratios", nargs="+", type=float, help="shares of channels; for --accuracy, times fewer MACs")
    parser.add_argument("--no-exports", action="store_true", help="leave the files out")
    parser.add_argument("--targets", nargs="+", default=pruning_latency.TARGETS)
    parser.add_argument("--scope", choices=("uniform", "global"), default="uniform", help="of --latency")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3, help="of fine-tuning; 0 for none")
    parser.add_argument("--samples", type=int, default=10_000, help="training images, as far as there are so many")
    parser.add_argument("--test-samples", type=int, default=10_000, help="test images, as far as there are so many")
    parser.add_argument("--held-out", action="store_true", help="score on training images that are left out; to choose settings by")
    parser.add_argument("--limit", type=float, default=7200, help="seconds after which a job is stopped")
    parser.add_argument("--out", type=Path, help="keep finished rows here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.architectures:
        options.only, options.tools, options.ratios = options.only or NAMES, options.tools or TOOLS, options.ratios or [0.3, 0.6]
        if unknown := sorted({*options.only} - {*NAMES}):
            parser.error(f"no architecture is called {unknown[0]}; possible: {', '.join(NAMES)}")
    return options


def main() -> None:
    options = arguments()
    if options.architectures:
        rows, columns = measure(options), COLUMNS
    elif options.latency:
        rows, columns = work(options), LATENCY
    else:
        rows, columns = averaged(work(options)), ACCURACY
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))
    else:
        show(rows, columns)


if __name__ == "__main__":
    main()
