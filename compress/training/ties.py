"""What training holds on to in a network's weights: zeros, and values that many of them share."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Clusters:
    """A weight whose elements share values: the cluster of each element, how many each has, and one element of each."""

    weight: torch.nn.Parameter
    member: torch.Tensor
    sizes: torch.Tensor
    first: torch.Tensor

    @classmethod
    def of(cls, weight: torch.nn.Parameter) -> "Clusters":
        """The clusters that a weight has now."""
        values, member, sizes = torch.unique(weight.detach().flatten(), return_inverse=True, return_counts=True)
        first = torch.full_like(sizes, len(member)).scatter_reduce(0, member, torch.arange(len(member), device=member.device), "amin")
        return cls(weight, member, sizes.to(values.dtype), first)

    def share_gradients(self) -> None:
        """Each element gets the mean of its cluster's gradients, so that all go the same way."""
        if self.weight.grad is not None:
            sums = torch.zeros_like(self.sizes).index_add(0, self.member, self.weight.grad.flatten())
            self.weight.grad = (sums / self.sizes)[self.member].view_as(self.weight)

    def join(self) -> None:
        """Equal to the last bit, whatever order an optimizer's sums took."""
        self.weight.copy_(self.weight.flatten()[self.first][self.member].view_as(self.weight))


class Ties:
    """The zeros and clusters of a network's weights, by name, which training keeps."""

    def __init__(self, weights: Mapping[str, torch.nn.Parameter], *, zeros: bool, clustered: Collection[str]) -> None:
        """`zeros`: of all weights; `clustered` names the weights whose clusters are kept."""
        self.masks = [(weight, weight != 0) for weight in weights.values() if zeros and _sparse(weight)]
        self.clusters = [Clusters.of(weight) for name, weight in weights.items() if name in clustered]

    def before_step(self) -> None:
        """Goes between gradients and optimizer."""
        for clusters in self.clusters:
            clusters.share_gradients()

    def after_step(self) -> None:
        """Goes behind the optimizer."""
        with torch.no_grad():
            for clusters in self.clusters:
                clusters.join()
            for weight, mask in self.masks:
                weight.mul_(mask)


def _sparse(weight: torch.Tensor) -> bool:
    return weight.ndim > 1 and bool((weight == 0).any())
