"""Quantizers side by side: each takes a float torch network and calibration samples and leaves a file, by its documented defaults.

What a function does is all that is timed: from the torch network (eval mode) and the samples (float32 [N, …]) to the file's last byte.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import compress
from compress.data.base import Data, Split
from compress.lowering.quiet import quiet
from compress.model import Model
from targets import formats
from targets.base import Array, Artifact

BATCH = 50


@dataclass(frozen=True)
class Task:
    """What to quantize, how (`passes` are ours, for the others the scheme's name is enough), and the folder for files."""

    network: torch.nn.Module
    calibration: Array
    scheme: str
    passes: list[Any]
    folder: Path

    @property
    def sample(self) -> tuple[torch.Tensor]:
        """One sample, to trace with."""
        return (torch.from_numpy(self.calibration[:1]),)

    def batches(self) -> Iterator[torch.Tensor]:
        """The calibration samples for tools that take batches."""
        for start in range(0, len(self.calibration), BATCH):
            yield torch.from_numpy(self.calibration[start : start + BATCH])


@dataclass(frozen=True)
class Made:
    """A file, and where it is ours the model that it was exported from."""

    artifact: Artifact
    model: Model | None = None


def split(inputs: Array, labels: Array) -> Split:
    """Samples in memory as a part of the data."""
    return Split(len(inputs), lambda rows: ((inputs[rows],), labels[rows]))


def data(calibration: Array, evaluation: Split) -> Data:
    """What our own API takes; nothing is trained."""
    unlabelled = split(calibration, np.zeros(len(calibration), np.int64))
    return Data("benchmark", unlabelled.first(0), unlabelled, evaluation, "benchmark")


def edgepress(task: Task) -> Made:
    """Ours: load, the passes of the scheme, export."""
    given = data(task.calibration, split(task.calibration[:1], np.zeros(1, np.int64)))
    model = compress.apply(compress.load(task.network, given), given, *task.passes)
    return Made(compress.export(model, "tflite", task.folder), model)


def ai_edge_quantizer(task: Task) -> Made:
    """litert-torch's float conversion, then ai-edge-quantizer's recipe for the scheme."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    recipes = {
        "int8": recipe.static_wi8_ai8,
        "int16x8": recipe.static_wi8_ai16,
        "dynamic": recipe.dynamic_wi8_afp32,
        "weight_only": recipe.weight_only_wi8_afp32,
    }
    with quiet():
        before, after = task.folder / "float.tflite", task.folder / "quantized.tflite"
        litert_torch.convert(task.network, task.sample).export(str(before))
        tool = quantizer.Quantizer(str(before), recipes[task.scheme]())
        ranges = tool.calibrate({"serving_default": [{"args_0": row[None]} for row in task.calibration]})
        tool.quantize(ranges).export_model(str(after))
    return Made(formats.read(after))


def litert_torch(task: Task) -> Made:
    """litert-torch's own PT2E quantizer, static and per channel, and its conversion."""
    import litert_torch as tool
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    path = task.folder / "quantized.tflite"
    with quiet(), torch.no_grad():
        quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
        batch = (next(task.batches()),)
        exported = torch.export.export(task.network, batch, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        prepared = prepare_pt2e(exported.module(), quantizer)
        for inputs in task.batches():
            prepared(inputs)
        converted = convert_pt2e(prepared, fold_quantize=False)
        tool.convert(converted, task.sample, quant_config=QuantConfig(pt2e_quantizer=quantizer)).export(str(path))
    return Made(formats.read(path))


def onnxruntime(task: Task) -> Made:
    """torch's ONNX exporter, then ONNX Runtime's pre-processing and quantize_static: QDQ, per channel, min-max."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(task.calibration)

        def get_next(self) -> dict[str, Array] | None:
            row = next(self.rows, None)
            return None if row is None else {"input": row[None]}

    before, prepared, after = (task.folder / f"{name}.onnx" for name in ("float", "prepared", "quantized"))
    with quiet():
        torch.onnx.export(task.network, task.sample, before, dynamo=True, input_names=["input"], external_data=False)
        quant_pre_process(str(before), str(prepared))
        if task.scheme == "dynamic":
            quantize_dynamic(str(prepared), str(after), per_channel=True)
        else:
            activations = QuantType.QInt16 if task.scheme == "int16x8" else QuantType.QInt8
            quantize_static(str(prepared), str(after), Reader(), per_channel=True, activation_type=activations, weight_type=QuantType.QInt8)
    return Made(formats.read(after))


def neural_compressor(task: Task) -> Made:
    """Neural Compressor's static quantization through PT2E; its file is the exported program, run in torch."""
    from neural_compressor.torch.export import export
    from neural_compressor.torch.quantization import convert, get_default_static_config, prepare

    path = task.folder / "quantized.pt2"
    with quiet(), torch.no_grad():
        batch = (next(task.batches()),)
        exported = export(task.network, example_inputs=batch, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        prepared = prepare(exported, quant_config=get_default_static_config())
        for inputs in task.batches():
            prepared(inputs)
        torch.export.save(torch.export.export(convert(prepared), batch, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), path)
    return Made(Artifact(path, "pt2", formats.sha256([path]), path.stat().st_size, (), ()))


TOOLS: dict[str, Callable[[Task], Made]] = {
    "edgepress": edgepress,
    "ai-edge-quantizer": ai_edge_quantizer,
    "litert-torch": litert_torch,
    "onnxruntime": onnxruntime,
    "neural-compressor": neural_compressor,
}
