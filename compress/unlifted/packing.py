"""Integers into a TFLite file, from ranges of our own.

Packed by Google's ai-edge-quantizer (https://github.com/google-ai-edge/ai-edge-quantizer).
"""

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from compress.lowering.quiet import quiet
from compress.quantization.parameters import Granularity
from compress.quantization.schemes import INTEGERS
from compress.reading.faults import UNFIT
from compress.unlifted.layers import Layer
from targets.base import Array
from targets.errors import UserError
from targets.formats.tflite import Graph
from targets.registry import first_line

EVERYWHERE = ".*"
OTHER_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
"""Operators that the packer calls by another name than the schema."""

Ranges = Mapping[str, tuple[Array, Array]]
"""The lowest and the highest value of tensors, by their names: one each, or one a channel in an array with the tensor's axes."""


class Form(NamedTuple):
    """What becomes of a layer: `scheme` is one of the pass's, or `float`; `bits` those of its weights."""

    scheme: str
    bits: int = 8
    granularity: Granularity = "channel"


@dataclass(frozen=True)
class Packer:
    """The packer for one file's graph."""

    content: bytes
    graph: Graph

    def can(self, layer: Layer, form: Form) -> bool:
        """Whether the packer has this form of a layer's operator."""
        from ai_edge_quantizer import algorithm_manager

        name, config, algorithm = self._rule(layer.operator.name, form)
        if name is None:
            return False
        try:
            algorithm_manager.check_op_quantization_config(algorithm, name, config)
        except ValueError:
            return False
        return True

    def pack(self, forms: Sequence[tuple[Layer, Form]], ranges: Ranges) -> bytes:
        """The file with each layer in its form. UserError with the packer's reason where it fails.

        Inputs and outputs are integers where what reads or makes them computes with integers.
        """
        from ai_edge_quantizer import quantizer

        known = {name: {"min": low, "max": high} for name, (low, high) in ranges.items()}
        try:
            with quiet():
                packing = quantizer.Quantizer(self.content)
                for layer, form in forms:
                    self._add(packing, self._scope(layer.operator.outputs), layer.operator.name, form)
                self._add_ports(packing, forms)
                made = packing.quantize(known, enable_progress_bar=False, enable_progress_report=False).quantized_model
        except UNFIT as error:
            raise UserError(f"quantize: ai-edge-quantizer can't pack this file: {first_line(error)}") from error
        return bytes(made)

    def _add_ports(self, packing: Any, forms: Sequence[tuple[Layer, Form]]) -> None:
        integer = [(layer, form) for layer, form in forms if form.scheme in INTEGERS]
        for index in self.graph.inputs:
            form = next((form for layer, form in integer if index in layer.operator.inputs), None)
            if form is not None:
                self._add(packing, self._scope([index]), "INPUT", form)
        for index in self.graph.outputs:
            form = next((form for layer, form in integer if index in layer.operator.outputs), None)
            if form is not None:
                self._add(packing, self._scope(self.graph.outputs), "OUTPUT", form)

    def _add(self, packing: Any, scope: str, operator: str, form: Form) -> None:
        name, config, algorithm = self._rule(operator, form)
        if name is not None and form.scheme != "float":
            packing.update_quantization_recipe(scope, name, config, algorithm)

    def _scope(self, tensors: Sequence[int]) -> str:
        return f"^{re.escape(';'.join(self.graph.tensors[index].name for index in tensors))};$"

    def _rule(self, operator: str, form: Form) -> tuple[Any, Any, Any]:
        """The packer's own words for an operator, a form and how it comes about."""
        from ai_edge_quantizer import algorithm_manager, qtyping

        def integers(bits: int, *, symmetric: bool = True, granularity: str = "TENSORWISE") -> Any:
            return qtyping.TensorQuantizationConfig(bits, symmetric, qtyping.QuantGranularity[granularity])

        names = {each.value: each for each in qtyping.TFLOperationName}
        scheme, bits, granularity = form
        algorithm = algorithm_manager.AlgorithmName.MIN_MAX_UNIFORM_QUANT
        activations, weights = None, integers(bits, granularity="CHANNELWISE" if granularity == "channel" else "TENSORWISE")
        if scheme in INTEGERS:
            kind = INTEGERS[scheme]
            activations = integers(16 if kind.levels > 256 else 8, symmetric=kind.symmetric)
        if scheme == "float16":
            algorithm = algorithm_manager.AlgorithmName.FLOAT_CASTING
            weights = qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT)
        computes = scheme in INTEGERS or scheme == "dynamic"
        config = qtyping.OpQuantizationConfig(
            activation_tensor_config=activations,
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.INTEGER if computes else qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=not computes,
        )
        return names.get(OTHER_NAMES.get(operator, operator)), config, algorithm


def version() -> str:
    """The packer's name and version."""
    return f"ai-edge-quantizer {importlib.metadata.version('ai-edge-quantizer')}"
