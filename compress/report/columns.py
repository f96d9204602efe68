"""The table of results, described once for the terminal, Markdown and HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compress.report import wording
from compress.report.content import Row

Value = float | str | None


@dataclass(frozen=True)
class Column:
    """One column: its title, what it means, the value it is sorted by, and how that reads."""

    key: str
    title: str
    meaning: str
    value: Callable[[Row], Value]
    text: Callable[[Row], str]

    @property
    def numeric(self) -> bool:
        """Whether it stands to the right and is sorted by number."""
        return self.key not in {"file", "target", "source"}


def columns(rows: Sequence[Row], metric: str = "accuracy", original: float | None = None) -> list[Column]:
    """The columns in which some row has a value. `original` is the original network's metric, where a row has none of its own."""
    every = [*_names(), *_quality(metric, original), *_costs(), *_closeness(), *_counts()]
    return [column for column in every if any(column.value(row) is not None for row in rows)]


def source(row: Row) -> str:
    """Where a row's figures come from; a latency or energy of another source is named.

    >>> source(Row("a.c", "c", "nano-33-ble", "emulated", latency_source="estimated", energy_source="estimated"))
    'emulated, latency estimated, energy estimated'
    """
    others = [("latency", row.latency_source), ("energy", row.energy_source)]
    return ", ".join([row.source, *(f"{figure} {word}" for figure, word in others if word and word != row.source)])


def _names() -> list[Column]:
    return [
        _text("file", "file", "the exported file", lambda row: row.artifact),
        _text("target", "target", "where it ran", lambda row: row.target),
        _text("source", "source", "measured on the device, emulated, or estimated from a model of it", source),
    ]


def _quality(metric: str, original: float | None) -> list[Column]:
    def drop(row: Row) -> float | None:
        reference = original if row.original_accuracy is None else row.original_accuracy
        return None if row.accuracy is None or reference is None else row.accuracy - reference

    def value(number: float | None) -> str:
        return wording.metric_value(number, metric)

    def difference(number: float | None) -> str:
        return wording.change(number, metric)

    unit = " (points)" if metric == "accuracy" else ""
    return [
        _number("accuracy", metric, f"{metric} of the file on the target's own kernels", lambda row: row.accuracy, value),
        _number("change", f"change{unit}", "against the network as it came, on the same samples", drop, difference),
    ]


def _costs() -> list[Column]:
    return [
        _number(
            "size", "size", "of the exported file; C counts in flash", lambda row: None if row.format == "c" else row.bytes, wording.size
        ),
        _number("zipped", "zipped", "the file after deflate", lambda row: row.zipped_bytes, wording.size),
        _number("latency", "latency", "p50 of one inference of one sample", lambda row: row.latency_ms, wording.milliseconds),
        _number("latency_p90", "latency p90", "nine of ten inferences are faster", lambda row: row.latency_p90_ms, wording.milliseconds),
        _number("ram", "RAM", "peak of one inference", lambda row: row.ram_bytes, wording.size),
        _number("flash", "flash", "code and constants", lambda row: row.flash_bytes, wording.size),
        _number("energy", "energy", "for one inference", lambda row: row.energy_mj, wording.millijoules),
    ]


def _closeness() -> list[Column]:
    agreement = "share of samples with the original network's answer"
    compression = "relative RMS difference that the passes made"
    across = "share of samples with the answer that the file gives on the first target that ran it"
    apart = "largest difference of an output from the first target's"
    port = "relative RMS difference between the compressed network in torch and the file"
    return [
        _number("port_error", "port error", port, lambda row: row.port_error, wording.error),
        _number("compression_error", "compression error", compression, lambda row: row.compression_error, wording.error),
        _number("agreement", "same top-1", agreement, lambda row: row.agreement, wording.share),
        _number("across", "same as first target", across, lambda row: row.across_agreement, wording.share),
        Column("apart", "largest difference", apart, lambda row: row.across_largest, _apart),
        _number("samples", "samples", "evaluation samples that ran", lambda row: row.samples, wording.count),
    ]


def _counts() -> list[Column]:
    return [
        _number("instructions", "instructions", "exact count for one inference", lambda row: row.instructions, wording.count),
        _number("cycles", "cycles", "for one inference, from published timings", lambda row: row.cycles, wording.count),
    ]


def _apart(row: Row) -> str:
    """The largest difference from the first target, in integer steps where the output has them."""
    if row.across_steps is not None:
        return f"{row.across_steps:.3g} step{'' if row.across_steps == 1 else 's'}"
    return wording.error(row.across_largest)


def _text(key: str, title: str, meaning: str, value: Callable[[Row], str]) -> Column:
    return Column(key, title, meaning, value, value)


def _number(key: str, title: str, meaning: str, value: Callable[[Row], float | None], say: Callable[[float | None], str]) -> Column:
    return Column(key, title, meaning, value, lambda row: say(value(row)))
