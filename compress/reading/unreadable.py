"""Why nothing here reads a source: what it is instead, told by its content, and what to do about it."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from compress.reading.pickles import Named, outline, tensors
from targets.errors import UserError
from targets.formats import onnx

WITH_CLASS = "it holds weights without their network: name its factory (package.module:name) as 'source' and this file as 'weights'"
AGAIN = "download or copy it again"
HEAD = 4096


def explain(path: Path) -> str:
    """One line: what lies at the path, and the cure."""
    if path.is_dir():
        return _folder(path)
    size, head = path.stat().st_size, _head(path)
    if not size:
        return f"is an empty file; {AGAIN}"
    return next((said for starts, said in STARTS if starts(head)), "") or _of_zip(path, head) or _damaged(path)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def only_named(path: Path, ending: str) -> bool:
    """Whether a file's ending is all there is to go by: the content isn't something else's."""
    if path.suffix != ending or not path.is_file():
        return False
    head = _head(path)
    known = zipfile.is_zipfile(path) or head.startswith(b"\x89HDF") or head[4:8] == b"TFL3" or is_pickle(head) or onnx.is_onnx(path)
    return bool(head) and not known and not any(starts(head) for starts, _ in STARTS)


def is_safetensors(head: bytes) -> bool:
    """Whether a file starts as safetensors do: the length of a header, then its JSON."""
    return head[8:10] in (b'{"', b"{}") and int.from_bytes(head[:8], "little") < 100 * 2**20


def is_pickle(head: bytes) -> bool:
    """Whether a file starts as pickles of protocol 2 and newer do."""
    return head[:1] == b"\x80" and 2 <= (head[1] if len(head) > 1 else 0) <= 5


def _starting(*words: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.lstrip().lower().startswith(words)


STARTS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_starting(b"version https://git-lfs"), "is a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'"),
    (_starting(b"<!doctype html", b"<html"), f"is a web page, not a network: a download ended at a page; {AGAIN} by its direct address"),
    (is_safetensors, f"is a .safetensors file: {WITH_CLASS}"),
    (_starting(b"\x93numpy"), "is an array of numpy, not a network"),
    (_starting(b"\x1f\x8b", b"7z\xbc\xaf", b"rar!", b"bzh"), "is a packed archive; unpack it and name the network in it"),
)
"""How files start that are no network by themselves, and what to say."""


def _of_zip(path: Path, head: bytes) -> str | None:
    """What torch.save and numpy write."""
    if head.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        return f"is an archive without its end; {AGAIN}"
    if not head.startswith(b"PK\x03\x04") and not is_pickle(head):
        return None
    try:
        held = outline(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    found = sum(1 for _ in tensors(held))
    if isinstance(held, dict) and found:
        kind = "checkpoint of Lightning" if "pytorch-lightning_version" in held else "checkpoint"
        return f"is a {kind} with {found} tensors: {WITH_CLASS}"
    what = f"a pickled {held.name}" if isinstance(held, Named) else f"a pickled {type(held).__name__}"
    return f"is {what}, not a network; save one with torch.export.save"


def _folder(path: Path) -> str:
    held = sorted(entry.name for entry in path.iterdir())
    if "model.json" in held and _is_generated(path):
        return "is C that edgepress wrote; measure it with `edgepress profile`, and name the network that it was made of as the source"
    some = f"holds {', '.join(held[:3])}{' …' if len(held) > 3 else ''}" if held else "is an empty folder"
    return f"{some}, which is no network; folders of transformers (config.json, model.safetensors) and SavedModels (saved_model.pb) are"


def _is_generated(path: Path) -> bool:
    try:
        return "arena_bytes" in json.loads((path / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _damaged(path: Path) -> str:
    if path.name == "saved_model.pb":
        return "belongs to a SavedModel; name its folder as the source"
    if path.suffix == ".pb":
        return "is no network that can be read; of TensorFlow, SavedModel folders are"
    return "holds no network that can be read; it may be damaged"
