"""Says to PT2E where integers are and what they look like, following the operators' rules."""

from typing import Any

import torch
from torch import fx
from torchao.quantization.pt2e.quantizer import (
    DerivedQuantizationSpec,
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from compress.lowering.nodes import argument
from compress.quantization.observers import ActivationObserver, PerChannelWeightObserver, bias_scales
from compress.quantization.operators import Rule, rule
from compress.quantization.scales import Place, share

INT32_LIMIT = 2**31 - 129
"""The largest int32 that float32 holds without rounding up past the end."""


class Annotator(Quantizer):  # type: ignore[misc]  # torchao has no types
    """Annotates the nodes in `integer`, all of which have a rule; every other node stays in float."""

    def __init__(self, integer: frozenset[fx.Node], observer: str, weight_observer: str) -> None:
        super().__init__()
        self.integer = integer
        self.activation = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-128,
            quant_max=127,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=ActivationObserver.with_args(method=observer),
        )
        self.weight_observer = weight_observer

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Writes an annotation on each node that makes or reads integers."""
        scales = share(model.graph, self.integer)
        first: dict[Place, Place] = {}
        specs: dict[Place, Any] = {}
        for place in scales.parents:
            root = scales.root(place)
            if root in first:
                specs[place] = SharedQuantizationSpec(first[root])
            else:
                first[root] = place
                fixed = scales.fixed_for(place)
                specs[place] = self.activation if fixed is None else _fixed(fixed)
        for node in model.graph.nodes:
            inputs = {place[0]: spec for place, spec in specs.items() if isinstance(place, tuple) and place[1] is node}
            if node in self.integer:
                inputs |= self._weights(node)
            if inputs or node in specs:
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map=inputs, output_qspec=specs.get(node), allow_implicit_sharing=False, _annotated=True
                )
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing is left to check: the nodes were chosen by their rules."""

    def _weights(self, node: fx.Node) -> dict[fx.Node, Any]:
        found = rule(node)
        if found is None or found.channel_axis is None:
            return {}
        weight: Any = node.args[1]
        bias = argument(node, "bias")
        specs: dict[fx.Node, Any] = {
            weight: QuantizationSpec(
                dtype=torch.int8,
                quant_min=-127,
                quant_max=127,
                qscheme=torch.per_channel_symmetric,
                ch_axis=found.channel_axis,
                observer_or_fake_quant_ctr=PerChannelWeightObserver.with_args(method=self.weight_observer),
            )
        }
        if isinstance(bias, fx.Node):
            specs[bias] = DerivedQuantizationSpec(
                derived_from=[(node.args[0], node), (weight, node)],
                derive_qparams_fn=bias_scales,
                dtype=torch.int32,
                quant_min=-INT32_LIMIT,
                quant_max=INT32_LIMIT,
                qscheme=torch.per_channel_symmetric,
                ch_axis=0,
            )
        return specs


def _fixed(found: Rule) -> FixedQParamsQuantizationSpec:
    scale = (found.highest - found.lowest) / 256
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8,
        scale=scale,
        zero_point=round(-128 - found.lowest / scale),
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
    )
