"""The one training loop: it trains the ATen graph of a Model as it is, seeded, on CPU or GPU, and goes on where it was killed."""

from compress.training.devices import device_of, on_device
from compress.training.objective import Batch, Objective, learn_labels, supervised_loss
from compress.training.options import TrainingOptions
from compress.training.train import Trained, train

__all__ = ["Batch", "Objective", "Trained", "TrainingOptions", "device_of", "learn_labels", "on_device", "supervised_loss", "train"]
