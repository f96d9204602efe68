"""Neural Compressor's algorithms for weights: round to nearest, GPTQ, AWQ and AutoRound, with symmetric scales."""

import copy
import math
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx, nn

from compress.lowering.nodes import argument, constant
from compress.lowering.quiet import quiet
from compress.quantization.chosen import Weights
from compress.quantization.neural_compressor import autoround, awq, seams
from compress.quantization.neural_compressor.products import Product, expose, is_product
from compress.quantization.neural_compressor.request import OneBlock, Request
from compress.quantization.neural_compressor.tool import tool
from compress.quantization.parameters import SMALLEST_SCALE

CALLS: dict[str, Callable[[Any, fx.GraphModule, Request], None]] = {}
"""What runs an algorithm on a graph whose layers are exposed."""


def choose(graph: fx.GraphModule, layers: Collection[fx.Node], request: Request, found: dict[str, Weights]) -> None:
    """Adds the weights of these layers of a float graph to `found`, by their nodes' names.

    A layer that the algorithm can't take is rounded to nearest first, so that the others can make up for it. AWQ moves factors
    between constants of the graph, whose function stays the same.
    """
    taken = fitting(layers, request.algorithm)
    found |= _round_to_nearest(graph, [node for node in layers if node not in taken], request)
    if not taken:
        return
    view = copy.deepcopy(graph)
    by_name = {node.name: node for node in view.graph.nodes}
    for node in layers:
        if node not in taken:
            constant(view, argument(by_name[node.name], "weight")).copy_(found[node.name].values)
    moved = awq.expose_factors(view, [by_name[node.name] for node in taken]) if request.algorithm == "awq" else {}
    multiple = autoround.MULTIPLE if request.algorithm == "autoround" else 1
    products = expose(view, [by_name[node.name] for node in taken], multiple)
    inc = tool()
    with quiet():
        CALLS[request.algorithm](inc, view, request)
    found |= {name: _read(product, request.block) for name, product in products.items()}
    for seam in seams.find(taken) if moved else []:
        factors = 1 / moved[seam.value.name].weight.detach()
        seams.apply(graph, seam, factors)
        if (made := found.get(seam.maker.name)) is not None:
            rows = factors if made.scales.dim() == 1 else factors[:, None]
            found[seam.maker.name] = Weights(made.values / factors[:, None], made.scales / rows)


def fitting(layers: Collection[fx.Node], algorithm: str) -> list[fx.Node]:
    """The layers that an algorithm takes: matrix products for GPTQ and AutoRound, readers of a seam for AWQ."""
    if algorithm == "rtn":
        return []
    readers = [reader for seam in seams.find(layers) for reader in seam.readers] if algorithm == "awq" else []
    return [node for node in layers if (node in readers if algorithm == "awq" else is_product(node))]


def _round_to_nearest(graph: fx.GraphModule, layers: Collection[fx.Node], request: Request) -> dict[str, Weights]:
    if not layers:
        return {}
    products, inc = {node.name: Product(graph, node) for node in layers}, tool()
    with quiet():
        inc.convert(inc.prepare(nn.ModuleDict(products), inc.RTNConfig(**request.options, use_layer_wise=False)))
    return {name: _read(product, request.block) for name, product in products.items()}


def _gptq(inc: Any, view: fx.GraphModule, request: Request) -> None:
    # a path it never reads, but asks the network for when it is empty
    prepared = inc.prepare(OneBlock(view), inc.GPTQConfig(**request.options, model_path="."))
    for batch in request.samples:
        prepared(*batch)
    inc.convert(prepared)


def _read(product: Product, block: int) -> Weights:
    module: Any = product.linear
    if isinstance(module, nn.Linear):  # AutoRound leaves rounded real numbers
        values, scales = module.weight.detach(), torch.as_tensor(module.scale)
    else:
        values, scales = module.recover().float(), module.unpack()["scales"].float()
    rows, columns = product.shape[0], math.prod(product.shape[1:])
    span = block if block > 0 else columns
    scales = scales.reshape(len(scales), -1)[:rows, : math.ceil(columns / span)].clamp(min=SMALLEST_SCALE)
    steps = scales.repeat_interleave(span, 1)[:, :columns]
    values = (values[:rows, :columns] / steps).round() * steps * product.signs[:, None]
    return Weights(values.reshape(product.shape), scales if block > 0 else scales[:, 0])


CALLS |= {"gptq": _gptq, "awq": awq.tune, "autoround": autoround.tune}
