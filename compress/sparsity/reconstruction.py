"""Layer by layer, chooses zeros and changes the weights left so that outputs stay (SparseGPT, Frantar and Alistarh 2023).

With H the second moments of a layer's inputs, column after column loses its weights of smallest w² / [H⁻¹] and the columns to come make
up for each (https://arxiv.org/abs/2301.00774). Two things go beyond the paper: outputs aimed at are those of the whole network while
inputs are those that the pruned one has by then, and in the end the weights left are solved once more, all at a time, by conjugate
gradients. Statistics are taken anew for each layer, from one batch after the other: one layer's H is in memory at a time.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import operand
from compress.pruning.surgery import set_weight, weight_of
from compress.quantization.least_squares import Moments
from compress.sparsity.layers import Layer, amplification, norm_after
from compress.sparsity.patterns import Pattern
from compress.sparsity.statistics import Calibration, head, thinned

RIDGE = 0.05
"""Holds weights where they were, relative to the inputs' mean variance."""
ROUNDING = 1e-5
"""What float32 leaves of a variance, relative to the mean square."""
COLUMNS = 128
"""So many columns lose the same share of their weights."""
STEPS = 60
"""Of conjugate gradients, after which hardly anything changes."""


def reconstruct(
    calibration: Calibration, graph: fx.GraphModule, shares: Sequence[tuple[Layer, float]], pattern: Pattern
) -> dict[str, float]:
    """Prunes layers of `graph`, a copy of the calibrated model's graph, each by its share, in their order and in place.

    Gives the error that is left of each layer's outputs, root of the mean square over that of their changes, by the layer's name.
    """
    copies = dict(zip(calibration.model.graph.graph.nodes, graph.graph.nodes, strict=True))
    errors = {}
    with torch.no_grad(), calibration.context.progress.task("layerwise reconstruction", len(shares)) as task:
        for layer, share in shares:
            moments = _moments(calibration, graph, layer, copies[layer.node])
            errors[layer.name] = _solve(graph, layer, moments, pattern, share)
            task.advance(note=layer.name)
    return errors


def _moments(calibration: Calibration, graph: fx.GraphModule, layer: Layer, copied: fx.Node) -> Moments:
    whole, pruned = head(calibration.model.graph, layer.node), head(graph, copied)
    weight, moments = weight_of(graph, layer.weight), Moments()
    for number, batch in enumerate(calibration.batches()):
        wanted, value = whole(*batch)[1], pruned(*batch)[0]
        moments.add(thinned(layer.rows(weight, value), number), thinned(layer.results(wanted), number))
    return moments


def _solve(graph: fx.GraphModule, layer: Layer, moments: Moments, pattern: Pattern, share: float) -> float:
    """One layer's new weights and the shift that its bias, or the mean of its BatchNorm, can hold."""
    weight, bias, norm = weight_of(graph, layer.weight).detach(), operand(layer.node, "bias"), norm_after(layer)
    laid_out = layer.laid_out(weight)
    present = laid_out.flatten(2).double()
    covariance, shared = moments.covariance, moments.shared
    if bias is None and norm is None:
        covariance, shared = moments.squares / moments.rows, moments.products / moments.rows
    ridge = RIDGE * _mean_square(covariance) + ROUNDING * _mean_square(moments.squares / moments.rows) + 1e-12
    held = covariance + ridge[:, None, None] * torch.eye(covariance.shape[1], dtype=torch.float64)
    wanted = present + torch.linalg.solve(held, shared - covariance @ present.transpose(1, 2)).transpose(1, 2)
    free = present != 0
    start = refit(wanted, free, held, present)
    kept = choose(start, free, held, amplification(graph, layer).double(), pattern, share)
    found = refit(wanted, kept, held, start * kept)
    set_weight(graph, layer.weight, layer.restored(found.float().reshape(laid_out.shape), weight.shape).contiguous())
    if bias is None and norm is None:
        return moments.error(found, torch.zeros_like(found[:, :, 0]))
    shift = moments.shift(found)
    if bias is not None:
        set_weight(graph, str(bias.target), shift.flatten().float())
    elif norm is not None:
        mean: Any = operand(norm, "running_mean")
        set_weight(graph, mean.target, weight_of(graph, mean.target) - shift.flatten().float())
    return moments.error(found, shift)


def _mean_square(moments: torch.Tensor) -> torch.Tensor:
    return moments.diagonal(dim1=1, dim2=2).mean(1)


def choose(  # noqa: PLR0913, PLR0917  a layer's weights and what decides about them
    weights: torch.Tensor, free: torch.Tensor, moments: torch.Tensor, amplified: torch.Tensor, pattern: Pattern, share: float
) -> torch.Tensor:
    """Which weights [groups, M, K] stay, bool; those that aren't `free` are zero. `moments` [groups, K, K] are positive definite."""
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(moments)), upper=True)
    diagonal = factor.diagonal(dim1=1, dim2=2)
    left, kept = weights.clone(), free.clone()
    width = pattern.of or max(1, COLUMNS // pattern.columns) * pattern.columns
    for start in range(0, weights.shape[2], width):
        block = slice(start, min(start + width, weights.shape[2]))
        scores = (left[:, :, block] / diagonal[:, None, block] * amplified[:, :, None]).square()
        kept[:, :, block] &= pattern.masks([scores[:, :, None]], share)[0][:, :, 0]
        for place in range(block.start, block.stop):
            error = left[:, :, place] * ~kept[:, :, place] / factor[:, place, place, None]
            left[:, :, place] *= kept[:, :, place]
            left[:, :, place + 1 :] -= error[:, :, None] * factor[:, place, None, place + 1 :] * free[:, :, place + 1 :]
    return kept


def refit(wanted: torch.Tensor, kept: torch.Tensor, moments: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """The weights [groups, M, K], zero where not `kept`, of least (w - wanted) H (w - wanted), by conjugate gradients."""
    scale = moments.diagonal(dim1=1, dim2=2).rsqrt()[:, None]
    system = moments * scale * scale.transpose(1, 2)
    goal, found = wanted / scale, start / scale
    left = ((goal - found) @ system) * kept
    direction, size = left, left.square().sum(2, keepdim=True)
    for _ in range(min(STEPS, wanted.shape[2])):
        along = (direction @ system) * kept
        step = size / (direction * along).sum(2, keepdim=True).clamp(min=1e-30)
        found = found + step * direction
        left = left - step * along
        before, size = size, left.square().sum(2, keepdim=True)
        direction = left + size / before.clamp(min=1e-30) * direction
    return found * scale
