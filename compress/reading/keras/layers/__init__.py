"""Keras's layers: a table of rules for each family, put together here."""

from compress.reading.keras.layer import Rule
from compress.reading.keras.layers import (
    activation,
    attention,
    convolution,
    dense,
    masking,
    merging,
    normalization,
    pooling,
    recurrent,
    regularization,
    shape,
    wrappers,
)

FAMILIES: dict[str, dict[str, Rule]] = {
    "Convolutions": convolution.LAYERS,
    "Dense and embedding": dense.LAYERS,
    "Pooling": pooling.LAYERS,
    "Normalization and scaling": normalization.LAYERS,
    "Activations": activation.LAYERS,
    "Merging": merging.LAYERS,
    "Shape": shape.LAYERS,
    "Recurrent": recurrent.LAYERS,
    "Attention": attention.LAYERS,
    "Wrappers": wrappers.LAYERS,
    "Training only": regularization.LAYERS,
    "Masks": masking.LAYERS,
}
"""Families by the names that the documentation has for them."""

LAYERS: dict[str, Rule] = {name: rule for family in FAMILIES.values() for name, rule in family.items()}
ROLES: dict[str, set[str]] = {**recurrent.ROLES, **attention.ROLES}
"""By which names a call of a layer may give inputs besides `inputs`."""
