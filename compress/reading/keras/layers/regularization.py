"""Layers that do something in training only."""

from torch import nn

from compress.reading.keras.layer import Layer, Made, Rule, alike
from compress.reading.keras.values import KERAS, Value

SPATIAL = {3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d}


def dropout(layer: Layer, value: Value) -> Made:
    """Dropout; one with a shape of its own (stochastic depth) is left out."""
    if layer.get("noise_shape"):
        return identity(layer, value)
    return alike(nn.Dropout(float(layer.get("rate", 0.5))), value)


def spatial_dropout(layer: Layer, value: Value) -> Made:
    """SpatialDropout1D, 2D and 3D: whole channels; single numbers of steps whose channels come last, so that no axis has to move."""
    if value.layout == KERAS and value.rank == 3:
        return dropout(layer, value)
    return Made(SPATIAL[value.rank](float(layer.get("rate", 0.5))), (layer.spatial,), (layer.spatial,))


def alpha_dropout(layer: Layer, value: Value) -> Made:
    """AlphaDropout."""
    return alike(nn.AlphaDropout(float(layer.get("rate", 0.5))), value)


def identity(_: Layer, value: Value) -> Made:
    """Noise, penalties and augmentation: nothing in inference, and nothing when edgepress trains."""
    return alike(nn.Identity(), value)


AUGMENTING = (
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness", "RandomShear"),
    *("RandomColorJitter", "RandomHue", "RandomSaturation", "RandomSharpness", "RandomGaussianBlur", "RandomErasing", "RandomGrayscale"),
)
LAYERS: dict[str, Rule] = {
    "Dropout": dropout,
    **{f"SpatialDropout{axes}D": spatial_dropout for axes in (1, 2, 3)},
    "AlphaDropout": alpha_dropout,
    **dict.fromkeys(("Identity", "GaussianNoise", "GaussianDropout", "ActivityRegularization", "StochasticDepth", *AUGMENTING), identity),
}
