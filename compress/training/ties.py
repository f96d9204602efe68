"""What training holds on to in a network's weights: zeros, and values that many of them share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from compress.clustering import codebook


@dataclass(frozen=True, eq=False)
class Clusters:
    """A weight whose elements share values: its channels' sizes, the cluster of each element, how many each has, and the clusters' ends."""

    weight: torch.nn.Parameter
    scales: torch.Tensor
    member: torch.Tensor
    counts: torch.Tensor
    ends: torch.Tensor

    @classmethod
    def of(cls, weight: torch.nn.Parameter, axis: int | None) -> "Clusters":
        """The clusters that a weight has now."""
        scales, member = codebook.scales(weight, axis), codebook.members(weight, axis).flatten()
        clusters = cls(weight, scales, member, torch.bincount(member), torch.zeros(0))
        values = clusters.means(weight.detach() / scales)
        fixed = (values.abs() > 1 - codebook.EQUAL) & (axis is not None)
        return replace(clusters, ends=torch.where(fixed, values.round(), torch.nan))

    def means(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of each cluster."""
        sums = values.new_zeros(len(self.counts)).index_add(0, self.member, values.flatten())
        return sums / self.counts

    def share_gradients(self) -> None:
        """Each element gets the mean of the gradients of its cluster's value, times what the value is multiplied by in its channel."""
        if self.weight.grad is not None:
            shared = self.means(self.weight.grad * self.scales)
            self.weight.grad = shared[self.member].view_as(self.weight) * self.scales

    def join(self) -> None:
        """Sets each cluster to its mean, whatever an optimizer made of equal gradients; the largest of a channel stay the largest."""
        values = self.means(self.weight / self.scales)
        values = torch.where(self.ends.isnan(), values, self.ends)
        if not bool(self.ends.isnan().all()):
            values = values.clamp(-1, 1)
        self.weight.copy_(values[self.member].view_as(self.weight) * self.scales)


class Ties:
    """The zeros and clusters of a network's weights, by name, which training keeps."""

    def __init__(self, weights: Mapping[str, torch.nn.Parameter], *, zeros: bool, clustered: Mapping[str, int | None]) -> None:
        """`zeros`: of all weights; `clustered`: those whose clusters are kept, with the axis of their channels."""
        self.masks = [(weight, weight != 0) for weight in weights.values() if zeros and _sparse(weight)]
        self.clusters = [Clusters.of(weights[name], axis) for name, axis in clustered.items() if name in weights]

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
