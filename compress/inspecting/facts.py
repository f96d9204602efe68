"""What files say of themselves: who made them, in which version, of which operators."""

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from compress.reading import hugging_face
from compress.reading.faults import DAMAGED
from targets.errors import UserError

Facts = dict[str, str]
LARGEST = 64 * 2**20


def of_file(kind: str, path: Path) -> tuple[Facts, dict[str, int]]:
    """What the file of a reader (by the reader's name) says, and its own operators with their counts; empty where it says nothing."""
    read = READING.get(kind)
    return read(path) if read else ({}, {})


def _onnx(path: Path) -> tuple[Facts, dict[str, int]]:
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    versions = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    facts = {"producer": _producer(model), "opset": versions, "IR version": str(model.ir_version)}
    return {key: value for key, value in facts.items() if value}, _counts(node.op_type for node in model.graph.node)


def _producer(model: Any) -> str:
    """A name and a version; some programs write Python's None for what they don't know."""
    words = f"{model.producer_name} {model.producer_version}".split()
    return " ".join(word for word in words if word != "None")


def tflite(path: Path) -> tuple[Facts, dict[str, int]]:
    """A TFLite file's, quantized or not."""
    from targets.formats import tflite as reader

    graph = reader.load(path)
    dtypes = Counter(tensor.dtype for tensor in graph.tensors if tensor.data is not None)
    return {"schema": "TFLite 3", "stored tensors": _said(dtypes)}, _counts(operator.name for operator in graph.operators)


def _archive(path: Path, ending: str) -> dict[str, Any]:
    """One JSON file in a zip archive; nothing where it isn't there."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith(ending)), None)
            if name is None or archive.getinfo(name).file_size > LARGEST:
                return {}
            held = json.loads(archive.read(name))
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read: {error or type(error).__name__}") from None
    return held if isinstance(held, dict) else {}


def _exported(path: Path) -> tuple[Facts, dict[str, int]]:
    program = _archive(path, "models/model.json")
    version = program.get("schema_version") or {}
    facts = {"producer": f"torch {program.get('torch_version', '')}".strip()}
    if isinstance(version, dict) and "major" in version:
        facts["schema"] = f"torch.export {version['major']}.{version.get('minor', 0)}"
    return facts, {}


def _keras(path: Path) -> tuple[Facts, dict[str, int]]:
    if zipfile.is_zipfile(path):
        version = _archive(path, "metadata.json").get("keras_version")
        return ({"producer": f"Keras {version}"} if version else {}), {}
    return {}, {}


def _torchscript(path: Path) -> tuple[Facts, dict[str, int]]:
    from compress.reading.torchscript.archive import traced_with

    return {"producer": "torch.jit", "made by": "tracing" if traced_with(path) else "scripting, or tracing without its inputs kept"}, {}


def _hugging_face(path: Path) -> tuple[Facts, dict[str, int]]:
    found = hugging_face.configuration(path)
    facts = {"architecture": ", ".join(map(str, found.get("architectures", []))), "family": str(found.get("model_type", ""))}
    facts["producer"] = f"transformers {found.get('transformers_version', '')}".strip()
    return facts, {}


READING = {
    "onnx": _onnx,
    "tflite": tflite,
    "exported": _exported,
    "keras": _keras,
    "torchscript": _torchscript,
    "hugging_face": _hugging_face,
}


def _counts(names: Any) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
