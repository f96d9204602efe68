"""Neural Compressor's algorithms for weights: round to nearest, GPTQ, AWQ and AutoRound, with symmetric scales."""

import copy
import math
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx, nn

from compress.lowering.nodes import argument, constant, operator_name
from compress.lowering.quiet import quiet
from compress.quantization.chosen import Weights
from compress.quantization.neural_compressor import autoround
from compress.quantization.neural_compressor.products import Product, expose, is_product
from compress.quantization.neural_compressor.request import Request
from compress.quantization.neural_compressor.tool import tool
from compress.quantization.parameters import SMALLEST_SCALE


def weights(graph: fx.GraphModule, layers: Collection[fx.Node], request: Request) -> dict[str, Weights]:
    """The weights of these layers of a float graph, by their nodes' names.

    What isn't a matrix product (a grouped convolution) is rounded to nearest first, so that the others can make up for it; AWQ
    takes linear layers only.
    """
    fitting = [node for node in layers if FITTING[request.algorithm](node)]
    found = _round_to_nearest(graph, [node for node in layers if node not in fitting], request)
    if not fitting:
        return found
    view = copy.deepcopy(graph)
    by_name = {node.name: node for node in view.graph.nodes}
    for name, weight in found.items():
        constant(view, argument(by_name[name], "weight")).copy_(weight.values)
    multiple = autoround.MULTIPLE if request.algorithm == "autoround" else 1
    products = expose(view, [by_name[node.name] for node in fitting], multiple)
    inc = tool()
    with quiet():
        CALLS[request.algorithm](inc, view, request)
    return found | {name: _read(product, request.block) for name, product in products.items()}


def _round_to_nearest(graph: fx.GraphModule, layers: Collection[fx.Node], request: Request) -> dict[str, Weights]:
    if not layers:
        return {}
    products, inc = {node.name: Product(graph, node) for node in layers}, tool()
    with quiet():
        inc.convert(inc.prepare(nn.ModuleDict(products), inc.RTNConfig(**request.options, use_layer_wise=False)))
    return {name: _read(product, request.block) for name, product in products.items()}


class _OneBlock(nn.Module):
    """The whole network as the only block of what Neural Compressor takes for a transformer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([network])

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.blocks[0](*inputs)


def _gptq(inc: Any, view: fx.GraphModule, request: Request) -> None:
    # a path it never reads, but asks the network for when it is empty
    prepared = inc.prepare(_OneBlock(view), inc.GPTQConfig(**request.options, model_path="."))
    for batch in request.samples:
        prepared(*batch)
    inc.convert(prepared)


def _awq(inc: Any, view: fx.GraphModule, request: Request) -> None:
    names = [name for name, module in view.named_modules() if isinstance(module, nn.Linear)]
    alone = dict(zip(names, names, strict=True))  # no layer hides its factors in the one before it
    settings = inc.AWQConfig(**request.options, absorb_layer_dict=alone)
    prepared = inc.prepare(_OneBlock(view), settings, example_inputs=request.samples[0][0])
    for batch in request.samples:
        prepared(*batch)
    inc.convert(prepared)


def _read(product: Product, block: int) -> Weights:
    module: Any = product.linear
    factors = getattr(product.linear, "input_scale", None)
    module = module if factors is None else module.linear
    if isinstance(module, nn.Linear):  # AutoRound leaves rounded real numbers
        values, scales = module.weight.detach(), torch.as_tensor(module.scale)
    else:
        values, scales = module.recover().float(), module.unpack()["scales"].float()
    rows, columns = product.shape[0], math.prod(product.shape[1:])
    span = block if block > 0 else columns
    scales = scales.reshape(len(scales), -1)[:rows, : math.ceil(columns / span)].clamp(min=SMALLEST_SCALE)
    steps = scales.repeat_interleave(span, 1)[:, :columns]
    values = (values[:rows, :columns] / steps).round() * steps * product.signs[:, None]
    return Weights(values.reshape(product.shape), scales if block > 0 else scales[:, 0], factors)


def _is_linear(node: fx.Node) -> bool:
    return operator_name(node) == "linear"


FITTING: dict[str, Callable[[fx.Node], bool]] = {"rtn": lambda _: False, "gptq": is_product, "awq": _is_linear, "autoround": is_product}
"""The layers that an algorithm takes; round to nearest is what all others get."""

CALLS: dict[str, Callable[[Any, fx.GraphModule, Request], None]] = {"gptq": _gptq, "awq": _awq, "autoround": autoround.tune}
