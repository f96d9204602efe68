"""Our quantization beside other tools', on the same networks, calibration and evaluation samples.

    python benchmarks/quantization.py --data ../shared/data --json

Each network, tool and scheme has a process of its own. `accuracy` and `agreement` (the same top-1 as the float network) are those of the
file in its own runtime, in percent; ours is scored as TFLite, and its ONNX file under `onnx_…`. `seconds` go from the torch network to the
file, conversion included and imports not (a small network is quantized first); `cpu_seconds` are those of all threads. `peak_mb` is the
most memory that the process had by then, `growth_mb` what of it came after network, samples and packages were loaded. `ratio` is our
time over ai-edge-quantizer's for int8.

`ours_alone` and `peer_alone` count the samples on which only our file of that scheme, or only the peer's, agrees with float; `p` is how
likely so uneven counts are by chance (sign test). `--jpeg` evaluates the networks for CIFAR-10 on test images through JPEG instead, nine
times as many.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes
from rich.console import Console
from rich.table import Table

from compress.console import ConsoleProgress

HERE = Path(__file__).resolve().parent
NETWORKS = ("resnet20", "resnet56", "resnet8", "dscnn", "vww", "efficientnet_lite0")

PASSES: dict[str, list[Any]] = {
    "int8": ["quantize"],
    "int8+accuracy": ["quantize", "adaround"],
    "w4a8": [{"quantize": {"scheme": "w4a8"}}, "adaround"],
    "int16x8": [{"quantize": {"scheme": "int16x8"}}],
    "int16x8+accuracy": [{"quantize": {"scheme": "int16x8"}}, "adaround"],
    "dynamic": [{"quantize": {"scheme": "dynamic"}}],
    "weight_only": [{"quantize": {"scheme": "weight_only"}}],
    "float16": [{"quantize": {"scheme": "float16"}}],
}
"""Ours for each scheme."""

PEERS = {
    "ai-edge-quantizer": ("int8", "int16x8", "dynamic", "weight_only"),
    "litert-torch": ("int8",),
    "onnxruntime": ("int8", "int16x8", "dynamic"),
    "neural-compressor": ("int8",),
}
"""The schemes that others are run with."""

ONLY = {"neural-compressor": ("resnet20", "resnet56")}
"""Tools that are run on some networks only: this one takes many minutes for the others."""

FIGURES = ("float_accuracy", "accuracy", "agreement", "bytes", "seconds", "cpu_seconds", "peak_mb", "growth_mb")
PAIRED = ("ours_alone", "peer_alone", "p")
COLUMNS = ("network", "tool", "scheme", *FIGURES, "onnx_accuracy", "onnx_agreement", "ratio", *PAIRED)
SHORT = {
    "float_accuracy": "float",
    "onnx_accuracy": "onnx acc.",
    "onnx_agreement": "onnx agr.",
    "cpu_seconds": "cpu s",
    "peak_mb": "peak MB",
    "growth_mb": "growth MB",
}


@dataclass(frozen=True)
class Runner:
    """Runs one job after the other in processes, with what all have in common."""

    data: Path
    calibration: int
    samples: int | None
    jpeg: bool
    limit: float

    def float_network(self, network: str, folder: Path) -> dict[str, Any]:
        """The reference's accuracy; its outputs stay in the folder."""
        return self._run({"network": network, "tool": "float"}, folder)

    def row(self, network: str, tool: str, scheme: str, reference: Path) -> dict[str, Any]:
        """A tool's figures, or the problem that kept it from having any."""
        passes = PASSES[scheme] if tool == "edgepress" else []
        row: dict[str, Any] = {"network": network, "tool": tool, "scheme": scheme, **dict.fromkeys(FIGURES)}
        with tempfile.TemporaryDirectory(prefix="edgepress-") as scratch:
            shutil.copy(reference, scratch)
            found = self._run({"network": network, "tool": tool, "scheme": scheme, "passes": passes}, Path(scratch))
        return row | found | ({"passes": passes} if tool == "edgepress" else {})

    def _run(self, job: dict[str, Any], folder: Path) -> dict[str, Any]:
        settings = {"calibration": self.calibration, "samples": self.samples, "jpeg": self.jpeg}
        found, reason = processes.run("quantization_job.py", job | settings, folder, self.limit, EDGEPRESS_SHARED_DATA=str(self.data))
        return {"problem": reason} if found is None else found


def jobs(options: argparse.Namespace, network: str) -> list[tuple[str, str]]:
    """Tools and schemes to run for a network, ours first."""
    chosen = [("edgepress", scheme) for scheme in options.schemes if "edgepress" in options.tools]
    for tool, schemes in PEERS.items():
        if tool in options.tools and network in ONLY.get(tool, (network,)):
            chosen += [(tool, scheme) for scheme in options.schemes if scheme in schemes]
    return chosen


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows; progress goes to standard error."""
    runner = Runner(options.data.resolve(), options.calibration, options.samples, options.jpeg, options.limit)
    progress = ConsoleProgress()
    rows: list[dict[str, Any]] = []
    with progress.task("quantization", sum(len(jobs(options, network)) for network in options.networks)) as all_jobs:
        for network in options.networks:
            with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
                with progress.task(f"{network} float") as task:
                    before = runner.float_network(network, Path(folder))
                    task.advance(note=before.get("problem", ""))
                for tool, scheme in jobs(options, network):
                    with progress.task(f"{network} {tool} {scheme}") as task:
                        missing = {"network": network, "tool": tool, "scheme": scheme, **dict.fromkeys(FIGURES)}
                        row = (
                            missing | before
                            if "problem" in before
                            else runner.row(network, tool, scheme, Path(folder) / "float.npy") | before
                        )
                        task.advance(note=row.get("problem") or f"agreement {row['agreement']:.2f}")
                    rows.append(row)
                    all_jobs.advance()
    return rows


def with_ratio(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our rows with their time over ai-edge-quantizer's, where both ran with int8."""
    times = {row["network"]: row["seconds"] for row in rows if (row["tool"], row["scheme"]) == ("ai-edge-quantizer", "int8")}
    return [
        row | {"ratio": row["seconds"] / times[row["network"]]}
        if (row["tool"], row["scheme"]) == ("edgepress", "int8") and row["seconds"] and times.get(row["network"])
        else row
        for row in rows
    ]


def paired(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Peers' rows with the samples on which only one of the two files agrees with float, and how likely that is by chance (sign test)."""
    ours = {(row["network"], row["scheme"]): set(row["differs"]) for row in rows if row["tool"] == "edgepress" and "differs" in row}
    found = []
    for row in rows:
        theirs, own = row.pop("differs", None), ours.get((row["network"], row["scheme"]))
        if row["tool"] != "edgepress" and theirs is not None and own is not None:
            alone = len(set(theirs) - own), len(own - set(theirs))
            row |= dict(zip(PAIRED, (*alone, by_chance(*alone)), strict=True))
        found.append(row)
    return found


def by_chance(first: int, second: int) -> float:
    """The two-sided sign test.

    >>> by_chance(5, 0)
    0.0625
    """
    total, fewer = first + second, min(first, second)
    return min(1.0, 2 * sum(math.comb(total, number) for number in range(fewer + 1)) / (1 << total))


def show(rows: list[dict[str, Any]]) -> None:
    """A table for people."""
    table = Table()
    for column in COLUMNS:
        table.add_column(SHORT.get(column, column), justify="left" if column in COLUMNS[:3] else "right")
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in COLUMNS))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for row in rows:
        if "problem" in row:
            console.print(f"{row['network']} {row['tool']} {row['scheme']}: {row['problem']}", markup=False)


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--schemes", nargs="+", default=["int8", "int8+accuracy", "w4a8", "int16x8"], choices=PASSES)
    parser.add_argument("--tools", nargs="+", default=["edgepress", *PEERS], choices=["edgepress", *PEERS])
    parser.add_argument("--calibration", type=int, default=200, help="samples to calibrate on; only the ResNets have more than 200")
    parser.add_argument("--samples", type=int, help="evaluate on so many only")
    parser.add_argument("--jpeg", action="store_true", help="evaluate ResNets on CIFAR-10's test images through JPEG")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a job is stopped")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = paired(with_ratio(measure(options)))
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))
    else:
        show(rows)


if __name__ == "__main__":
    main()
