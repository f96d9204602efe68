"""What `edgepress agree` prints: a row for each instruction set, and the layers that may saturate."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.agreement.agree import Agreement, Answer
from compress.agreement.saturation import CURE, SAMPLES, Exposed
from compress.report import wording
from compress.report.content import plain

SCHEMA = 1
MOST_LAYERS = 12


def as_dict(found: Agreement) -> dict[str, Any]:
    """For programs. Shares and agreements are from 0 to 1, differences in real values and in integer steps of the output."""
    return {
        "schema": SCHEMA,
        "path": str(found.artifact.path),
        "sha256": found.artifact.sha256,
        "samples": found.samples,
        "metric": found.metric,
        "rows": [_row(answer) for answer in (found.reference, *found.answers)],
        "may_saturate_without_vnni": [
            {
                "layer": layer.name,
                "operator": layer.operator,
                "pairs_able": layer.able,
                "pairs": layer.pairs,
                "outputs_touched": plain(layer.touched),
                "largest_steps": plain(layer.largest),
            }
            for layer in found.exposed
        ],
        "cure": CURE if found.exposed else None,
    }


def show(found: Agreement, console: Console) -> None:
    """Prints the rows, what was not measured and why, and the layers whose sums may saturate, those first where they do."""
    table = Table("board", "kernels", "source", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for title in ([found.metric] if found.metric else []) + ["same top-1", "off by", "answers"]:
        table.add_column(title, justify="right")
    for answer in (found.reference, *found.answers):
        if answer.difference is not None:
            table.add_row(*map(Text, _cells(answer, found)))
    console.print(table)
    for answer in found.answers:
        if answer.reason is not None:
            console.print(Text(f"not measured: {answer.board} ({answer.kernels}): {answer.reason}"))
    said = f"{found.samples} samples, against {_reference(found)}"
    console.print(Text(said))
    for line in saturation_lines(found.exposed):
        console.print(Text(line))


def saturation_lines(exposed: tuple[Exposed, ...]) -> Iterator[str]:
    """What is known of the layers that may saturate, for people."""
    if not exposed:
        return
    touched = [layer for layer in exposed if layer.touched]
    yield (
        f"saturation: ONNX Runtime computes {len(exposed)} layers as uint8 times int8 with weights so large that, on x86 without VNNI, a "
        f"sum of two products can leave 16 bits; on {SAMPLES} samples or fewer it does in {len(touched)}"
    )
    for layer in sorted(touched, key=lambda each: each.largest or 0.0, reverse=True)[:MOST_LAYERS]:
        wrong = "" if layer.largest is None else f", by up to {layer.largest:.1f} steps before clamping"
        yield f"  {layer.name} ({layer.operator}): {layer.touched:.2g} of its outputs{wrong}"
    yield f"  cure: {CURE}"


def _reference(found: Agreement) -> str:
    return "LiteRT's reference kernels" if found.artifact.format == "tflite" else "ONNX Runtime without optimizations, in float"


def _row(answer: Answer) -> dict[str, Any]:
    difference = answer.difference
    return {
        "board": answer.board,
        "kernels": answer.kernels,
        "source": answer.source,
        "score": plain(answer.score),
        "agreement": plain(difference.agreement) if difference else None,
        "largest": plain(difference.largest) if difference else None,
        "largest_steps": plain(difference.largest_steps) if difference else None,
        "relative_error": plain(difference.relative_error) if difference else None,
        "exact": answer.exact,
        "reason": answer.reason,
    }


def _cells(answer: Answer, found: Agreement) -> list[str]:
    score = [wording.metric_value(answer.score, found.metric)] if found.metric else []
    difference = answer.difference
    if difference is None:
        return []
    steps = difference.largest_steps
    largest = f"{difference.largest:.2g}" if steps is None else f"{steps:.0f} step{'' if round(steps) == 1 else 's'}"
    exact = "the same" if answer.exact else "differ"
    return [answer.board, answer.kernels, answer.source, *score, wording.share(difference.agreement), largest, exact]
