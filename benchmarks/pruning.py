"""Pruning channels of many architectures, ours beside Torch-Pruning.

    python benchmarks/pruning.py --architectures --json

Random weights; `ratio` is the share removed of every group of channels. `exact`: outputs equal those of the whole network with the removed
slices of its weights zeroed (layer and group norms count what is left) to 1e-4 of the largest. `tflite`, `onnx`: our exporters write
the smaller network and its runtime gives torch's outputs. `parameters` is the share of them that is left, `error` the first thing that
went wrong. Each architecture has a process of its own, so a machine needs memory for one at a time; with `--out FILE` finished rows are
kept there, a line each, and a run that was stopped goes on.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import architectures
import architectures_transformers
import processes
from rich.console import Console
from rich.table import Table

from compress.console import ConsoleProgress

COLUMNS = ("architecture", "tool", "ratio", "exact", "tflite", "onnx", "parameters", "error")
NAMES = (*architectures.ARCHITECTURES, *architectures_transformers.ARCHITECTURES)
TOOLS = ("edgepress", "torch-pruning")
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


def show(rows: list[Row]) -> None:
    """A table for people."""
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*(cell(row[column]) for column in COLUMNS))
    Console(width=None if sys.stdout.isatty() else 220).print(table)


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else {True: "yes", False: "no"}.get(value, str(value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", action="store_true", required=True, help="what to show")
    parser.add_argument("--only", nargs="+", default=NAMES, choices=NAMES, metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--tools", nargs="+", default=TOOLS, choices=TOOLS)
    parser.add_argument("--ratios", nargs="+", type=float, default=[0.3, 0.6])
    parser.add_argument("--no-exports", action="store_true", help="leave the files out")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which an architecture is stopped")
    parser.add_argument("--out", type=Path, help="keep finished rows here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))
    else:
        show(rows)


if __name__ == "__main__":
    main()
