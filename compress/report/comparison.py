"""What `edgepress compare` prints: a row a tensor, and the sentence that sums it up."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.comparing.compare import Comparison, TensorDifference

SCHEMA = 1


def as_dict(found: Comparison) -> dict[str, Any]:
    """For programs. Shares are from 0 to 1, differences in real values and in integer steps."""
    return {
        "schema": SCHEMA,
        "files": [
            {"path": str(file.path), "sha256": file.sha256, "runtime": runtime}
            for file, runtime in zip(found.files, found.runtimes, strict=True)
        ],
        "samples": found.samples,
        "agreement": found.agreement,
        "shared_scales": found.shared_scales,
        "unpaired": list(found.unpaired),
        "tensors": [
            {
                "name": tensor.name,
                "other_name": tensor.other_name,
                "shape": list(tensor.shape),
                "dtypes": list(tensor.dtypes),
                "same_scale": tensor.same_scale,
                "largest": tensor.largest,
                "largest_steps": tensor.largest_steps,
                "equal": tensor.equal,
                "relative_error": tensor.relative_error,
            }
            for tensor in found.tensors
        ],
    }


def show(found: Comparison, console: Console) -> None:
    """Prints the table and what follows from it."""
    table = Table(box=None, pad_edge=False)
    table.add_column("tensor", overflow="fold")
    for title in ("shape", "type", "scale", "largest difference", "equal", "relative error"):
        table.add_column(title, justify="right")
    for tensor in found.tensors:
        table.add_row(*map(Text, _cells(tensor)))
    console.print(table)
    for line in lines(found):
        console.print(Text(line))


def lines(found: Comparison) -> list[str]:
    """What the table comes to, for people."""
    agreement = "" if found.agreement is None else f"same top-1 on {found.agreement:.2%} of {found.samples} samples; "
    scales = "all scales are shared" if found.shared_scales else "scales are not all shared"
    said = [f"{agreement}{len(found.tensors)} tensors compared, {scales}"]
    if found.worst is not None:
        said.append(f"largest difference: {_largest(found.worst)} in '{found.worst.name}'")
    for file, runtime, missing in zip(found.files, found.runtimes, found.unpaired, strict=True):
        alone = f", {missing} tensors that the other hasn't" if missing else ""
        said.append(f"{file.path.name}: {runtime}{alone}")
    return said


def _cells(tensor: TensorDifference) -> list[str]:
    kinds = dict.fromkeys(tensor.dtypes)
    return [
        tensor.name,
        "x".join(map(str, tensor.shape)),
        " / ".join(kinds),
        "same" if tensor.same_scale else ("-" if tensor.step is None else "differs"),
        _largest(tensor),
        f"{tensor.equal:.2%}",
        f"{tensor.relative_error:.2g}",
    ]


def _largest(tensor: TensorDifference) -> str:
    if tensor.largest_steps is None:
        return f"{tensor.largest:.2g}"
    steps = f"{tensor.largest_steps:.0f}" if tensor.same_scale else f"{tensor.largest_steps:.1f}"
    return f"{steps} step" if steps == "1" else f"{steps} steps"
