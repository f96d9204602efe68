"""Files of weights without their network: their tensors, and what family of networks they look like."""

import json
import re
from pathlib import Path

from compress.inspecting.findings import Weight
from compress.reading.faults import DAMAGED
from compress.reading.pickles import Named, outline, tensors
from compress.reading.torchscript.archive import is_script, names
from compress.reading.unreadable import is_pickle, is_safetensors
from targets.errors import UserError

FAMILIES = {
    "ResNet": r"layer[1-4]\.\d+\.(conv|downsample|shortcut)",
    "MobileNetV2 (torchvision)": r"features\.\d+\.conv\.\d+\.\d+\.weight",
    "MobileNetV3 (torchvision)": r"features\.\d+\.block\.\d+\.",
    "EfficientNet": r"(_blocks|blocks\.\d+)\.\d+\.(_expand_conv|_project_conv|conv_pwl?|conv_dw|se\.)",
    "DenseNet": r"denseblock\d+\.denselayer\d+",
    "VGG or AlexNet": r"features\.\d+\.weight.*classifier\.[146]\.weight",
    "ViT": r"(patch_embed|patch_embeddings|conv_proj).*(cls_token|class_token|pos_embed|position_embeddings)|blocks\.\d+\.attn\.qkv",
    "BERT": r"encoder\.layer\.\d+\.attention\.self\.query",
    "YOLO (Ultralytics)": r"model\.\d+\.(cv\d|m\.\d+)\.",
    "recurrent": r"weight_ih_l0",
}
"""Names that families of networks have, as patterns in the sorted list of all names."""

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I8": "int8",
    "U8": "uint8",
}


def read(path: Path) -> tuple[str, tuple[Weight, ...]] | None:
    """What kind of file it is and its tensors, without loading or running anything; None where it isn't one of weights alone."""
    with path.open("rb") as file:
        head = file.read(16)
    if is_safetensors(head):
        return "weights without their network (.safetensors)", _safetensors(path)
    if not is_pickle(head) and ("data.pkl" not in names(path) or is_script(path)):
        return None
    held = outline(path)
    found = tuple(Weight(name, tensor.shape, tensor.dtype) for name, tensor in tensors(held))
    if not found:
        return None
    return (f"a pickled {held.name}" if isinstance(held, Named) else "a checkpoint: weights without their network"), found


def _safetensors(path: Path) -> tuple[Weight, ...]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        described = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max((int(entry["data_offsets"][1]) for _, entry in described), default=0) > path.stat().st_size:
            raise ValueError("it ends before its tensors do")
        return tuple(Weight(name, tuple(map(int, entry["shape"])), DTYPES.get(entry["dtype"], entry["dtype"])) for name, entry in described)
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as safetensors: {error or type(error).__name__}") from None


def family(found: tuple[Weight, ...]) -> str | None:
    """The family of networks whose names these are; a guess."""
    names = " ".join(sorted(weight.name for weight in found))
    return next((name for name, pattern in FAMILIES.items() if re.search(pattern, names)), None)
