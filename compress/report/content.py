"""What a report says, as plain values: the schema that `docs/report.md` documents."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from targets.base import Source

SCHEMA = 1
"""Version of report.json: a key that changes its meaning or goes away raises it; a new key does not."""


@dataclass(frozen=True)
class Row:
    """One file on one target. None where a figure does not apply or was not measured.

    `accuracy` is the metric of the file on the target's own kernels, over `samples` evaluation samples, `original_accuracy`
    that of the float network as it came on the same samples; both from 0 to 1 where the metric is accuracy. Errors are root mean
    squares of a difference relative to the reference: `compression_error` between the original and the compressed network in
    torch, `port_error` between the compressed network in torch and the file on the target, where `port_steps` is the largest
    difference in integer steps of the output. Agreements are shares of samples with the same top-1 as the original network
    (`agreement`) and as the compressed network in torch (`port_agreement`); `exact`: output bytes equal those of the reference kernels.
    `across_agreement`, `across_largest` and, in integer steps, `across_steps` compare the file's outputs here with those on the first
    target that ran it.
    Latency in milliseconds for one sample (p50, p90 and p99, and the bounds that hold the true p50 with a confidence of 95 %), energy
    in millijoules, RAM at its peak, flash for code and constants.
    """

    artifact: str
    format: str
    target: str
    source: Source
    accuracy: float | None = None
    compression_error: float | None = None
    port_error: float | None = None
    bytes: int | None = None
    latency_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_source: Source | None = None
    instructions: int | None = None
    cycles: int | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    energy_mj: float | None = None
    energy_source: Source | None = None
    samples: int | None = None
    original_accuracy: float | None = None
    agreement: float | None = None
    port_agreement: float | None = None
    port_steps: float | None = None
    exact: bool | None = None
    across_agreement: float | None = None
    across_largest: float | None = None
    across_steps: float | None = None
    board: str | None = None
    runner: str | None = None
    reason: str | None = None
    zipped_bytes: int | None = None
    latency_p99_ms: float | None = None
    latency_low_ms: float | None = None
    latency_high_ms: float | None = None
    unreachable: bool = False
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Whether anything ran, or was estimated."""
        return self.source != "not measured"

    def as_dict(self) -> dict[str, Any]:
        """Every key, in plain values that JSON holds."""
        return _as_dict(self)


@dataclass(frozen=True)
class ModelFacts:
    """A network in torch: learned parameters, multiply-accumulates for one sample, and its metric over the evaluation part."""

    parameters: int
    macs: int
    accuracy: float | None


@dataclass(frozen=True)
class PassFacts:
    """What one pass did; `cached` where its result came from an earlier run."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    cached: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether one budget was kept. `kept` None: it could not be checked, as `why` says; that fails no run.

    `target` None for a budget on every file; `artifact` names the file that comes closest to the limit or exceeds it most.
    """

    budget: str
    target: str | None
    limit: float
    value: float | None
    kept: bool | None
    artifact: str | None
    why: str


@dataclass(frozen=True)
class Report:
    """Everything a run found. `created` is UTC in ISO 8601; `data` has the data's name and the samples of each part."""

    name: str
    created: str
    metric: str
    data: dict[str, Any]
    before: ModelFacts
    after: ModelFacts
    passes: list[PassFacts]
    rows: list[Row]
    verdicts: list[Verdict] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether no budget was missed; one that could not be checked counts as not missed."""
        return all(verdict.kept is not False for verdict in self.verdicts)

    @property
    def unreachable(self) -> bool:
        """Whether a target that is there otherwise could not be reached."""
        return any(row.unreachable for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The content of report.json."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "created": self.created,
            "metric": self.metric,
            "data": plain(self.data),
            "model": {"before": _as_dict(self.before), "after": _as_dict(self.after)},
            "passes": [_as_dict(step) for step in self.passes],
            "rows": [row.as_dict() for row in self.rows],
            "budgets": [_as_dict(verdict) for verdict in self.verdicts],
            "kept": self.kept,
            "environment": plain(self.environment),
            "notes": list(self.notes),
        }


def _as_dict(facts: Any) -> dict[str, Any]:
    return {entry.name: plain(getattr(facts, entry.name)) for entry in fields(facts)}


def plain(value: Any) -> Any:
    """A value as strict JSON holds it: floats in six significant digits, null for NaN and infinity, text for what is none of JSON's types.

    >>> plain({"error": 0.123456789, "steps": float("inf"), "shape": (1, 8)})
    {'error': 0.123457, 'steps': None, 'shape': [1, 8]}
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return str(value)
