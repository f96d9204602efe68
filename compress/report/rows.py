"""From what a run found to what the report says."""

import time
import zlib
from dataclasses import asdict, replace

from compress import parity
from compress.cost import macs, parameters
from compress.measuring import Scored
from compress.pipeline import Outcome
from compress.report.budgets import verdicts
from compress.report.content import ModelFacts, PassFacts, Report, Row
from compress.version import versions
from targets import boards
from targets.base import Artifact


def report_of(outcome: Outcome) -> Report:
    """The report of a run."""
    compression = parity.compare(outcome.before.outputs, outcome.after.outputs)
    rows = [row_of(scored, outcome, compression.relative_error) for scored in outcome.rows]
    rows = [_beside_first(row, scored, outcome) for row, scored in zip(rows, outcome.rows, strict=True)]
    before = ModelFacts(parameters(outcome.original), macs(outcome.original), outcome.before.metric)
    after = ModelFacts(parameters(outcome.compressed), macs(outcome.compressed), outcome.after.metric)
    data = outcome.data
    return Report(
        name=outcome.recipe.name,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        metric=outcome.recipe.metric,
        data={
            "name": data.name,
            "training": data.training.samples,
            "calibration": data.calibration.samples,
            "evaluation": data.evaluation.samples,
        },
        before=before,
        after=after,
        passes=[PassFacts(step.name, step.options, list(step.lines), step.name in outcome.cached) for step in outcome.compressed.history],
        rows=rows,
        verdicts=verdicts(outcome.recipe.budgets, rows, before.accuracy),
        environment=versions(),
    )


def _beside_first(row: Row, scored: Scored, outcome: Outcome) -> Row:
    """The row with how the file's outputs differ from those on the first target that ran it; as it is for that target itself."""
    ran = [other for other in outcome.rows if other.artifact == scored.artifact and other.measurement.outputs]
    if not scored.measurement.outputs or scored is ran[0]:
        return row
    output = scored.artifact.outputs[0]
    first, here = (output.decode(outputs[0]) for outputs in (ran[0].measurement.outputs, scored.measurement.outputs) if outputs)
    samples = min(len(first), len(here))
    found = parity.compare(first[:samples], here[:samples], output.scale or parity.output_step(outcome.compressed))
    return replace(row, across_agreement=found.agreement, across_largest=found.largest, across_steps=found.largest_steps)


def zipped(artifact: Artifact) -> int | None:
    """How many bytes a file has after deflate (RFC 1951), as app stores and updates compress it; None for a folder of sources."""
    return len(zlib.compress(artifact.path.read_bytes(), 9)) if artifact.path.is_file() else None


def row_of(scored: Scored, outcome: Outcome | None = None, compression_error: float | None = None) -> Row:
    """One row. Without an outcome (a file that was profiled by itself) there is no compression error."""
    found, port, evaluation = scored.measurement, scored.port, scored.evaluation
    latency = found.latency
    agreement = original_accuracy = None
    if outcome is not None and evaluation is not None:
        same = outcome.before.first(len(evaluation.outputs))
        original_accuracy = same.metric
        agreement = parity.compare(same.outputs, evaluation.outputs.reshape(same.outputs.shape)).agreement
    return Row(
        artifact=scored.artifact.path.name,
        format=scored.artifact.format,
        target=scored.board,
        source=found.source,
        accuracy=evaluation.metric if evaluation else None,
        compression_error=compression_error,
        port_error=port.relative_error if port else None,
        bytes=scored.artifact.bytes,
        zipped_bytes=zipped(scored.artifact),
        latency_ms=latency.p50_ms if latency else None,
        latency_p90_ms=latency.p90_ms if latency else None,
        latency_p99_ms=latency.p99_ms if latency else None,
        latency_low_ms=latency.low_ms if latency else None,
        latency_high_ms=latency.high_ms if latency else None,
        latency_source=latency.source if latency else None,
        instructions=found.instructions,
        cycles=found.cycles,
        ram_bytes=found.ram_bytes,
        flash_bytes=found.flash_bytes,
        energy_mj=found.energy_mj,
        energy_source=found.energy_source,
        samples=len(found.outputs[0]) if found.outputs else None,
        agreement=agreement,
        original_accuracy=original_accuracy,
        port_agreement=port.agreement if port else None,
        port_steps=port.largest_steps if port else None,
        exact=scored.exact,
        runner=found.runner,
        reason=found.reason,
        notes=list(found.notes),
        layers=[asdict(layer) for layer in found.layers],
        details=found.details,
        board=boards.load(scored.board).title if scored.board in boards.names() else scored.board,
        unreachable=scored.unreachable,
    )
