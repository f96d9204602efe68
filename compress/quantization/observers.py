"""Modules that PT2E puts where numbers become integers: they look at what flows through and give its scale and zero point."""

from typing import Any

import numpy as np
import torch
from torchao.quantization.pt2e.observer import ObserverBase

from compress.quantization.ranges import BINS, Histogram, observer
from targets.errors import UserError

SMALLEST_SCALE = 1e-9
"""A tensor that is always zero still needs a scale."""


class ActivationObserver(ObserverBase):  # type: ignore[misc]  # torchao has no types
    """Observes one tensor, or all tensors that share a scale, into a histogram; its range is what `method` chooses from it."""

    def __init__(  # noqa: PLR0913, PLR0917  torchao builds it with these names
        self, dtype: torch.dtype, quant_min: int, quant_max: int, qscheme: torch.qscheme, method: str = "minmax", is_dynamic: bool = False
    ) -> None:
        super().__init__(dtype=dtype, is_dynamic=is_dynamic)
        self.quant_min, self.quant_max, self.qscheme = quant_min, quant_max, qscheme
        self.seen = Histogram()
        self.choose = observer(method)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Counts the values; gives them back unchanged."""
        flat = values.detach().flatten()
        low, high = torch.aminmax(flat)
        self.seen.add(lambda span: torch.histc(flat, BINS, -span, span).double().numpy(), float(low), float(high))
        return values

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale (float32) and zero point (int64) of the observed range, which always holds zero."""
        low, high = self.choose(self.seen, self.quant_max - self.quant_min + 1)
        if self.qscheme == torch.per_tensor_symmetric:
            scale = max(-low, high) / self.quant_max
            return torch.tensor([max(scale, SMALLEST_SCALE)]), torch.zeros(1, dtype=torch.int64)
        scale = float(np.float32(max((high - low) / (self.quant_max - self.quant_min), SMALLEST_SCALE)))
        zero_point = int(np.clip(round(self.quant_min - low / scale), self.quant_min, self.quant_max))
        return torch.tensor([scale]), torch.tensor([zero_point])


class PerChannelWeightObserver(ObserverBase):  # type: ignore[misc]  # torchao has no types
    """A symmetric scale for each output channel of constant weights."""

    def __init__(  # noqa: PLR0913, PLR0917  torchao builds it with these names
        self,
        dtype: torch.dtype,
        quant_min: int,
        quant_max: int,
        qscheme: torch.qscheme,
        ch_axis: int,
        method: str = "minmax",
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype=dtype, is_dynamic=is_dynamic)
        self.quant_min, self.quant_max, self.qscheme, self.ch_axis, self.method = quant_min, quant_max, qscheme, ch_axis, method
        self.scales: torch.Tensor | None = None

    def forward(self, weights: torch.Tensor) -> torch.Tensor:
        """Looks at the weights the first time; they don't change from batch to batch."""
        if self.scales is None:
            rows = weights.detach().transpose(0, self.ch_axis).flatten(1)
            self.scales = (rows.abs().amax(1) / self.quant_max).clamp(min=SMALLEST_SCALE)
            if self.method == "mse":
                self.scales = self._smallest_error(rows, self.scales)
        return weights

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scales (float32) and zero points (int64, all 0), [channels]."""
        if self.scales is None:
            raise UserError("quantize: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
        return self.scales, torch.zeros(len(self.scales), dtype=torch.int64)

    def _smallest_error(self, rows: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
        best = torch.full_like(largest, torch.inf)
        chosen = largest
        for share in torch.linspace(1.0, 0.6, 41):
            scales = largest * share
            rounded = (rows / scales[:, None]).round().clamp(self.quant_min, self.quant_max) * scales[:, None]
            error = (rounded - rows).square().sum(1)
            chosen = torch.where(error < best, scales, chosen)
            best = torch.minimum(error, best)
        return chosen


def bias_scales(observers: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The bias of a layer has the scale of its input times that of its weights, zero point 0."""
    inputs, weights = observers
    scales = inputs.calculate_qparams()[0] * weights.calculate_qparams()[0]
    return scales, torch.zeros(len(scales), dtype=torch.int64)
