"""Trained files of MLPerf Tiny as sources: their accuracy in their own runtime, as edgepress reads them, and as what it makes of them.

    python benchmarks/sources.py --data ../shared/data --json

Each file has a process of its own, and its accuracy in Keras another one. `accuracy_source` is measured in ONNX Runtime, LiteRT or Keras,
`accuracy_float` in torch after reading, `accuracy_int8_…` on the exported int8 files in their runtimes, `pruned_accuracy` on the float
TFLite after `prune_channels: {ratio: 0.3}` without training, which leaves `pruned_macs` of the MACs. All on the same evaluation samples,
in percent. `problems` says in lines what could not be done, where float accuracy isn't the source's, and where int8 loses over 0.7 points.
A TFLite file with int8 weights and float inputs is `hybrid`: LiteRT rounds its activations as it runs, by up to a point's worth from kernel
to kernel, so its float accuracy, which nothing rounds, may differ by 0.7 points.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes
from quantization import cell
from rich.console import Console
from rich.table import Table

from compress.console import ConsoleProgress

HERE = Path(__file__).resolve().parent
FILES = {
    "pretrainedResnet.h5": "resnet8",
    "pretrainedResnet.onnx": "resnet8",
    "pretrainedResnet.tflite": "resnet8",
    "vww_96.h5": "vww",
    "vww_96_float.onnx": "vww",
    "vww_96_float.tflite": "vww",
    "kws_ref_model_float32.onnx": "dscnn",
    "kws_ref_model_float32.tflite": "dscnn",
}
"""The data that each is evaluated on."""

FIGURES = ("accuracy_source", "accuracy_float", "accuracy_int8_tflite", "accuracy_int8_onnx", "pruned_accuracy", "pruned_macs")
LARGEST_LOSS = 0.7


@dataclass(frozen=True)
class Runner:
    """Runs jobs in processes, with what all have in common."""

    data: Path
    calibration: int
    samples: int | None
    limit: float

    def row(self, file: str) -> dict[str, Any]:
        """A file's figures and problems."""
        row: dict[str, Any] = {"file": file, **dict.fromkeys(FIGURES), "problems": []}
        for part in ("edgepress", "keras") if file.endswith(".h5") else ("edgepress",):
            found = self._run({"path": str(self.data / "mlperf_tiny" / file), "network": FILES[file], "part": part})
            row |= found | {"problems": row["problems"] + found["problems"]}
        return row | {"problems": row["problems"] + losses(row)}

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        settings = {"calibration": self.calibration, "samples": self.samples}
        environment = {"EDGEPRESS_SHARED_DATA": str(self.data), "KERAS_BACKEND": "torch"}
        with tempfile.TemporaryDirectory(prefix="edgepress-") as scratch:
            found, reason = processes.run("sources_job.py", job | settings, Path(scratch), self.limit, **environment)
        return {"problems": [f"{job['part']}: {reason}"]} if found is None else found


def losses(row: dict[str, Any]) -> list[str]:
    """What is worse than it should be."""
    source, real = row["accuracy_source"], row["accuracy_float"]
    found = []
    allowed = LARGEST_LOSS if row.get("hybrid") else 0
    if source is not None and real is not None and abs(source - real) > allowed + 1e-6:
        found.append(f"float: {real:.2f} where the source has {source:.2f}")
    for kind in ("tflite", "onnx"):
        reached = row[f"accuracy_int8_{kind}"]
        if source is not None and reached is not None and source - reached > LARGEST_LOSS + 1e-6:
            found.append(f"int8 {kind}: loses {source - reached:.2f} points")
    return found


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows; progress goes to standard error."""
    runner = Runner(options.data.resolve(), options.calibration, options.samples, options.limit)
    progress = ConsoleProgress()
    rows = []
    with progress.task("sources", len(options.files)) as all_files:
        for file in options.files:
            with progress.task(file) as task:
                rows.append(runner.row(file))
                task.advance(note="; ".join(rows[-1]["problems"]))
            all_files.advance()
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """A table for people, on standard error."""
    table = Table()
    for column in ("file", *FIGURES):
        table.add_column(column.replace("accuracy_", ""), justify="left" if column == "file" else "right")
    for row in rows:
        table.add_row(row["file"], *(cell(row[column]) for column in FIGURES))
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 140)
    console.print(table)
    for row in rows:
        for problem in row["problems"]:
            console.print(f"{row['file']}: {problem}", markup=False, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=FILES)
    parser.add_argument("--calibration", type=int, default=200, help="samples to calibrate on; only the ResNet has more than 200")
    parser.add_argument("--samples", type=int, help="evaluate on so many only")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a process is stopped")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    show(rows)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
