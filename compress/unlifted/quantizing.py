"""What the pass `quantize` does with a TFLite file that isn't lifted: our schemes, overrides and ranges, packed by ai-edge-quantizer."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.context import Context
from compress.model import Model, Step
from compress.quantization.overrides import Override
from compress.quantization.parameters import Affine, from_range
from compress.quantization.ranges import Histogram, observer
from compress.quantization.rounding import ROUNDINGS
from compress.quantization.schemes import INTEGERS
from compress.unlifted import packing
from compress.unlifted.calibration import observe
from compress.unlifted.layers import Layer, layers, weights
from compress.unlifted.network import Held, as_file, replaced
from compress.unlifted.packing import Form, Packer, Ranges
from compress.unlifted.weights import Grids
from targets.errors import UserError, did_you_mean
from targets.formats import tflite
from targets.formats.tflite import Graph

if TYPE_CHECKING:
    from compress.passes.quantize import Quantize

Forms = list[tuple[Layer, Form]]


def quantize(model: Model, held: Held, options: "Quantize", context: Context) -> Model:
    """The model that runs the quantized file; what it is compared with (`reference`) runs the float one.

    Raises UserError, before calibration, for an option or export that such a file can't have, an operator without integers, an override
    that matches nothing, and a layer in float where `full_integer` forbids it; and where the packer fails.
    """
    with as_file(held.content) as path:
        graphs = tflite.load_all(path)
        graph = graphs[0]
        _refuse_options(options, context.exports, len(graphs), held.why)
        forms = _forms(graph, Packer(held.content, graph), options)
        _refuse_floats(forms, options, context.exports)
        seen = observe(model, graph, context) if options.scheme in INTEGERS else {}
    made = _packed(held.content, graph, forms, options, seen)
    details: dict[str, Any] = {"layers": {layer.name: form.scheme for layer, form in forms}}
    lines = _said(forms, options)
    if seen:
        samples = context.data.calibration.samples
        details["calibration_samples"] = samples
        lines.append(f"calibrated on {samples} samples, ranges by {options.observer}, weights by {options.weight_observer}")
    lines.append(f"packed by {packing.version()}; still a TFLite file: {held.why}")
    return model.quantized(replaced(model, made), model.copy_graph(), Step("quantize", asdict(options), tuple(lines), details))


def _refuse_options(options: "Quantize", exports: Collection[str], graphs: int, why: str) -> None:
    chosen = {"engine": options.engine != "edgepress", "block": options.block is not None}
    for name in (name for name, given in chosen.items() if given):
        raise UserError(f"quantize: '{name}' needs a graph of torch's operators; this TFLite file has none ({why}): leave it out")
    if "onnx" in exports:
        raise UserError(f"quantize: this TFLite file can't become ONNX ({why}); leave 'onnx' out of 'export'")
    if graphs > 1:
        raise UserError(f"quantize: this TFLite file has loops or branches, which have to stay in float ({why}); leave 'quantize' out")


def _forms(graph: Graph, packer: Packer, options: "Quantize") -> Forms:
    """What becomes of each layer. Where the packer has no weights of 4 bits, they have 8."""
    found = [layer for layer in layers(graph) if layer.real]
    if options.scheme not in INTEGERS:
        eight = _form(options.scheme, options)._replace(bits=8)
        found = [layer for layer in found if weights(graph, layer.operator) is not None and packer.can(layer, eight)]
        if not found:
            raise UserError(f"quantize: scheme {options.scheme} changes weights of convolutions and dense layers, and there are none")
    _refuse_unmatched(found, options.overrides)
    forms = [(layer, _overridden(layer, options)) for layer in found]
    settled = [(layer, form if packer.can(layer, form) else form._replace(bits=8)) for layer, form in forms]
    for layer, form in settled:
        if form.scheme != "float" and not packer.can(layer, form):
            raise UserError(
                f"quantize: layer '{layer.name}': ai-edge-quantizer has no operator '{layer.kind}' of {form.scheme}; leave it in float "
                f"with 'overrides: [{{operator: {layer.kind}, scheme: float}}]'"
            )
    return settled


def _refuse_unmatched(found: Sequence[Layer], overrides: Sequence[Override]) -> None:
    for rule in overrides:
        if not any(rule.fits_layer(layer.name, layer.kind) for layer in found):
            word = rule.operator if rule.match is None else rule.match
            names = {layer.kind if rule.match is None else layer.name for layer in found}
            raise UserError(f"quantize: overrides: {rule} matches no layer; {did_you_mean(str(word), names)}")


def _overridden(layer: Layer, options: "Quantize") -> Form:
    form = _form(options.scheme, options)
    for rule in options.overrides:
        if rule.fits_layer(layer.name, layer.kind):
            if rule.scheme is not None:
                form = _form(rule.scheme, options)._replace(granularity=form.granularity)
            form = form._replace(granularity=rule.weight_granularity or form.granularity)
    return form


def _form(scheme: str, options: "Quantize") -> Form:
    bits = INTEGERS[scheme].weight_bits if scheme in INTEGERS else options.bits
    return Form(scheme, bits, options.weight_granularity)


def _refuse_floats(forms: Forms, options: "Quantize", exports: Collection[str]) -> None:
    real = [layer.name for layer, form in forms if form.scheme == "float"]
    if real and (options.full_integer or (options.full_integer is None and "c" in exports)):
        why = "" if options.full_integer else ", as 'c' among the exports makes it"
        raise UserError(
            f"quantize: full_integer is true{why}, but overrides leave layers in float: {', '.join(real)}; set 'full_integer: false', or "
            "replace them in the network that the file was made of"
        )


def _packed(content: bytes, graph: Graph, forms: Forms, options: "Quantize", seen: Mapping[int, Histogram]) -> bytes:
    chosen = _activations(forms, options, seen)
    settled, ranges = Grids(options.weight_observer, ROUNDINGS[options.weight_rounding], chosen).settle(content, graph, forms)
    made = Packer(settled, graph).pack(forms, {**_ends(graph, seen, chosen), **ranges})
    with as_file(made) as path:
        floats = [layer.name for layer in layers(tflite.load(path)) if layer.real]
    if floats and all(form.scheme in INTEGERS for _, form in forms):
        raise UserError(f"quantize: layer '{floats[0]}': ai-edge-quantizer left it in float; do so with 'overrides'")
    return made


def _activations(forms: Forms, options: "Quantize", seen: Mapping[int, Histogram]) -> dict[int, Affine]:
    """Scales of what layers in integers take and make, their ranges by the pass's observer."""
    schemes = {index: form.scheme for layer, form in reversed(forms) for index in layer.operator.inputs}
    schemes |= {index: form.scheme for layer, form in forms for index in layer.operator.outputs}
    choose, found = observer(options.observer), dict[int, Affine]()
    for index, histogram in seen.items():
        if schemes.get(index) in INTEGERS and histogram.batches:
            integers = INTEGERS[schemes[index]]
            found[index] = from_range(*choose(histogram, integers.levels), integers)
    return found


def _ends(graph: Graph, seen: Mapping[int, Histogram], chosen: Mapping[int, Affine]) -> Ranges:
    """The real numbers that the lowest and highest integers stand for; the extremes of what stays in float."""
    found = {index: (histogram.low, histogram.high) for index, histogram in seen.items()}
    for index, affine in chosen.items():
        lowest, highest = ((end - affine.zero_point) * affine.scale for end in (affine.integers.lowest, affine.integers.highest))
        found[index] = lowest, highest
    return {graph.tensors[index].name: (np.full(1, low, np.float32), np.full(1, high, np.float32)) for index, (low, high) in found.items()}


def _said(forms: Forms, options: "Quantize") -> list[str]:
    """Lines for people: how many operators have each scheme, which are left in float, and which have wider weights than was asked."""
    counts = Counter(form.scheme for _, form in forms)
    lines = [f"{count} operators to {scheme}" for scheme, count in counts.items() if scheme != "float"]
    left = [layer.name for layer, form in forms if form.scheme == "float"]
    wide = [layer.name for layer, form in forms if form.scheme != "float" and form.bits > _form(form.scheme, options).bits]
    for what, names in (("left in float by overrides", left), ("weights of 8 bits, since ai-edge-quantizer has none of 4 there", wide)):
        lines += [f"{what}: {', '.join(names)}"] if names else []
    return lines
