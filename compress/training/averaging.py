"""The moving average of a network's weights while it is trained (Polyak and Juditsky 1992)."""

import copy

import torch
from torch import fx


class Average:
    """A copy of a network that follows it; each update keeps `decay` of what it has, at first less, so that the start is forgotten."""

    def __init__(self, network: fx.GraphModule, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.decay = decay
        self.updates = 0

    def update(self, network: fx.GraphModule) -> None:
        """One step nearer to the network; statistics of BatchNorms are averaged too, counters copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        latest = network.state_dict()
        with torch.no_grad():
            for name, tensor in self.network.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(latest[name], 1 - decay)
                else:
                    tensor.copy_(latest[name])
