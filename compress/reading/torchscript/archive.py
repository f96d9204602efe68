"""A TorchScript archive: recognised, searched for what it would run when it is opened, and opened."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.jit._recursive import wrap_cpp_module

from compress.reading.faults import DAMAGED
from compress.reading.pickles import Outline, check_storages, in_archive
from compress.reading.torchscript.expansion import check_calls
from compress.reading.torchscript.probe import check_depth
from compress.trust import check_sizes, entries, packed
from targets.errors import UserError
from targets.registry import first_line

CURE = "say 'trust: true' under 'model' if you know who made it (it may then read and write files)"


def names(path: Path) -> list[str]:
    """The entries of a zip archive, without the folder they all lie in; none where it is no archive."""
    return [name.partition("/")[2] for name in entries(path)]


def is_script(path: Path) -> bool:
    """Whether a file holds TorchScript."""
    found = names(path)
    return "constants.pkl" in found and any(name.startswith("code/") for name in found)


def open_script(path: Path, *, trust: bool) -> Any:
    """The archive's module, in inference mode. UserError where it is damaged, or would run code when opened and isn't trusted to."""
    check_sizes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, path, trust=trust)
            for name in archive.namelist():
                if re.fullmatch(r"[^/]*/(data|constants)\.pkl", name):
                    check_storages(archive, name)
            content = packed(archive, without=(".debug_pkl",)).read()
            check_depth(content, archive)
        script, unit = _loaded(content)
    except RuntimeError as error:
        raise UserError(f"{path}: can't be read as TorchScript: {_reason(error)}") from None
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as TorchScript: {first_line(error)}") from None
    if not hasattr(script, "forward"):
        raise UserError(f"{path}: can't be read as TorchScript: it has no 'forward'; save it again with torch.jit.save")
    try:
        check_calls(unit, f"{script._c._type().qualified_name()}.forward")  # noqa: SLF001  its only name
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return script


def _loaded(content: bytes) -> tuple[Any, Any]:
    """The module, in inference mode, and the unit that has all its functions; torch.jit.load does the same and keeps the unit to itself."""
    unit: Any = torch._C.CompilationUnit()  # noqa: SLF001
    load: Any = torch._C.import_ir_module_from_buffer  # noqa: SLF001
    wrap: Any = wrap_cpp_module
    return wrap(load(unit, content, torch.device("cpu"), {}, False)).eval(), unit


def _check(archive: zipfile.ZipFile, path: Path, *, trust: bool) -> None:
    code = [archive.read(name).decode() for name in archive.namelist() if re.match(r"[^/]*/code/.*\.py$", name)]
    if any("__torch__.torch.classes.quantized" in text for text in code):
        raise UserError(f"{path}: was quantized by torch itself; start from the network in floating point that it was made of")
    if not trust and any("__setstate__" in text for text in code):
        raise UserError(f"{path}: runs code of its own when it is opened (__setstate__); {CURE}")


def _reason(error: RuntimeError) -> str:
    """The line of torch's message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception raised")]
    return lines[0].rstrip(":") if lines else type(error).__name__


def traced_with(path: Path) -> tuple[Outline, ...] | None:
    """Shapes of the tensors that a traced network was traced with, where the file still has them."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("/traced_inputs.pkl")), None)
            held = in_archive(archive, name) if name else None
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as TorchScript: {first_line(error)}") from None
    given = held.get("forward") if isinstance(held, dict) else None
    if not isinstance(given, list) or not given or not all(isinstance(each, Outline) for each in given):
        return None
    return tuple(given)
