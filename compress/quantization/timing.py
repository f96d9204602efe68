"""What each layer of a network costs in time on a target, with one scheme for all."""

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.cost import layers as layer_costs
from compress.data.base import Split
from compress.lowering import tflite
from compress.lowering.files import write_whole
from compress.lowering.layout import arranged
from compress.measuring import Trial, measure
from compress.metrics import Metric
from compress.model import Model
from targets import boards, formats
from targets.base import Layer, RunOptions
from targets.errors import ExportError

OPTIONS = RunOptions(warmup=5, repetitions=50, samples=1, energy=False)
ESTIMATED = "estimated from multiply-accumulates"


@dataclass(frozen=True)
class Times:
    """Milliseconds of one inference: of the whole network, and of each layer that has operators of its own.

    `source` says where the layers' come from: that of the board's measurement, or `ESTIMATED`.
    """

    whole: float
    layers: dict[str, float]
    source: str


def measure_layers(model: Model, board: str, split: Split, metric: Metric, names: Collection[str]) -> Times:
    """Runs a model on a board and says what these layers take.

    Where the board's runtime times no layers, the network's time is shared out by multiply-accumulates, which is an estimate.
    Raises ExportError where the network can't be written, doesn't run there, or where no operator is called after these layers.
    """
    target = boards.target(board)
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        path = write_whole(Path(folder) / "network.tflite", tflite.to_bytes(model, channels_last=True))
        artifact = arranged(formats.read(path))
        found = measure(artifact, target, Trial(split.first(1), metric, OPTIONS)).measurement
    if found.latency is None:
        raise ExportError(f"{board}: no time: {found.reason or 'nothing timed it'}")
    if any(row.latency_ms is not None for row in found.layers):
        layers = by_layer(found.layers, names)
        if not layers:
            raise ExportError(f"{board}: no time of a layer: its runtime's rows ({found.layers[-1].name}, ...) have other names")
        return Times(found.latency.p50_ms, layers, found.latency.source)
    shares = mac_shares(model)
    layers = {name: found.latency.p50_ms * shares.get(name, 0.0) for name in names}
    return Times(found.latency.p50_ms, layers, ESTIMATED)


def by_layer(rows: Sequence[Layer], names: Collection[str]) -> dict[str, float]:
    """Milliseconds of those of these layers whose operators are all timed; a layer's operators are called `conv`, `conv_2` and so on."""
    found: dict[str, list[float | None]] = {}
    for row in rows:
        name = row.name if row.name in names else tflite.NUMBERED.sub("", row.name)
        if name in names:
            found.setdefault(name, []).append(row.latency_ms)
    return {name: sum(cost for cost in costs if cost is not None) for name, costs in found.items() if None not in costs}


def mac_shares(model: Model) -> dict[str, float]:
    """Each layer's share of the network's multiply-accumulates."""
    macs: dict[str, int] = {}
    for row in layer_costs(model):
        macs[row.name] = macs.get(row.name, 0) + row.macs
    total = sum(macs.values())
    return {name: count / total for name, count in macs.items()} if total else {}
