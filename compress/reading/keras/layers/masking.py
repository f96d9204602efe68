"""Masks of steps. They are followed as far as a layer that would leave steps out, which is refused by name."""

from torch import nn

from compress.reading.keras.layer import Layer, Made, Rule
from compress.reading.keras.values import KERAS, Value
from compress.reading.modules import Operator

FORGET = {"Flatten", "GlobalMaxPooling1D", "Reshape", "Permute", "Conv1D", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "RNN"}
"""Kinds behind which no mask goes on."""


def masking(layer: Layer, _: Value) -> Made:
    """Masking: steps that hold one value everywhere become zero."""
    skipped = float(layer.get("mask_value", 0.0))
    if skipped == 0.0:
        return Made(nn.Identity(), (KERAS,), (KERAS,))
    return Made(Operator(lambda values: values * (values != skipped).any(-1, True)), (KERAS,), (KERAS,))


def mask_behind(layer: Layer, values: tuple[Value, ...]) -> str | None:
    """The layer that masks what this one gives; UserError where this one would leave steps out of a mean."""
    if layer.kind == "Masking" or (layer.kind == "Embedding" and layer.get("mask_zero")):
        return layer.name
    masks = [value.mask for value in values if value.mask]
    if masks and layer.kind == "GlobalAveragePooling1D":
        raise layer.refuse(f"leaves out steps that '{masks[0]}' masks; train it on one length without a mask")
    return masks[0] if masks and layer.kind not in FORGET else None


LAYERS: dict[str, Rule] = {"Masking": masking}
