"""Soft targets (Hinton, Vinyals and Dean 2015)."""

import torch
from torch.nn import functional as F


def soft_targets(outputs: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 * KL(softmax(wanted / T) || softmax(outputs / T)), the mean over samples. Logits [N, classes, …], both."""
    return _divergence(outputs, F.log_softmax(wanted / temperature, dim=1), temperature)


def ensemble_targets(outputs: torch.Tensor, wanted: list[torch.Tensor], temperature: float) -> torch.Tensor:
    """The same from several teachers, whose probabilities at T are averaged."""
    logarithms = torch.stack([F.log_softmax(logits / temperature, dim=1) for logits in wanted])
    return _divergence(outputs, torch.logsumexp(logarithms, 0) - torch.tensor(float(len(wanted))).log(), temperature)


def _divergence(outputs: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    student = F.log_softmax(outputs / temperature, dim=1)
    return F.kl_div(student, wanted, reduction="batchmean", log_target=True) * temperature**2
