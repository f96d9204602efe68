"""Low-rank factors as one writes them by hand: truncated SVD and HOSVD of the weights, the same share of ranks in every layer."""

import copy
from collections.abc import Callable

import torch
from torch import nn


def factored(network: nn.Module, share: float) -> nn.Module:
    """A copy whose linear layers and 1x1 convolutions are two (SVD), and whose k x k convolutions are three (Tucker-2), of this share of
    the full ranks. Layers with groups, and those that would have more weights than before, stay whole.
    """
    made = copy.deepcopy(network)
    for name, layer in list(made.named_modules()):
        chain = _chain(layer, share)
        if chain is not None and sum(each.weight.numel() for each in chain) < layer.weight.numel():
            owner, _, last = name.rpartition(".")
            setattr(made.get_submodule(owner), last, chain)
    return made


def to_macs(network: nn.Module, macs: Callable[[nn.Module], int], limit: float) -> nn.Module:
    """The factored network of the largest share, to a thousandth, of which `macs` gives at most `limit`."""
    low, high = 1, 1000
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if macs(factored(network, middle / 1000)) <= limit else (low, middle - 1)
    return factored(network, low / 1000)


def _chain(layer: nn.Module, share: float) -> nn.Sequential | None:
    if isinstance(layer, nn.Linear):
        first, second = _svd(layer.weight.detach(), share)
        return nn.Sequential(_linear(first), _linear(second, layer.bias))
    if not isinstance(layer, nn.Conv2d) or layer.groups > 1 or layer.in_channels == 1:
        return None
    weight = layer.weight.detach()
    if layer.kernel_size == (1, 1):
        first, second = _svd(weight[:, :, 0, 0], share)
        return nn.Sequential(_conv(first[:, :, None, None], stride=layer.stride), _conv(second[:, :, None, None], layer.bias))
    outputs = _left(weight.flatten(1), share)
    inputs = _left(weight.transpose(0, 1).flatten(1), share)
    core = torch.einsum("oikl,or,is->rskl", weight, outputs, inputs)
    middle = _conv(core, stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
    return nn.Sequential(_conv(inputs.T[:, :, None, None]), middle, _conv(outputs[:, :, None, None], layer.bias))


def _svd(weight: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    rank = max(1, int(share * len(values)))
    return values[:rank, None].sqrt() * right[:rank], left[:, :rank] * values[:rank].sqrt()


def _left(matrix: torch.Tensor, share: float) -> torch.Tensor:
    return torch.linalg.svd(matrix, full_matrices=False)[0][:, : max(1, int(share * len(matrix)))]


def _linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return _filled(layer, weight, bias)


def _conv(weight: torch.Tensor, bias: torch.Tensor | None = None, **options: object) -> nn.Module:
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=bias is not None, **options)
    return _filled(layer, weight, bias)


def _filled(layer: nn.Linear | nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
