"""Archives that nobody has vouched for: how much they would unpack to, and, of those of torch.export, what in them could run code.

That is pickles, libraries, and names and expressions that torch evaluates.
"""

import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from compress.reading.faults import DAMAGED
from targets.errors import UserError
from targets.registry import first_line

OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed|torchao)\.\w+(\.\w+)?|torch\.sym_\w+|torch\._sym_\w+|"
    r"_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|pow|and_|or_)|math\.(ceil|floor|trunc|sqrt)"
)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*|")
WORDS = "Max|Min|Mod|FloorDiv|CeilDiv|CleanDiv|ModularIndexing|PythonMod|TruncToInt|ToFloat|Integer|Add|Mul|Pow|oo"
EXPRESSION = re.compile(rf"(\s|[-+*/%(),]|\d+|[su]\d+|Symbol\('[su]\d+'(, \w+=(True|False))*\)|{WORDS})*")
LARGEST_JSON = 256 * 2**20
LARGEST_UNPACKED = 64 * 2**20
"""Bytes that any archive may hold unpacked; a larger one may hold so many times its own size."""

LARGEST_RATIO = 20


def checked_archive(path: Path) -> BytesIO:
    """The archive in a `.pt2` file, to be opened instead of the file. UserError naming what in it could run code, or why it can't be read.

    It is packed anew of what was looked at, since archives can be made that two programs read differently.
    """
    if not path.is_file():
        raise UserError(f"{path}: file does not exist")
    check_sizes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            found = next(_dangers(archive), None)
            if found is None:
                return packed(archive)
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as an exported program: {first_line(error)}") from None
    cure = "save it again with torch.export.save, or say 'trust: true' under 'model' if you know who made it (it may then run any code)"
    raise UserError(f"{path}: {found} could run code when loaded; {cure}")


def packed(archive: zipfile.ZipFile, without: tuple[str, ...] = ()) -> BytesIO:
    """An archive packed anew of what Python's reader sees in it, less the entries that end in `without`. Raises what is among `DAMAGED`."""
    copied = BytesIO()
    with zipfile.ZipFile(copied, "w") as copy:
        for name in (name for name in archive.namelist() if not name.endswith(without)):
            copy.writestr(zipfile.ZipInfo(name), archive.read(name))
    copied.seek(0)
    return copied


def entries(path: Path) -> tuple[str, ...]:
    """The names of what is in a zip archive; none where the file is no archive, or a damaged one."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except DAMAGED:
        return ()


def check_sizes(path: Path) -> None:
    """Raises UserError where a zip archive holds far more than its own size, as only one made to fill the memory does."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except DAMAGED:
        return  # whoever reads it says what is wrong
    if unpacked > max(LARGEST_UNPACKED, LARGEST_RATIO * path.stat().st_size):
        megabytes = f"{unpacked / 2**20:,.0f} MB"
        raise UserError(f"{path}: would unpack to {megabytes}, far beyond its own size; no real network does, so it isn't opened")


def _dangers(archive: zipfile.ZipFile) -> Iterator[str]:
    names = {name.partition("/")[2]: name for name in archive.namelist()}
    if len(names) < len(archive.namelist()) or len({name.partition("/")[0] for name in names.values()}) > 1:
        yield "what is in it twice"
    for short, full in names.items():
        if short.startswith("data/aotinductor") or short.endswith((".so", ".dylib", ".dll")):
            yield f"the compiled library '{short}'"
        elif short.startswith("models/") and short.endswith(".json"):
            yield from _in_program(_json(archive, full))
        elif short.endswith("_config.json"):
            yield from _in_payloads(_json(archive, full))
        elif short.startswith("data/sample_inputs/") and not _only_tensors(archive, full):
            yield "the pickle of its sample inputs"
        elif short.startswith(("data/weights/", "data/constants/")) and short.endswith(".pt") and not _only_tensors(archive, full):
            yield f"the pickle '{short}'"
    if not any(short.startswith("models/") for short in names):
        yield "the old archive format"


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    if archive.getinfo(name).file_size > LARGEST_JSON:
        raise ValueError(f"{name} is larger than any real one")
    return json.loads(archive.read(name))


def _only_tensors(archive: zipfile.ZipFile, name: str) -> bool:
    import torch

    content = archive.read(name)
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols; what matters is whether it loads
            torch.load(BytesIO(content), weights_only=True)
    except DAMAGED:
        return not content
    return True


def _in_payloads(config: Any) -> Iterator[str]:
    for name, payload in config["config"].items():
        path = str(payload.get("path_name", ""))
        if payload.get("use_pickle") or path.startswith(("custom_obj", "opaque_obj")) or not re.fullmatch(r"[\w.]+", path):
            yield f"tensor '{name}', kept as a pickle,"


def _in_program(program: Any) -> Iterator[str]:
    if program.get("guards_code"):
        yield "its guard code"
    for key, value in _entries(program):
        if key == "target" and value and not OPERATORS.fullmatch(str(value)):
            yield f"the operator '{value}'"
        elif key == "expr_str" and not EXPRESSION.fullmatch(str(value)):
            yield f"the expression '{value}'"
        elif key == "name" and isinstance(value, str) and not IDENTIFIER.fullmatch(value):
            yield f"the name '{value}'"


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                if isinstance(inner, dict | list):
                    pending.append(inner)
                else:
                    yield key, inner
        elif isinstance(item, list):
            pending.extend(item)
