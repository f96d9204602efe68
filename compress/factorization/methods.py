"""Ways to write a layer as a chain of smaller ones, all as regressions of reduced rank.

A layer computes y = W x, x being the patch [K] of its input under the kernel. Each method chooses features z = S x that are cheap to
compute, and the rank r matrices that predict y from z best. What counts is tr(G E C E^T), E being the error of W, C the covariance of
x and G the gain of y (`moments.py`); all optima are closed forms in C, G and W (reduced-rank regression, Izenman 1975). With identities
in their places these are the factorizations of the weights alone:

    svd        S = 1: a layer of r outputs, then a 1x1 layer (Zhang et al. 2016 for k x k kernels)
    tucker     z are combinations of the input channels: 1x1, k x k, 1x1 (Tucker-2, Kim et al. 2016)
    separable  z are filters of single input channels: depthwise k x k, then 1x1 (network decoupling, Guo et al. 2018)

Several filters of each channel are one of each channel of several copies of the input, first all first ones, then all second ones: no
runtime has a fast kernel for depthwise convolutions that make several channels of one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from compress.factorization.layers import Layer
from compress.factorization.moments import Statistics

Method = Literal["svd", "tucker", "separable"]
STEPS = 12
"""How many ranks of the input channels are tried for Tucker-2."""

TINY = 1e-10
"""Added to what is inverted, relative to its mean diagonal."""


@dataclass(frozen=True)
class Factor:
    """One layer of the chain: weights [groups, outputs, inputs * kernel]; `spatial` is the one that has the layer's kernel and stride.

    Its input is what came before, `copies` times one after the other.
    """

    weights: torch.Tensor
    spatial: bool
    copies: int = 1


@dataclass(frozen=True)
class Candidate:
    """One way to factor a layer: MACs for one sample and the error that it leaves, expected at the network's outputs."""

    method: Method
    ranks: tuple[int, ...]
    macs: int
    error: float


@dataclass(frozen=True)
class Task:
    """A layer, what is known of it, and the multiple that ranks have to be."""

    layer: Layer
    seen: Statistics
    multiple_of: int = 1

    @property
    def energy(self) -> float:
        """What an output of zeros would cost."""
        weights = self.layer.weights
        return float(((weights @ self.seen.covariance @ weights.transpose(1, 2)) * self.seen.gain).sum())

    def ranks(self, largest: int) -> range:
        """The ranks below `largest` that may be had."""
        return range(self.multiple_of, largest, self.multiple_of)


class Regression:
    """Prediction of a layer's outputs [groups, M] from features S x, S [groups, F, K], by matrices of any rank."""

    def __init__(self, task: Task, features: torch.Tensor | None) -> None:
        """`features` None are the inputs themselves."""
        weights, covariance = task.layer.weights, task.seen.covariance
        self.root, self.unroot = _roots(task.seen.gain)
        if features is None:
            self.best, fitted = weights, weights @ covariance @ weights.transpose(1, 2)
        else:
            shared = weights @ covariance @ features.transpose(1, 2)
            held = features @ covariance @ features.transpose(1, 2)
            self.best = torch.linalg.solve(_regular(held), shared.transpose(1, 2)).transpose(1, 2)
            fitted = self.best @ shared.transpose(1, 2)
        self.values, self.directions = _eigen(self.root @ fitted @ self.root)
        self.energy = task.energy

    def errors(self) -> list[float]:
        """What each rank, from 0 on, leaves."""
        explained = torch.cat([torch.zeros(1, dtype=torch.float64), self.values.sum(0).cumsum(0)])
        return (self.energy - explained).clamp(min=0).tolist()

    def factors(self, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices [groups, rank, F] and [groups, M, rank], to be applied one after the other."""
        kept = self.directions[:, :, :rank]
        return kept.transpose(1, 2) @ self.root @ self.best, self.unroot @ kept


def candidates(task: Task, method: Method) -> Iterator[Candidate]:
    """Every rank that a method may have for a layer, of those that compute less than it does."""
    return (each for each in _CANDIDATES[method](task) if each.macs < task.layer.macs)


def of_ranks(task: Task, method: Method, ranks: tuple[int, ...]) -> Candidate:
    """The candidate of these ranks, whatever it computes."""
    layer = task.layer
    if method == "svd":
        return Candidate(method, ranks, _svd_macs(layer, ranks[0]), Regression(task, None).errors()[ranks[0]])
    if method == "tucker":
        error = Regression(task, _lifted(_channels(task, ranks[0]), layer.kernel)).errors()[ranks[1]]
        return Candidate(method, ranks, _tucker_macs(layer, *ranks), error)
    return Candidate(method, ranks, _separable_macs(layer, ranks[0]), Regression(task, _diagonal(_filters(task, ranks[0]))).errors()[-1])


def factors(task: Task, chosen: Candidate) -> tuple[Factor, ...]:
    """The layers of a candidate, in order. Channels between them have unit variance, which keeps rounding's noise small."""
    layer, covariance = task.layer, task.seen.covariance
    if chosen.method == "svd":
        first, last = Regression(task, None).factors(chosen.ranks[0])
        spread = _spread(first, covariance)
        return Factor(first / spread[:, :, None], True), Factor(last * spread[:, None], False)
    if chosen.method == "tucker":
        channels = _channels(task, chosen.ranks[0])
        spread = _spread(channels, _of_channels(task))
        channels = channels / spread[:, :, None]
        lifted = _lifted(channels, layer.kernel)
        core, last = Regression(task, lifted).factors(chosen.ranks[1])
        spread = _spread(core @ lifted, covariance)
        return Factor(channels, False), Factor(core / spread[:, :, None], True), Factor(last * spread[:, None], False)
    filters = _filters(task, chosen.ranks[0])
    filters = filters / _spread(_diagonal(filters), covariance).reshape(*filters.shape[:3], 1)
    last = Regression(task, _diagonal(filters)).best
    return Factor(filters.reshape(-1, 1, layer.kernel), True, copies=chosen.ranks[0]), Factor(last, False)


def whole_weights(layer: Layer, chain: tuple[Factor, ...]) -> torch.Tensor:
    """The weights [groups, M, K] that a chain multiplies to."""
    product = None
    for factor in reversed(chain):
        weights = factor.weights
        if weights.shape[0] != layer.groups:  # one filter a channel
            weights = _diagonal(weights.reshape(layer.groups, factor.copies, layer.inputs, layer.kernel))
        elif not factor.spatial and product is not None:
            weights = _lifted(weights, layer.kernel)
        product = weights if product is None else product @ weights
    if product is None:
        raise ValueError("a chain has at least one layer")
    return product


def _svd_macs(layer: Layer, rank: int) -> int:
    return layer.output_positions * layer.groups * rank * (layer.weights.shape[2] + layer.outputs)


def _svd(task: Task) -> Iterator[Candidate]:
    errors = Regression(task, None).errors()
    for rank in task.ranks(min(task.layer.weights.shape[1:])):
        yield Candidate("svd", (rank,), _svd_macs(task.layer, rank), errors[rank])


def _tucker_macs(layer: Layer, inputs: int, outputs: int) -> int:
    first = layer.input_positions * layer.inputs * inputs
    return layer.groups * (first + layer.output_positions * outputs * (inputs * layer.kernel + layer.outputs))


def _tucker(task: Task) -> Iterator[Candidate]:
    layer = task.layer
    possible = task.ranks(layer.inputs)
    for inputs in possible[:: max(1, len(possible) // STEPS)]:
        errors = Regression(task, _lifted(_channels(task, inputs), layer.kernel)).errors()
        for outputs in task.ranks(min(layer.outputs, inputs * layer.kernel)):
            yield Candidate("tucker", (inputs, outputs), _tucker_macs(layer, inputs, outputs), errors[outputs])


def most_filters(layer: Layer) -> int:
    """How many filters each channel may have; one in groups, since copies of a whole input would tear its groups apart."""
    return layer.kernel if layer.groups == 1 else 1


def _separable_macs(layer: Layer, terms: int) -> int:
    return layer.output_positions * layer.groups * layer.inputs * terms * (layer.kernel + layer.outputs)


def _separable(task: Task) -> Iterator[Candidate]:
    layer = task.layer
    for terms in range(1, most_filters(layer) + 1 if layer.inputs > 1 else 1):
        if _separable_macs(layer, terms) >= layer.macs:
            return
        error = Regression(task, _diagonal(_filters(task, terms))).errors()[-1]
        yield Candidate("separable", (terms,), _separable_macs(layer, terms), error)


def _of_channels(task: Task) -> torch.Tensor:
    """The covariance [groups, I, I] of input channels, the mean over the kernel's positions."""
    layer, groups = task.layer, task.layer.groups
    blocks = task.seen.covariance.reshape(groups, layer.inputs, layer.kernel, layer.inputs, layer.kernel)
    return blocks.diagonal(dim1=2, dim2=4).mean(-1)


def _channels(task: Task, rank: int) -> torch.Tensor:
    """The combinations [groups, rank, I] of input channels that the outputs need most."""
    layer = task.layer
    weights = layer.weights.reshape(layer.groups, layer.outputs, layer.inputs, layer.kernel)
    needed = torch.einsum("goip,goq,gqjp->gij", weights, task.seen.gain, weights)
    return _subspace(needed, _of_channels(task), rank)


def _filters(task: Task, terms: int) -> torch.Tensor:
    """The filters [groups, terms, I, kernel] of each input channel that the outputs need most."""
    layer = task.layer
    weights = layer.weights.reshape(layer.groups, layer.outputs, layer.inputs, layer.kernel)
    needed = torch.einsum("goip,goq,gqir->gipr", weights, task.seen.gain, weights)
    blocks = task.seen.covariance.reshape(layer.groups, layer.inputs, layer.kernel, layer.inputs, layer.kernel)
    return _subspace(needed, blocks.diagonal(dim1=1, dim2=3).movedim(-1, 1), terms).transpose(1, 2)


def _subspace(needed: torch.Tensor, covariance: torch.Tensor, rank: int) -> torch.Tensor:
    """The rows F [..., rank, n] for which x of this covariance, projected onto F x, loses least as `needed` [..., n, n] weighs it."""
    root, _ = _roots(needed)
    _, directions = _eigen(root @ covariance @ root)
    return directions[..., :rank].transpose(-1, -2) @ root


def _lifted(channels: torch.Tensor, kernel: int) -> torch.Tensor:
    """Combinations of channels [groups, r, I], at each position of a kernel: [groups, r * kernel, I * kernel]."""
    return torch.stack([torch.kron(each, torch.eye(kernel, dtype=each.dtype)) for each in channels])


def _diagonal(filters: torch.Tensor) -> torch.Tensor:
    """Filters of single channels [groups, terms, I, kernel] as a matrix [groups, terms * I, I * kernel]."""
    groups, terms, inputs, kernel = filters.shape
    placed = filters[:, :, :, None] * torch.eye(inputs, dtype=filters.dtype)[:, :, None]
    return placed.reshape(groups, terms * inputs, inputs * kernel)


def _spread(features: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """The standard deviations [groups, F] of features [groups, F, K] of inputs of this covariance."""
    return (features @ covariance * features).sum(2).clamp(min=1e-20).sqrt()


def _regular(matrices: torch.Tensor) -> torch.Tensor:
    means = matrices.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-30)[..., None, None]
    return matrices + TINY * means * torch.eye(matrices.shape[-1], dtype=matrices.dtype)


def _roots(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The symmetric square roots of positive matrices and their inverses."""
    values, vectors = torch.linalg.eigh(_regular(matrices))
    largest = values.amax(-1, keepdim=True).clamp(min=1e-30)
    roots = values.clamp(min=TINY * largest).sqrt()
    root, unroot = ((vectors * each[..., None, :]) @ vectors.transpose(-1, -2) for each in (roots, 1 / roots))
    return root, unroot


def _eigen(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues [..., n], the largest first, and vectors [..., n, n] of symmetric matrices."""
    values, vectors = torch.linalg.eigh((matrices + matrices.transpose(-1, -2)) / 2)
    return values.flip(-1), vectors.flip(-1)


_CANDIDATES: dict[Method, Callable[[Task], Iterator[Candidate]]] = {"svd": _svd, "tucker": _tucker, "separable": _separable}
