"""What a pickle holds, looked at without running anything in it: every class and function that it names becomes a name."""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from compress.reading.faults import DAMAGED
from compress.trust import check_sizes
from targets.errors import UserError
from targets.registry import first_line

DTYPES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Bool": "bool", "Byte": "uint8",
    "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64",
}  # fmt: skip
"""numpy's names for torch's storages."""

ITEM_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}
"""Bytes of a number, where they are more than one."""

OLD_MAGIC = 0x1950A86A20F9469CFC6C
"""The first of the pickles in a row that torch.save wrote before it wrote archives."""

LARGEST = 512 * 2**20
DEEPEST = 100
"""How far modules lie in each other; a pickle may hold itself."""


@dataclass(frozen=True)
class Outline:
    """A tensor without its numbers."""

    shape: tuple[int, ...]
    dtype: str


class Named:
    """What stands for an object of a class, or for the result of a function, that a pickle names; `name` is `module.class`."""

    name: ClassVar[str] = ""
    state: dict[Any, Any]

    def __new__(cls, *given: Any, **options: Any) -> "Named":  # noqa: ARG004
        """Takes whatever the real one takes."""
        made = object.__new__(cls)
        made.state = {}
        return made

    def __init__(self, *given: Any, **options: Any) -> None:
        """Ignores what it is given."""

    def __call__(self, *given: Any, **options: Any) -> "Named":  # noqa: ARG002
        """Where it is a function that the pickle calls."""
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None:
        self.state[key] = value

    def append(self, value: Any) -> None:
        """Where the class is a list."""

    def extend(self, values: Any) -> None:
        """Where the class is a list."""


def outline(path: Path) -> Any:
    """What torch.save or pickle has put into a file, tensors as `Outline` and objects as `Named`. UserError where it can't be read."""
    check_sizes(path)
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return _in_file(file)
        with zipfile.ZipFile(path) as archive:
            return in_archive(archive, next(name for name in archive.namelist() if name.endswith("/data.pkl")))
    except StopIteration:
        raise UserError(f"{path}: is a zip archive of something else than a network") from None
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as a file of torch.save: {first_line(error)}") from None


def in_archive(archive: zipfile.ZipFile, name: str) -> Any:
    """What one pickle in an archive holds. Raises what is among `DAMAGED`."""
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} is larger than any real one")
    return _Unpickler(io.BytesIO(archive.read(name))).load()


def check_storages(archive: zipfile.ZipFile, name: str) -> None:
    """Raises ValueError where the numbers that a pickle speaks of aren't all in the archive, which torch.jit doesn't look at."""
    reader = _Unpickler(io.BytesIO(archive.read(name)))
    reader.load()
    for key, (kind, numbers) in reader.storages.items():
        entry = f"{name.removesuffix('.pkl')}/{key}"
        there = archive.getinfo(entry).file_size if entry in archive.namelist() else 0
        if there < numbers * ITEM_BYTES.get(kind, 1):
            raise ValueError(f"{entry} holds {there} bytes, too few for {numbers} numbers of {kind}")


def _in_file(file: BinaryIO) -> Any:
    found = _Unpickler(file).load()
    if found != OLD_MAGIC:
        return found
    for _ in range(2):  # a version, and how the machine stores numbers
        _Unpickler(file).load()
    return _Unpickler(file).load()


def tensors(held: Any, name: str = "", depth: int = DEEPEST) -> Iterator[tuple[str, Outline]]:
    """Every tensor in what `outline` gives, by the name that a state dictionary has for it."""
    if isinstance(held, Outline):
        yield name, held
    elif isinstance(held, Named) and depth:
        for part in ("_parameters", "_buffers", "_modules"):
            yield from tensors(held.state.get(part), name, depth - 1)
    elif isinstance(held, dict) and depth:
        for key, value in held.items():
            yield from tensors(value, f"{name}.{key}" if name else str(key), depth - 1)


def _rebuild(storage: Any, offset: Any, size: Any, *rest: Any) -> Outline:  # noqa: ARG001  as torch calls it
    return Outline(tuple(int(each) for each in size), storage)


def _parameter(data: Any, *rest: Any) -> Any:  # noqa: ARG001
    return data


KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.jit._pickle", "restore_type_tag"): _parameter,
    ("torch", "Size"): tuple,
}
"""What builds plain values and tensors; nothing else is called."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[str, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        if module == "torch" and name.endswith("Storage"):
            return DTYPES.get(name.removesuffix("Storage"), name)
        return type("Named", (Named,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        """A storage's place in the file; its type says the numbers' dtype."""
        if isinstance(pid, tuple) and len(pid) > 4:
            self.storages[str(pid[2])] = (str(pid[1]), int(pid[4]))
        return pid[1] if isinstance(pid, tuple) and len(pid) > 1 else "unknown"
