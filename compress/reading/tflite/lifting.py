"""From a TFLite file to a model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from compress.lowering.nodes import operator_name
from compress.model import Model, capture, first_output, refresh
from compress.reading.faults import UNFIT
from compress.reading.folding import fold
from compress.reading.layout import fits
from compress.reading.tflite import pairs
from compress.reading.tflite.loops import unrolled
from compress.reading.tflite.network import TfliteNetwork
from compress.reading.tflite.values import UnliftedError
from compress.reading.tidy import cancel
from compress.unlifted import network as unlifted
from targets.base import Artifact
from targets.errors import UserError
from targets.formats import tflite
from targets.registry import first_line

INTEGER_CURE = (
    "`edgepress profile`, `edgepress targets check` and `edgepress compile` take this file of integers as it is; for passes and other "
    "formats start from the network in floating point that it was made of"
)


def lift(path: Path, example: Sequence[torch.Tensor], source: Path, name: str) -> Model:
    """The network of a file, captured with one sample for each input, its batch axis free unless the file mixes it with others.

    A quantized file keeps its integers and scales, and the network counts as quantized. A float file with an operator that torch hasn't
    becomes a network of one operator, which runs the file (`compress.unlifted`). UserError naming `source` for a damaged file, one that
    LiteRT can't run either, integers in an operator that isn't known, or inputs that are not the data's.
    """
    _check(tflite.read(path), example, source)
    try:
        return _lifted(TfliteNetwork(unrolled(tflite.load_all(path)), example), example, name)
    except UnliftedError as error:
        why = str(error)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    except UNFIT as error:
        why = f"can't be lifted to torch: {first_line(error)}"
    if _has_integers(path):
        raise UserError(f"{source}: {why}; {INTEGER_CURE}")
    try:
        return unlifted.capture(path, example, name, why)
    except UserError as error:
        said = str(error).removeprefix(f"{path}: ")
        raise UserError(f"{source}: {why}; nor can it stay a TFLite file: {said}") from None


def _lifted(network: TfliteNetwork, example: Sequence[torch.Tensor], name: str) -> Model:
    network.single = not _takes_more(network, example)
    model = capture(network, tuple(example), name)
    fold(model.graph, keep=lambda node: operator_name(node).startswith("dequantize_per"))
    refresh(model.graph, model.example)
    cancel(model.graph)
    refresh(model.graph, model.example)
    if not network.grids:
        return model
    pairs.complete(model.graph)
    refresh(model.graph, model.example)
    return replace(model, stage="quantized")


def _takes_more(network: TfliteNetwork, example: Sequence[torch.Tensor]) -> bool:
    """Whether two different samples together give what each gives alone: a file for one sample may mix samples up."""
    network.rounds = False  # a sum in another order may round to another integer
    others = [(0.5 * tensor.flatten().roll(1)).reshape(tensor.shape) for tensor in example]
    with torch.no_grad():
        alone = torch.cat([first_output(network(*sample)) for sample in (example, others)])
        try:
            both = first_output(network(*(torch.cat(pair) for pair in zip(example, others, strict=True))))
        except (UserError, RuntimeError, ValueError, IndexError):
            return False
        finally:
            network.rounds = True
    return both.shape == alone.shape and torch.allclose(both, alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


def _check(artifact: Artifact, example: Sequence[torch.Tensor], source: Path) -> None:
    if len(artifact.inputs) != len(example):
        raise UserError(f"{source}: takes {len(artifact.inputs)} inputs, the data gives {len(example)}")
    for tensor, given in zip(artifact.inputs, example, strict=True):
        if not fits(tuple(given.shape), tensor.shape):
            raise UserError(f"{source}: takes samples of shape {list(tensor.shape[1:])}, the data's are {list(given.shape[1:])}")


def _has_integers(path: Path) -> bool:
    return any(tensor.quantization is not None for graph in tflite.load_all(path) for tensor in graph.tensors)
