"""From a torch graph to TFLite bytes with litert-torch, quantize/dequantize pairs made integer operators."""

from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from compress.lowering import batchnorm, litert_direct, own_insertion, stored_weights
from compress.lowering.constants import expand
from compress.lowering.layout import CHANNELS_FIRST, CHANNELS_LAST
from compress.lowering.nodes import maker, operator_name
from compress.lowering.quiet import quiet
from compress.lowering.refusals import CONVERTER_ERRORS, refused
from compress.lowering.simplify import simplify
from compress.model import Model, layer_name

CURE = "leave 'tflite' and 'c' (which is made from it) out of 'export', or replace the operator in the network"


class ChannelsLast(torch.nn.Module):
    """The network with NHWC inputs and outputs, wherever they have four axes."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.network = graph

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Rearranges what goes in and comes out."""
        with fx.traceback.preserve_node_meta():
            outputs = fx.Interpreter(self.network).run(*(_permute(value, CHANNELS_FIRST) for value in inputs))
        return pytree.tree_map_only(torch.Tensor, lambda value: _permute(value, CHANNELS_LAST), outputs)


def convert(model: Model, channels_last: bool) -> bytes:
    """The model as litert-torch writes it, batch size 1, integer operators where its graph has integers.

    Raises ExportError naming the layer and operator that TFLite hasn't.
    """
    graph = model.copy_graph()
    simplify(graph)
    batchnorm.fold(graph)
    stored_weights.make_real(graph)
    own_insertion.insert(graph)
    expand(graph)
    for constant in (*graph.parameters(), *graph.buffers()):
        constant.data = constant.data.contiguous()  # of any other the converter reads a copy that may be gone
    for node in graph.graph.nodes:
        node.meta["nn_module_stack"] = {"": ("", layer_name(maker(node)))}
    integers = any(operator_name(node).startswith("quantize_per") for node in graph.graph.nodes)
    module = ChannelsLast(graph) if channels_last else graph
    sample = tuple(_permute(value, CHANNELS_LAST).contiguous() if channels_last else value for value in model.sample())
    try:
        with quiet():
            return _litert(module.train(False), sample, integers, plain=litert_direct.is_plain(graph))
    except CONVERTER_ERRORS as error:
        raise refused(model.graph, "TFLite", error, CURE, lambda single, inputs: _litert(single, inputs, False, plain=False)) from error


def _litert(module: torch.nn.Module, sample: tuple[torch.Tensor, ...], integers: bool, *, plain: bool) -> bytes:
    import litert_torch
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig

    from compress.lowering import litert_layout

    litert_layout.register()
    litert_torch.config.show_progress = False
    # the quantizer itself isn't used: it tells the converter that quantize/dequantize pairs are static
    static = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True)))
    quantization = static if integers else None
    if plain:
        return bytes(litert_direct.convert(module, sample, quantization).to_bytes())
    converted: Any = litert_torch.convert(module, sample, quant_config=quantization)
    return bytes(converted._exporter.to_bytes())  # noqa: SLF001  the public call writes a file only


def _permute(value: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    return value.permute(order) if value.dim() == 4 else value
