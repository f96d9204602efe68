"""Folders that `save_pretrained` of Hugging Face's transformers wrote."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.reading.faults import DAMAGED
from compress.reading.inputs import Input
from targets.errors import UserError
from targets.registry import first_line

MEASURED = ("pixel_values", "input_values")
"""Inputs that are measured numbers, as data here are: images [N, 3, H, W] and sound [N, samples]. Others are whole numbers of words."""

LARGEST_CONFIGURATION = 16 * 2**20

BUILT_IN = ("eager", "sdpa")
"""Ways to compute attention and experts that transformers has itself; it would load the code of any other from somewhere else."""


def is_folder(path: Path) -> bool:
    """Whether a folder's `config.json` names architectures, as transformers' does."""
    try:
        return path.is_dir() and bool(configuration(path).get("architectures"))
    except UserError:
        return (path / "model.safetensors").is_file()


def configuration(path: Path, name: str = "config.json") -> dict[str, Any]:
    """What one of the folder's JSON files says. UserError where it can't be read."""
    file = path / name
    try:
        if file.stat().st_size > LARGEST_CONFIGURATION:
            raise UserError(f"{file}: is larger than any configuration")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: is no JSON: {first_line(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: is no configuration of transformers")
    return content


def inputs(path: Path) -> tuple[Input, ...] | None:
    """The image that the configuration, or that of the preprocessor, tells; None where neither does."""
    found = configuration(path)
    sizes = [found.get("image_size")]
    if (path / "preprocessor_config.json").is_file():
        prepared = configuration(path, "preprocessor_config.json")
        sizes += [prepared.get("crop_size"), prepared.get("size")]
    shape = next((shape for size in sizes if (shape := _height_and_width(size))), None)
    channels = found.get("num_channels", 3)
    return (Input("pixel_values", (1, channels, *shape)),) if shape and isinstance(channels, int) else None


def _height_and_width(size: Any) -> tuple[int, int] | None:
    if isinstance(size, dict):
        size = [size.get("height"), size.get("width")] if "height" in size else size.get("shortest_edge")
    pair = [size, size] if isinstance(size, int) else size
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, int) and each > 0 for each in pair):
        return pair[0], pair[1]
    return None


class Logits(nn.Module):
    """A classifier's logits [N, classes] for its one input. Parameters keep the names that they have in the network."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers  # noqa: SLF001  shared, so that no name gets longer
        self.network, self.name = (network.forward,), name

    def forward(self, values: torch.Tensor) -> Any:
        """What the network calls logits."""
        return self.network[0](**{self.name: values}).logits


def network(path: Path, *, trust: bool) -> tuple[nn.Module, tuple[str, ...] | None]:
    """The folder's classifier and its classes' names. UserError with the cure where it can't be built."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of its dependencies
            import transformers
    except ImportError:
        raise UserError(f"{path}: a folder of transformers needs that package; pip install 'edgepress[transformers]'") from None
    found = configuration(path)
    if not trust:
        _check_plans(path, found)
    builder, options = _builder(path, found, transformers, trust=trust)
    options["use_safetensors"] = _has_safetensors(path)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):  # of transformers about its own plans
            built, told = builder.from_pretrained(path, local_files_only=True, dtype=torch.float32, output_loading_info=True, **options)
    except Exception as error:
        raise UserError(f"{path}: transformers can't build this network: {first_line(error)}") from error
    _check(path, built, told)
    names = tuple(str(name) for _, name in sorted(built.config.id2label.items()))
    return Logits(built.eval(), built.main_input_name), None if names == tuple(f"LABEL_{i}" for i in range(len(names))) else names


def _check_plans(path: Path, found: dict[str, Any]) -> None:
    """UserError where the folder would make transformers load code that neither it nor the architecture has."""
    cure = "say 'trust: true' under 'model' if you know who made it (it may then run any code)"
    if (path / "adapter_config.json").is_file():
        raise UserError(f"{path}: has an adapter (adapter_config.json), which another package loads; merge it into the network, or {cure}")
    waiting: list[tuple[str, Any]] = [("", found)]
    while waiting:
        key, value = waiting.pop()
        if key == "quantization_config" and value is not None:
            raise UserError(f"{path}: 'quantization_config' asks for another package's code; save the network in floating point, or {cure}")
        if "_implementation" in key and isinstance(value, str) and value not in BUILT_IN:
            raise UserError(f"{path}: '{key}' asks for the code '{value}'; write 'eager' there, or {cure}")
        if isinstance(value, dict):
            waiting += [(key if "_implementation" in key else name, inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(key, inner) for inner in value]


def _builder(path: Path, found: dict[str, Any], transformers: Any, *, trust: bool) -> tuple[Any, dict[str, Any]]:
    name = str(found["architectures"][0]) if isinstance(found.get("architectures"), list) and found["architectures"] else "none"
    builder = getattr(transformers, name, None)
    if isinstance(builder, type) and issubclass(builder, transformers.PreTrainedModel):
        return builder, {}
    own = found.get("auto_map")
    pairs = own.items() if isinstance(own, dict) else ()
    key = next((key for key, value in pairs if str(value).endswith(f".{name}") and hasattr(transformers, str(key))), None)
    if key is None:
        raise UserError(f"{path}: transformers {transformers.__version__} has no architecture '{name}'; build it by a factory of your own")
    if not trust:
        raise UserError(
            f"{path}: architecture '{name}' is code in the folder itself; say 'trust: true' under 'model' if you know who made it "
            "(it may then run any code)"
        )
    return getattr(transformers, key), {"trust_remote_code": True}


def _has_safetensors(path: Path) -> bool:
    """Whether weights are safetensors; UserError where there are none, or their pickle holds more than tensors."""
    if list(path.glob("model*.safetensors")):
        return True
    pickles = sorted(path.glob("pytorch_model*.bin"))
    if not pickles:
        raise UserError(f"{path}: holds no model.safetensors; save the network again with save_pretrained")
    for file in pickles:
        try:
            torch.load(file, map_location="meta", weights_only=True)
        except DAMAGED:
            cure = "save the network again with save_pretrained(…, safe_serialization=True)"
            raise UserError(f"{file}: holds more than tensors, so loading it could run code; {cure}") from None
    return False


def _check(path: Path, built: Any, told: dict[str, Any]) -> None:
    kind = type(built).__name__
    if built.main_input_name not in MEASURED:
        cure = "networks of images and sound are read"
        raise UserError(f"{path}: {kind} takes whole numbers ('{built.main_input_name}'), and data here are float32; {cure}")
    if not kind.endswith("Classification"):
        raise UserError(f"{path}: {kind} is no classifier; wrap what you need of it in a factory of your own")
    if told["missing_keys"]:
        raise UserError(f"{path}: tensor '{sorted(told['missing_keys'])[0]}' of the network is missing (of {len(told['missing_keys'])})")
