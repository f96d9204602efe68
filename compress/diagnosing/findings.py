"""What is diagnosed, and what a diagnosis says."""

from dataclasses import dataclass
from typing import Any

from compress.context import Context
from compress.model import Model
from compress.quantization.noise import Noise
from compress.quantization.overrides import Override
from compress.quantization.sensitivity import Quality
from compress.quantization.units import Choice, Unit


@dataclass(frozen=True)
class Job:
    """What is diagnosed: a network before its pass `quantize`, that pass, and those after it.

    Layers are tried on the first `samples` evaluation samples, at most `layers` of them, the noisiest first.
    """

    model: Model
    context: Context
    quantize: Any
    later: tuple[tuple[str, Any], ...] = ()
    samples: int = 200
    layers: int = 32


@dataclass(frozen=True)
class Intervention:
    """One layer with another choice, all others as they are: what that wins back (positive is better) and costs.

    `bytes` of weights, biases and scales; `milliseconds` that the layer's operators take longer on this machine, None where they
    were not measured.
    """

    choice: Choice
    divergence: float
    agreement: float | None
    metric: float
    bytes: int
    milliseconds: float | None = None


@dataclass(frozen=True)
class LayerFindings:
    """A layer: its noise in decibels, and interventions, the most useful first; none where it wasn't tried."""

    unit: Unit
    choice: Choice
    noise: Noise
    interventions: tuple[Intervention, ...] = ()

    @property
    def won(self) -> float:
        """The most divergence that one intervention wins back."""
        return max((trial.divergence for trial in self.interventions), default=0.0)


@dataclass(frozen=True)
class FileFindings:
    """A TFLite file of the network on this machine's LiteRT, over all evaluation samples; agreement is with the float network."""

    bytes: int
    metric: float
    agreement: float | None
    milliseconds: float | None
    runner: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found. `float_metric` and `quality` are of torch over `samples` samples, `predicted` the quality with the advice.

    `choice` is what the pass `quantize` makes of layers without overrides, `everywhere` are other choices for all layers at once.
    `before` and `after` are the exported files without and with the advice; None where they could not be made, as `reason` says.
    """

    name: str
    choice: Choice
    metric: str
    samples: int
    float_metric: float
    quality: Quality
    layers: tuple[LayerFindings, ...]
    advice: tuple[Override, ...] = ()
    predicted: Quality | None = None
    everywhere: tuple[Intervention, ...] = ()
    before: FileFindings | None = None
    after: FileFindings | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()
