"""The recipe: one YAML file for model, data, passes, exports, targets and budgets. It is checked whole before anything runs."""

import re
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from compress.data import DATA
from compress.exporters import EXPORTERS
from compress.passes import PASSES
from compress.sources.base import SourceOptions
from targets.errors import UserError, did_you_mean
from targets.registry import PluginFolder

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
ALTERNATIVE = re.compile(r"str|[A-Z]\w*|\w+\[.*")
"""What a schema calls the types of a value that may have several."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _share(value: Any) -> Any:
    """`2%` as 0.02; anything else as it is."""
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+ ?%", value):
        return float(value.rstrip(" %")) / 100
    return value


class ModelPart(_Strict):
    """`model:` — see `compress.sources.base.SourceOptions`."""

    source: str
    weights: str | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    trust: bool = False
    custom: dict[str, str] = {}


class Measure(_Strict):
    """`measure:` — how latency is measured, and on how many evaluation samples emulated targets are scored (None: all).

    `precision` is written as `2%` or 0.02 (see `RunOptions`).
    """

    warmup: int = Field(default=10, ge=0)
    repetitions: int = Field(default=50, ge=1)
    precision: Annotated[float | None, BeforeValidator(_share)] = Field(default=None, gt=0, le=0.5)
    threads: int = Field(default=1, ge=1, le=64)
    samples: int | None = Field(default=None, ge=1)


class Written(_Strict):
    """The recipe as it is written; `Recipe` holds what it means."""

    version: Literal[1]
    name: str = Field(pattern=f"^{NAME}$")
    model: ModelPart
    data: str | dict[str, Any]
    metric: str = "accuracy"
    passes: list[str | dict[str, Any]] = []
    export: list[str | dict[str, Any]] = Field(min_length=1)
    targets: list[str | dict[str, Any]] = ["host"]
    budgets: dict[str, Any] = {}
    measure: Measure = Measure()
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class TargetPart:
    """One entry of `targets:`: the board's name, and the device and settings that the user gave it."""

    board: str
    device: str | None
    settings: dict[str, str]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: every option is built, nothing has run."""

    name: str
    folder: Path
    model: SourceOptions
    data: Any
    metric: str
    passes: tuple[tuple[str, Any], ...]
    exports: tuple[tuple[str, Any], ...]
    targets: tuple[TargetPart, ...]
    budgets: dict[str, Any]
    measure: Measure
    seed: int
    device: Literal["auto", "cpu", "cuda"]

    def written_out(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain values for the lock file."""
        return {
            "version": 1,
            "name": self.name,
            "model": {key: value for key, value in asdict(self.model).items() if key != "folder"},
            "data": {"kind": type(self.data).__name__.lower(), **plain(self.data)},
            "metric": self.metric,
            "passes": [{name: plain(options)} for name, options in self.passes],
            "export": [{name: plain(options)} for name, options in self.exports],
            "targets": [asdict(part) for part in self.targets],
            "budgets": self.budgets,
            "measure": self.measure.model_dump(),
            "seed": self.seed,
            "device": self.device,
        }


def plain(options: Any) -> dict[str, Any]:
    """A plugin's options as values that YAML and JSON can hold, without the `folder` that its place in a recipe fills in."""
    return _plain(asdict(options)) if is_dataclass(options) and not isinstance(options, type) else {}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key != "folder"}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def load(path: Path) -> Recipe:
    """Reads and checks a recipe file. UserError names the file, the key and the cure."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: file does not exist; 'edgepress init' writes a recipe to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    return check(content, path)


def check(content: Any, path: Path) -> Recipe:
    """Checks what a recipe file holds; `path` says where it lies, for messages and relative paths."""
    if not isinstance(content, dict):
        raise UserError(f"{path}: a recipe is a YAML mapping with the keys version, name, model, data and export")
    _known_keys(content, Written.model_fields, f"{path}")
    if isinstance(content.get("model"), dict):
        _known_keys(content["model"], ModelPart.model_fields, f"{path}: model")
    if isinstance(content.get("measure"), dict):
        _known_keys(content["measure"], Measure.model_fields, f"{path}: measure")
    try:
        written = Written.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}") from None
    return _built(written, path)


def _built(written: Written, path: Path) -> Recipe:
    from compress.metrics import metric
    from compress.report.budgets import check_budgets

    folder = path.resolve().parent
    model = SourceOptions(**written.model.model_dump(), folder=folder)
    _check_files(model, path)
    data = {"builtin": {"name": written.data}} if isinstance(written.data, str) else dict(written.data)
    passes = tuple(_plugin(PASSES, entry, f"{path}: passes[{i}]", folder) for i, entry in enumerate(written.passes))
    _check_order(passes, path)
    targets = tuple(_target(entry, f"{path}: targets[{i}]") for i, entry in enumerate(written.targets))
    try:
        metric(written.metric, folder)
        check_budgets(written.budgets, [part.board for part in targets], written.metric)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Recipe(
        name=written.name,
        folder=folder,
        model=model,
        data=_data(data, f"{path}: data", folder),
        metric=written.metric,
        passes=passes,
        exports=_distinct(tuple(_plugin(EXPORTERS, entry, f"{path}: export[{i}]", folder) for i, entry in enumerate(written.export)), path),
        targets=targets,
        budgets=written.budgets,
        measure=written.measure,
        seed=written.seed,
        device=written.device,
    )


def _check_files(model: SourceOptions, path: Path) -> None:
    if ":" not in model.source and not model.path.exists():
        raise UserError(f"{path}: model.source: file {model.path} does not exist")
    if model.weights and not (model.folder / model.weights).is_file():
        raise UserError(f"{path}: model.weights: file {model.folder / model.weights} does not exist")


def _distinct(exports: tuple[tuple[str, Any], ...], path: Path) -> tuple[tuple[str, Any], ...]:
    names = [name for name, _ in exports]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: export: '{name}' stands there twice; one file a format is written")
    return exports


def _check_order(passes: tuple[tuple[str, Any], ...], path: Path) -> None:
    stage = "float"
    for index, (name, options) in enumerate(passes):
        if options.takes != stage:
            before = f"{passes[index - 1][0]} left it {stage}" if index else f"it is {stage} at first"
            cure = f"put {name} first" if stage == "quantized" else f"put quantize before {name}"
            raise UserError(f"{path}: passes[{index}]: {name} works on a {options.takes} network, but {before}; {cure}")
        stage = options.gives


def _target(entry: str | dict[str, Any], where: str) -> TargetPart:
    from targets import boards

    name, options = _entry(entry, where)
    _known_keys(options, ("device", "settings"), f"{where}.{name}")
    settings = options.get("settings") or {}
    if not isinstance(settings, dict):
        raise UserError(f"{where}.{name}.settings: a mapping of names to words is wanted, not {settings!r}")
    try:
        boards.load(name)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return TargetPart(name, options.get("device"), {str(key): str(value) for key, value in settings.items()})


def _data(data: dict[str, Any], where: str, folder: Path) -> Any:
    kinds = [key for key in data if key in DATA.names()]
    if len(kinds) != 1:
        unknown = next(iter(data), "")
        raise UserError(f"{where}: names no kind of data: '{unknown}'; {did_you_mean(str(unknown), DATA.names())}")
    kind = kinds[0]
    cls = DATA.load(kind)
    main = fields(cls)[0].name
    rest = {key: value for key, value in data.items() if key != kind}
    value = data[kind]
    options = {**value, **rest} if isinstance(value, dict) else {main: value, **rest}
    return build(cls, options, f"{where}.{kind}", folder)


def _plugin(plugins: PluginFolder, entry: str | dict[str, Any], where: str, folder: Path) -> tuple[str, Any]:
    name, options = _entry(entry, where)
    try:
        cls = plugins.load(name)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return name, build(cls, options, f"{where}.{name}", folder)


def _entry(entry: str | dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if len(entry) != 1:
        raise UserError(f"{where}: one name with its options is wanted, not {len(entry)}: {', '.join(map(str, entry))}")
    name, options = next(iter(entry.items()))
    if options is None:
        return str(name), {}
    if not isinstance(options, dict):
        raise UserError(f"{where}.{name}: options are a mapping, like {{key: value}}, not {options!r}")
    return str(name), options


def build(cls: Any, options: dict[str, Any], where: str, folder: Path | None = None) -> Any:
    """A plugin's options from plain values, checked by their types. UserError names the key (`where`) and the nearest right one.

    Relative paths in options of type Path are taken from `folder`; an option `folder` is filled in by it.
    """
    known = {entry.name: entry for entry in fields(cls) if entry.init}
    _known_keys(options, [key for key in known if key != "folder"], where)
    given = dict(options)
    if folder is not None:
        for key, value in options.items():
            if known[key].type in (Path, "Path") and isinstance(value, str):
                given[key] = folder / value
        if "folder" in known:
            given["folder"] = folder
    try:
        return TypeAdapter(cls).validate_python(given)
    except ValidationError as error:
        raise UserError(f"{where}: {first_problem(error)}") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _known_keys(given: dict[str, Any], known: Any, where: str) -> None:
    for key in given:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), known)}")


def first_problem(error: ValidationError) -> str:
    """The first thing that a schema found wrong, as `key: what is wanted, not what`."""
    found = error.errors()
    same = [each for each in found if each["loc"][:1] == found[0]["loc"][:1]]
    problem = max(same, key=lambda each: len(each["loc"]))  # of alternatives, the one that fits furthest
    parts = [str(part) for part in problem["loc"] if len(same) == 1 or not ALTERNATIVE.fullmatch(str(part))]
    location = re.sub(r"\.(\d+)", r"[\1]", ".".join(parts))
    if problem["type"] == "missing":
        return f"key '{location}' is missing"
    given = repr(problem["input"])
    wanted = f"{problem['msg'][0].lower()}{problem['msg'][1:]}".replace("tuple", "list")
    return f"{location}: {wanted}, not {given if len(given) < 60 else given[:57] + '...'}"
