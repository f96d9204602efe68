"""A shorter way through litert-torch for networks of plain operators.

The converter traces a network three times over to take operators apart, before and after it chooses their layout, and to find those
that TFLite computes whole. Where there is nothing of the kind to do, one trace is enough and gives the same file in half the time.
"""

from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import operator_name

PLAIN = frozenset(
    [
        *("conv2d", "linear", "add", "sub", "mul", "relu", "hardtanh", "sigmoid", "tanh"),
        *("mean", "max_pool2d", "cat", "pad", "slice", "flatten", "reshape", "sym_size"),
        *("quantize_per_tensor", "quantize_per_channel", "dequantize_per_tensor", "dequantize_per_channel"),
    ]
)
"""Operators that the converter lays out and lowers as they are. Others, like relu6, it would leave in NCHW, with transposes around."""


def is_plain(graph: fx.GraphModule) -> bool:
    """Whether every operator of a graph is in PLAIN."""
    return all(operator_name(node) in PLAIN for node in graph.graph.nodes if node.op == "call_function")


def convert(module: torch.nn.Module, sample: tuple[torch.Tensor, ...], quantization: Any) -> Any:
    """What `litert_torch.convert` makes of a module of plain operators: an object whose `to_bytes()` is the file."""
    from litert_torch import fx_infra
    from litert_torch._convert import core, fx_passes, litert_converter, signature
    from litert_torch.model import DEFAULT_SIGNATURE_NAME

    entry = signature.Signature(DEFAULT_SIGNATURE_NAME, module, sample, {})
    program = core.export_torch_signature(entry, run_decompositions=False)
    program = fx_infra.run_passes(program, [fx_passes.OptimizeLayoutTransposesPass()])
    return litert_converter.exported_programs_to_flatbuffer([program], [entry], quant_config=quantization)
