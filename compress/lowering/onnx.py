"""From a torch graph to an ONNX model with torch's own exporter, and what its output needs before it is shipped."""

import json
from collections import Counter
from typing import Any

import torch
from torch import fx
from torch.export import Dim

from compress.lowering import batchnorm, onnx_integers, onnx_weights
from compress.lowering.constants import four_bit_weights
from compress.lowering.nodes import constant, operator_name, output_nodes
from compress.lowering.quiet import quiet
from compress.lowering.refusals import CONVERTER_ERRORS, refused
from compress.lowering.simplify import simplify
from compress.model import Model, layer_name
from compress.unlifted import network
from compress.version import versions
from targets.errors import ExportError

OPSET_OF_OTHER_INTEGERS = 21
"""The first that quantizes to int16 and has int4."""
CURE = "leave 'onnx' out of 'export', or replace the operator in the network"


def convert(model: Model, opset: int) -> bytes:
    """The model as one ONNX file. ExportError naming the layer and operator that ONNX hasn't.

    Batch axes are called "batch" where the model leaves them free. Integers stay stored as integers (weights of 4 bits two a byte),
    read through DequantizeLinear, or Cast and Mul where activations are float; halves through Cast. Integers of 16 or 4 bits make the
    opset 21 where an older one is asked for.
    """
    held = network.held(model)
    if held is not None:
        raise ExportError(f"onnx: this TFLite file has no graph of torch's operators: {held.why}; leave 'onnx' out of 'export'")
    graph = model.copy_graph()
    simplify(graph)
    batchnorm.fold(graph)
    casts = onnx_weights.lower(graph) or _has_halves(graph)
    _order_attention(graph)
    graph.train(False)
    outputs = ["output", *(f"output_{number}" for number in range(1, len(output_nodes(graph))))]
    batch = tuple({0: Dim("batch")} for _ in model.example) if model.free_batch else None
    try:
        with quiet():
            program: Any = torch.onnx.export(
                graph,
                model.example,
                dynamo=True,
                dynamic_shapes=batch,
                opset_version=max(opset, OPSET_OF_OTHER_INTEGERS) if _has_other_integers(model.graph) else opset,
                output_names=outputs,
                optimize=not casts,  # would store small weights as float32 again
                verbose=False,
            )
    except CONVERTER_ERRORS as error:
        raise refused(model.graph, "ONNX", error, CURE, _one_operator) from error
    return _finish(program.model_proto, model, graph)


def _one_operator(single: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    torch.onnx.export(single, inputs, dynamo=True, verbose=False)


def _order_attention(graph: fx.GraphModule) -> None:
    """Lays attention's results out by their axes: torch's kernel and the exporter's own shapes differ in it, and views feel that."""
    for node in list(graph.graph.nodes):
        if operator_name(node) == "scaled_dot_product_attention":
            with graph.graph.inserting_after(node):
                ordered = graph.graph.call_function(torch.ops.aten.clone.default, (node,), {"memory_format": torch.contiguous_format})
            ordered.meta = dict(node.meta)
            node.replace_all_uses_with(ordered, delete_user_cb=lambda user, ordered=ordered: user is not ordered)
    graph.recompile()


def _has_halves(graph: fx.GraphModule) -> bool:
    return any(constant(graph, node).dtype == torch.float16 for node in graph.graph.nodes if node.op == "get_attr")


def _has_other_integers(graph: fx.GraphModule) -> bool:
    return bool(four_bit_weights(graph)) or any(torch.int16 in node.args for node in graph.graph.nodes)


def _finish(file: Any, model: Model, graph: fx.GraphModule) -> bytes:
    """Names nodes after layers, leaves out the exporter's notes (source lines and paths of this machine), adds our own."""
    import onnx

    layers = {node.name: layer_name(node) for node in graph.graph.nodes if node.op == "call_function"}
    used: Counter[str] = Counter()
    for node in file.graph.node:
        said = {entry.key: entry.value for entry in node.metadata_props}
        name = said.get(onnx_weights.LAYER) or layers.get(node.name.removeprefix("node_"), node.name)
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}/{used[name]}"
        node.ClearField("doc_string")
    onnx_integers.separate_zero_points(file)
    onnx_integers.pack_weights(file, four_bit_weights(model.graph))
    parts = file.graph
    for part in (file, parts, *parts.node, *parts.input, *parts.output, *parts.value_info, *parts.initializer):
        part.ClearField("metadata_props")
    facts = {"name": model.name, "edgepress": versions().get("edgepress", "unknown")}
    onnx.helper.set_model_props(file, facts | ({"labels": json.dumps(model.labels)} if model.labels else {}))
    file.graph.name, file.producer_name = model.name, "edgepress"
    onnx.checker.check_model(file, full_check=True)
    return bytes(file.SerializeToString())
