"""Models on disk: what the cache keeps between runs, and the `.pt2` that a user can load again."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import fx

from compress.model import Model, Step, from_program, layer_name, program
from targets.errors import UserError


def save(model: Model, folder: Path) -> None:
    """Writes `model.pt2` and `model.json` into a folder that appears whole or not at all; an older one is replaced."""
    with whole(folder) as part:
        torch.export.save(program(model), part / "model.pt2")
        facts = {
            "name": model.name,
            "stage": model.stage,
            "labels": model.labels,
            "free_batch": model.free_batch,
            "shapes": [list(tensor.shape) for tensor in model.example],
            "layers": [layer_name(node) for node in _operators(model.graph)],
            "history": [asdict(step) for step in model.history],
        }
        (part / "model.json").write_text(json.dumps(facts), encoding="utf-8")
        torch.save(list(model.example), part / "example.pt")
        if model.reference is not None:
            save(model.reference, part / "reference")


def load(folder: Path) -> Model:
    """Reads what `save` wrote."""
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    example = torch.load(folder / "example.pt", weights_only=True)
    model = from_program(torch.export.load(folder / "model.pt2"), example, facts["name"])
    _restore_layer_names(model.graph, facts["layers"])
    history = tuple(Step(step["name"], step["options"], tuple(step["lines"]), step["details"]) for step in facts["history"])
    reference = load(folder / "reference") if (folder / "reference").exists() else None
    return replace(
        model, reference=reference, stage=facts["stage"], labels=tuple(facts["labels"]) if facts["labels"] else None, history=history
    )


def _operators(graph: fx.GraphModule) -> list[fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "call_function"]


def _restore_layer_names(graph: fx.GraphModule, names: list[str]) -> None:
    """torch.export forgets which module a node came from when it captures a graph; the order of the operators stays."""
    nodes = _operators(graph)
    if len(nodes) == len(names):
        for node, name in zip(nodes, names, strict=True):
            node.meta["nn_module_stack"] = {name: (name, "")}


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder that is written beside its final place and moved there when the block ends well; else nothing is left of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"{folder}: can't be written: {error.strerror}; name another place or make room") from None
    try:
        yield part
        _swap(part, folder)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UserError(f"{folder}: can't be written: {error.strerror}; make room or name another place") from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, folder: Path) -> None:
    part.chmod(0o755)
    old = part.with_name(part.name + "-old")
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
    os.utime(folder)


def remove(folder: Path) -> None:
    """Deletes a folder that is no longer needed."""
    shutil.rmtree(folder, ignore_errors=True)
