"""What each layer of a network costs in time on a target, with one scheme for all."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
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
from targets.base import RunOptions
from targets.errors import ExportError

OPTIONS = RunOptions(warmup=5, repetitions=50, samples=1, energy=False)


@dataclass(frozen=True)
class Times:
    """Milliseconds of one inference: of the whole network, and of each layer; `source` says where the layers' come from."""

    whole: float
    layers: dict[str, float]
    source: str


def measure_layers(model: Model, board: str, split: Split, metric: Metric, names: Collection[str]) -> Times:
    """Runs a model on a board and says what these layers take.

    Where the board's runtime times no layers, the network's time is shared out by multiply-accumulates, which is an estimate.
    Raises ExportError where the network can't be written, or doesn't run there, with the reason.
    """
    target = boards.target(board)
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        path = write_whole(Path(folder) / "network.tflite", tflite.to_bytes(model, channels_last=True))
        artifact = arranged(formats.read(path))
        found = measure(artifact, target, Trial(split.first(1), metric, replace(OPTIONS, layers=bool(names)))).measurement
    if found.latency is None:
        raise ExportError(f"{board}: no time: {found.reason or 'nothing timed it'}")
    timed = {layer.name: layer.latency_ms for layer in found.layers if layer.latency_ms is not None}
    if timed:
        return Times(found.latency.p50_ms, {name: timed.get(name, 0.0) for name in names}, found.latency.source)
    shares = mac_shares(model)
    layers = {name: found.latency.p50_ms * shares.get(name, 0.0) for name in names}
    return Times(found.latency.p50_ms, layers, "estimated from multiply-accumulates")


def mac_shares(model: Model) -> dict[str, float]:
    """Each layer's share of the network's multiply-accumulates."""
    macs: dict[str, int] = {}
    for row in layer_costs(model):
        macs[row.name] = macs.get(row.name, 0) + row.macs
    total = sum(macs.values())
    return {name: count / total for name, count in macs.items()} if total else {}
