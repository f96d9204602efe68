"""What a pass may use besides the model: data, the network as it came, the metric, a seed and a place to show progress."""

from dataclasses import dataclass, field
from pathlib import Path

from compress.data.base import Data
from compress.metrics import Metric
from compress.model import Model
from compress.progress import Progress, Silent


@dataclass(frozen=True)
class Context:
    """Given to every pass. `device` is `auto`, `cpu` or `cuda`; `directory`, where set, keeps checkpoints of unfinished training.

    `exports` are the formats that the network will be written in, as far as is known: a scheme that has no kernels there is refused.
    `rehearsal`: only the network's structure is wanted, so data are a few samples, and what only finds better weights is left out.
    """

    data: Data
    original: Model
    metric: Metric
    seed: int = 0
    device: str = "auto"
    progress: Progress = field(default_factory=Silent)
    directory: Path | None = None
    exports: tuple[str, ...] = ()
    rehearsal: bool = False
