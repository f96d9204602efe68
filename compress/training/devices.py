"""Where training runs."""

import logging
from typing import Any

import torch
from torch import fx

from targets.errors import UserError


def on_device(graph: fx.GraphModule, device: torch.device) -> fx.GraphModule:
    """Moves a graph's weights, and the devices written into its operators, to a device, in place."""
    for node in graph.graph.nodes:
        if isinstance(node.kwargs.get("device"), torch.device):
            node.update_kwarg("device", device)
    graph.recompile()
    return graph.to(device)


def device_of(name: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU."""
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for and torch sees no GPU; use device: cpu or auto")
    return torch.device(wanted)


def fabric(device: str, precision: str) -> Any:
    """Lightning Fabric on one device. UserError where the device can't compute in that precision."""
    from lightning_fabric import Fabric

    kind = device_of(device).type
    if kind == "cpu" and precision == "16-mixed":
        raise UserError("precision: 16-mixed needs a GPU; on the CPU use bf16-mixed or 32-true")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells the precision that was just asked for
    return Fabric(accelerator=kind, devices=1, precision=precision)
