"""From a file to what is known of it."""

import dataclasses
import tempfile
from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import torch

from compress import cost, sources
from compress.data.base import Array, Data, Split
from compress.exporters import EXPORTERS
from compress.inspecting import facts, finished, trials, weights
from compress.inspecting.findings import Ability, Inspection, Port, Weight
from compress.lowering.nodes import operator_name
from compress.model import Model
from compress.passes import PASSES
from compress.profile_command import open_data
from compress.progress import Progress
from compress.reading.inputs import Input
from compress.sources.base import SourceOptions
from compress.sources.factory import Factory
from compress.unlifted import network
from targets import formats
from targets.base import Artifact
from targets.errors import UserError

NO_NETWORK = "weights alone can't be changed, exported or run: name the function that builds the network as 'source' and this as 'weights'"
RANDOM = "random numbers"
PICKLED = (
    "loading a pickle runs any code that its maker put into it: a recipe reads it with 'trust: true' only; save it with torch.export.save"
)


def inspect(path: Path, data: str | None, progress: Progress) -> Inspection:
    """Everything about a file or folder. UserError for one that is missing, damaged or nothing that is known here.

    Without `data` (as `--data` of the command names them) inputs are random numbers of the shapes that the file tells.
    """
    if not path.exists():
        if Factory.reads(SourceOptions(str(path))):
            raise UserError(f"{path}: inspect takes files; name a factory in a recipe")
        raise UserError(f"{path}: no such file or folder; these are read: {sources.kinds()}")
    given = open_data(data) if data else None
    if path.is_dir() and (path / "model.json").is_file():
        return finished.inspected(formats.read(path))
    if path.is_file() and formats.identifier(path) == b"TFL3" and (artifact := formats.read(path)).quantized:
        return _quantized(artifact, given, progress)
    held = weights.read(path) if path.is_file() else None
    return _weights(path, *held) if held else _network(path, given, progress)


def _weights(path: Path, kind: str, found: tuple[Weight, ...]) -> Inspection:
    guess, why = weights.family(found), PICKLED if kind.startswith("a pickled") else NO_NETWORK
    return Inspection(
        path,
        kind,
        _bytes(path),
        {"looks like": guess} if guess else {},
        parameters=sum(prod(weight.shape) for weight in found),
        weights=found,
        passes=tuple(Ability(name, False, "", why) for name in PASSES.names()),
        notes=(why,),
    )


def _quantized(artifact: Artifact, data: Data | None, progress: Progress) -> Inspection:
    """A file as it is, and where it can be lifted to torch, what becomes of it there."""
    found = finished.inspected(artifact)
    options = SourceOptions(str(artifact.path))
    given = _example(sources.find(options).inputs(), data)
    if given is None:
        return found
    try:
        model = sources.load(options, given)
    except UserError as error:
        reason = str(error).removeprefix(f"{artifact.path}: ")
        others = tuple(Ability(name, False, "int8", reason) for name in EXPORTERS.names() if name != "c")
        return dataclasses.replace(found, exports=(*found.exports, *others))
    found = dataclasses.replace(found, macs=found.macs or cost.macs(model))
    return _with_trials(found, model, _few(model, given, data), progress, [("int8", artifact)])


def _network(path: Path, data: Data | None, progress: Progress) -> Inspection:
    options = SourceOptions(str(path))
    reader = sources.find(options)
    told = reader.inputs()
    name = type(reader).__module__.rpartition(".")[2]
    said, operators = facts.of_file(name, path)
    found = Inspection(path, reader.kind, _bytes(path), said, _told(told), operators=operators)
    given = _example(told, data)
    if given is None:
        return dataclasses.replace(found, notes=(_open(told),))
    try:
        model = sources.load(options, given)
    except UserError as error:
        return dataclasses.replace(found, notes=(str(error).removeprefix(f"{path}: "),))
    found = dataclasses.replace(
        found,
        inputs=found.inputs
        or tuple(Port(f"input_{i}", (1, *array.shape[1:]), "float32", _layout(array.shape)) for i, array in enumerate(given)),
        outputs=_outputs(model),
        parameters=cost.parameters(model),
        macs=cost.macs(model),
        operators=operators or _operators(model),
        notes=_unlifted(model),
    )
    whole = next((each for each in told or () if _is_whole(each)), None)
    if whole and not data:
        return dataclasses.replace(
            found, notes=(*found.notes, f"input '{whole.name}' takes {whole.dtype}, and data here are float32: nothing was tried")
        )
    return _with_trials(found, model, _few(model, given, data), progress, [])


def _with_trials(found: Inspection, model: Model, few: Data, progress: Progress, files: trials.Files) -> Inspection:
    metric = "accuracy" if np.issubdtype(next(few.training.batches(1))[1].dtype, np.integer) else "mse"
    passes, quantized = trials.passes(model, few, metric, progress)
    models = [("float", model)] if model.stage == "float" else []
    models += [("int8", quantized)] if quantized else []
    with tempfile.TemporaryDirectory() as scratch:
        exports, made = trials.exports(models, Path(scratch), progress)
        targets = trials.targets([*files, *made])
    tried_on = f"{few.training.samples} {'random samples' if few.name == RANDOM else f'samples of {few.name}'}"
    return dataclasses.replace(found, passes=passes, exports=exports, targets=targets, tried_on=tried_on)


def _example(told: tuple[Input, ...] | None, data: Data | None) -> tuple[Array, ...] | None:
    """A few samples for each input: the data's, or random ones, zeros for whole numbers; None where nothing tells their shapes."""
    if data:
        return next(data.evaluation.first(trials.SAMPLES).batches(trials.SAMPLES))[0]
    if told is None or any(size is None for each in told for size in each.shape):
        return None
    draw = np.random.default_rng(0)
    shapes = [(trials.SAMPLES, *(int(size or 1) for size in each.shape[1:])) for each in told]
    return tuple(
        np.zeros(shape, each.dtype) if _is_whole(each) else draw.standard_normal(shape, np.float32)
        for each, shape in zip(told, shapes, strict=True)
    )


def _is_whole(given: Input) -> bool:
    return given.dtype.startswith(("int", "uint", "bool"))


def _few(model: Model, given: tuple[Array, ...], data: Data | None) -> Data:
    """So little data that every pass is quick; random labels are classes where the network gives a row of numbers a sample."""
    if data:
        parts = {name: getattr(data, name).first(trials.SAMPLES) for name in ("training", "calibration", "evaluation")}
        return dataclasses.replace(data, **parts)
    shape = tuple(model(*(torch.from_numpy(array) for array in given)).shape)
    draw = np.random.default_rng(1)
    labels = draw.integers(0, shape[1], shape[0]) if len(shape) == 2 and shape[1] > 1 else draw.standard_normal(shape, np.float32)
    split = Split(trials.SAMPLES, lambda rows: (tuple(array[rows] for array in given), labels[rows]))
    return Data(RANDOM, split, split, split, RANDOM)


def _outputs(model: Model) -> tuple[Port, ...]:
    with torch.no_grad():
        made = model.graph(*model.example)
    tensors = made if isinstance(made, tuple | list) else (made,)
    return tuple(
        Port(f"output_{i}", (1, *each.shape[1:]), str(each.dtype).removeprefix("torch."), _layout(tuple(each.shape)))
        for i, each in enumerate(tensors)
        if isinstance(each, torch.Tensor)
    )


def _operators(model: Model) -> dict[str, int]:
    calls = [node for node in model.graph.graph.nodes if node.op == "call_function"]
    return dict(Counter(operator_name(node) or str(node.target) for node in calls).most_common())


def _unlifted(model: Model) -> tuple[str, ...]:
    """What kept a TFLite file from being lifted to torch."""
    held = network.held(model)
    return () if held is None else (f"not lifted to torch, so it stays a TFLite file: {held.why}",)


def _open(told: tuple[Input, ...] | None) -> str:
    """What only data can tell."""
    where = next((each for each in told or () if None in each.shape), None)
    sizes = f"input '{where.name}' is {'x'.join(str(size or '?') for size in where.shape)}" if where else "the inputs' sizes aren't"
    return f"{sizes} in the file; with --data, which has samples of their real size, all else can be found"


def _told(told: tuple[Input, ...] | None) -> tuple[Port, ...]:
    """Inputs as data have them, and how the file has them where that is another way."""
    return tuple(Port(each.name, each.shape, each.dtype, _layout(each.shape, channels_last=each.channels_last)) for each in told or ())


def _layout(shape: tuple[int | None, ...], *, channels_last: bool = False) -> str:
    if len(shape) != 4:
        return ""
    return "NCHW (NHWC in the file)" if channels_last else "NCHW"


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
