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
    return torch.device("cuda", 0) if wanted == "cuda" else torch.device(wanted)


def devices(first: torch.device, wanted: int | str) -> list[torch.device]:
    """As many devices as are wanted, `auto` being all GPUs or the one CPU. UserError where there aren't as many GPUs.

    Several on the CPU are the CPU itself over and over: the sums that GPUs would do, no faster than one.
    """
    if first.type == "cpu":
        return [first] * (1 if wanted == "auto" else int(wanted))
    found = torch.cuda.device_count()
    count = found if wanted == "auto" else int(wanted)
    if count > found:
        raise UserError(f"devices: {count} are asked for and torch sees {found}; use at most {found}, or auto")
    return [torch.device(first.type, number) for number in range(count)]


def fabric(device: str, precision: str) -> Any:
    """Lightning Fabric on one device. UserError where the device can't compute in that precision."""
    from lightning_fabric import Fabric

    kind = device_of(device).type
    if kind == "cpu" and precision == "16-mixed":
        raise UserError("precision: 16-mixed needs a GPU; on the CPU use bf16-mixed or 32-true")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells the precision that was just asked for
    return Fabric(accelerator=kind, devices=1, precision=precision)
