"""The exported files of a network that is diagnosed: made, scored and timed as they are asked for."""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compress import parity, pipeline
from compress.diagnosing.findings import FileFindings, Job
from compress.evaluation import evaluate
from compress.exporters import EXPORTERS
from compress.measuring import Trial, measure
from compress.model import Model
from compress.quantization import timing
from compress.quantization.overrides import Override
from targets import boards
from targets.base import RunOptions
from targets.errors import EdgepressError, UserError

TIMED = RunOptions(warmup=5, repetitions=50, energy=False)


class Files:
    """TFLite files of the network of a job, run on this machine's LiteRT."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.notes: tuple[str, ...] = ()
        """What could not be timed, and why."""
        evaluation = job.context.data.evaluation
        self.reference = evaluate(job.model, evaluation, job.context.metric, job.context.progress).outputs

    def attempt(self, rules: tuple[Override, ...]) -> tuple[FileFindings | None, str | None]:
        """The file with these rules after the pass's own; or the reason why there is none."""
        try:
            with self.job.context.progress.task("exporting, and scoring in LiteRT"):
                quantize = replace(self.job.quantize, overrides=(*self.job.quantize.overrides, *rules))
                return self._score(self._quantized(quantize)), None
        except EdgepressError as error:
            return None, str(error)

    def slower(self, now: Mapping[str, str], schemes: Collection[str]) -> dict[tuple[str, str], float]:
        """Milliseconds that each layer takes longer in another of these schemes than in the one that it has now.

        They are differences of the times of its operators on this machine, of networks with one scheme for all; nothing for what
        could not be measured.
        """
        times = {scheme: self._times(scheme, now) for scheme in sorted({*schemes, *now.values()})}
        return {
            (name, scheme): times[scheme][name] - times[before][name]
            for name, before in now.items()
            for scheme in times
            if name in times[scheme] and name in times[before]
        }

    def _times(self, scheme: str, names: Collection[str]) -> dict[str, float]:
        context = self.job.context
        try:
            with context.progress.task(f"timing the network in {scheme}"):
                quantize = replace(self.job.quantize, scheme=scheme, overrides=()) if scheme != "float" else None
                model = self.job.model if quantize is None else self._quantized(quantize)
                found = timing.measure_layers(model, "host", context.data.evaluation, context.metric, names)
        except EdgepressError as error:
            self.notes = (*self.notes, f"time in {scheme} not measured: {error}")
            return {}
        if found.source == timing.ESTIMATED:
            self.notes = (*self.notes, f"time in {scheme} not measured: the file's operators can't run one by one")
            return {}
        return found.layers

    def _quantized(self, quantize: Any) -> Model:
        model = pipeline.apply_one("quantize", quantize, self.job.model, self.job.context)
        for name, options in self.job.later:
            model = pipeline.apply_one(name, options, model, self.job.context)
        return model

    def _score(self, model: Model) -> FileFindings:
        context = self.job.context
        with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
            artifact = pipeline.export(model, "tflite", EXPORTERS.load("tflite")(), Path(folder), context.progress)
            trial = Trial(context.data.evaluation, context.metric, TIMED, progress=context.progress)
            row = measure(artifact, boards.target("host"), trial)
        if row.evaluation is None:
            raise UserError(f"diagnose: {row.measurement.reason}")
        difference = parity.compare(self.reference, row.evaluation.outputs.reshape(self.reference.shape))
        latency = row.measurement.latency
        milliseconds = latency.p50_ms if latency else None
        return FileFindings(artifact.bytes, row.evaluation.metric, difference.agreement, milliseconds, row.measurement.runner)
