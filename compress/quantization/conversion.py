"""From a float graph to one with integers in it: observers in, calibration batches through, quantize/dequantize pairs out (PT2E)."""

from collections.abc import Iterable

import torch
from torch import fx
from torch._subclasses import FakeTensorMode

from compress.lowering.nodes import add_constant, constant, drop_unused, is_constant, operator_name
from compress.lowering.quiet import quiet


def quantize(
    graph: fx.GraphModule, integer: frozenset[fx.Node], observer: str, weight_observer: str, batches: Iterable[tuple[torch.Tensor, ...]]
) -> fx.GraphModule:
    """The graph with quantize/dequantize pairs around the nodes in `integer`; `graph` is used up.

    Weights (int8) and biases (int32) are stored as integers under their own names, scales and zero points beside them
    (`conv.weight_scale`, `conv.weight_zero_point`).
    """
    with quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        from compress.quantization.annotator import Annotator

        _fake_values(graph)
        prepared = prepare_pt2e(graph, Annotator(integer, observer, weight_observer))
    with torch.no_grad():
        for batch in batches:
            prepared(*batch)
    with quiet():
        converted = convert_pt2e(prepared, fold_quantize=False)
    # a fresh module, since torchao's refuses train() and eval()
    quantized = fx.GraphModule(converted, converted.graph)
    _store_integers(quantized)
    return quantized


def _fake_values(graph: fx.GraphModule) -> None:
    # PT2E looks for torch.export's kind of metadata
    mode = FakeTensorMode()
    for node in graph.graph.nodes:
        if isinstance(node.meta.get("val"), torch.Tensor):
            node.meta["val"] = mode.from_tensor(node.meta["val"])


def _store_integers(graph: fx.GraphModule) -> None:
    """Replaces quantize nodes of constants by the integers, so that weights are kept once and small."""
    for node in list(graph.graph.nodes):
        if not operator_name(node).startswith("quantize_per") or not is_constant(node.args[0]):
            continue
        name = str(node.args[0].target)
        arguments = [constant(graph, value) if is_constant(value) else value for value in node.args]
        integers = node.target(*arguments)
        with graph.graph.inserting_before(node):
            stored = add_constant(graph, name, integers)
            parameters = [
                add_constant(graph, f"{name}_{part}", constant(graph, value)) if is_constant(value) else value
                for part, value in zip(("scale", "zero_point"), node.args[1:3], strict=True)
            ]
        for user in list(node.users):
            user.args = (stored, *parameters, *user.args[3:])
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    drop_unused(graph)
    graph.recompile()
