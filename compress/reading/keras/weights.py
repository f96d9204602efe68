"""Where a layer's weights are in an HDF5 file: by paths in Keras 3's files, by names in the older ones."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np

from compress.reading.keras.layer import Array
from targets.errors import UserError

PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN"), ("cell",)),
    "Bidirectional": ("forward_layer/cell", "backward_layer/cell"),
    "MultiHeadAttention": ("query_dense", "key_dense", "value_dense", "output_dense"),
}
"""Layers that hold others, in the order in which Keras lists their weights."""
LARGEST = 2**30
"""Bytes of weights that are read: more than a network for the edge has."""


class Weights(Protocol):
    """Weights of a layer or model."""

    def child(self, key: str, name: str, model: bool) -> "Weights":
        """Those of a layer of this model: by its key in Keras 3's files, its name in older ones."""

    def part(self, name: str) -> "Weights":
        """Those of a layer that this one wraps."""

    def arrays(self, kind: str) -> Sequence[Array]:
        """All of them, in Keras's order for this class."""


@dataclass(frozen=True)
class Paths:
    """Keras 3: `layers/conv2d_1/vars/0`, with numbers that count the layers of a class."""

    file: h5py.File
    path: str = ""

    def child(self, key: str, name: str, model: bool) -> "Paths":  # noqa: ARG002  what the other kind goes by
        """See `Weights`."""
        return self.part(f"layers/{key}")

    def part(self, name: str) -> "Paths":
        """See `Weights`."""
        return Paths(self.file, f"{self.path}/{name}".strip("/"))

    def arrays(self, kind: str) -> list[Array]:
        """See `Weights`."""
        own = list(self._own(self.path))
        parts = [self._own(found) for part in PARTS.get(kind, ()) if (found := self._present(part)) is not None]
        if own or parts:
            return [*own, *(array for part in parts for array in part)]
        group = _group(self.file, self._known(self.path))
        return [] if group is None else [array for path in _inside(group) for array in self._own(f"{self._known(self.path)}/{path}")]

    def _present(self, part: str) -> str | None:
        """The path of a part, whose name older files begin with an underscore."""
        names = [f"{self.path}/{part}", f"{self.path}/_{part}"]
        return next((path for path in names if _group(self.file, self._known(path)) is not None), None)

    def _known(self, path: str) -> str:
        """Keras 2.12 and 2.13 called `layers` otherwise."""
        return path if "_layer_checkpoint_dependencies" not in self.file else path.replace("layers", "_layer_checkpoint_dependencies")

    def _own(self, path: str) -> Iterator[Array]:
        group = _group(self.file, f"{self._known(path)}/vars")
        for number in range(len(group) if group is not None else 0):
            yield array_of(group, str(number))


@dataclass(frozen=True)
class Named:
    """Keras 2: a list of weights for each layer of the outermost model, those of inner layers found by their names in it."""

    entries: Sequence[tuple[str, Array]]

    def child(self, key: str, name: str, model: bool) -> "Named":  # noqa: ARG002  what the other kind goes by
        """See `Weights`."""
        found = [entry for entry in self.entries if name in entry[0].split("/")[:-1]]
        return self if model and not found else Named(found)

    def part(self, name: str) -> "Named":  # noqa: ARG002  what the other kind goes by
        """See `Weights`."""
        return self

    def arrays(self, kind: str) -> list[Array]:  # noqa: ARG002  the list is in order
        """See `Weights`."""
        return [array for _, array in self.entries]


@dataclass(frozen=True)
class Groups:
    """Keras 2's outermost model: a group for each layer."""

    group: h5py.Group

    def child(self, key: str, name: str, model: bool) -> Named:  # noqa: ARG002  what the other kind goes by
        """See `Weights`."""
        layer = _group(self.group, name)
        names = [] if layer is None else attribute(layer, "weight_names")
        return Named([(path, array_of(layer, path)) for path in names])

    def part(self, name: str) -> Named:
        """See `Weights`."""
        return self.child("", name, False)

    def arrays(self, kind: str) -> list[Array]:  # noqa: ARG002  a model has none of its own
        """See `Weights`."""
        return []


def weights_of(file: h5py.File) -> Weights:
    """The weights in an HDF5 file of any generation; UserError where they are too large or none are there."""
    root = file.get("model_weights", file)
    if not isinstance(root, h5py.Group):
        raise UserError("holds no weights of a Keras model")
    _refuse_large(root)
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return Groups(root)
    if not {"layers", "_layer_checkpoint_dependencies"} & set(file):
        raise UserError("holds no weights of a Keras model")
    return Paths(file)


def attribute(group: h5py.Group, name: str) -> list[str]:
    """A list of names, which HDF5 keeps in parts where it is long."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [each.decode() if isinstance(each, bytes) else str(each) for part in parts for each in part]


def array_of(group: Any, path: str) -> Array:
    """A tensor; UserError for one that lies outside the file or isn't numbers."""
    *owners, leaf = path.split("/")
    place = _group(group, "/".join(owners)) if owners else group
    dataset = None if place is None or not _is_plain(place, leaf) else place[leaf]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise UserError(f"weight '{path}' is not in the file; save the model again")
    values = np.asarray(dataset)
    if values.dtype.kind == "V" and values.dtype.itemsize == 2:  # bfloat16, the upper half of a float32
        values = (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values


def key_of(kind: str) -> str:
    """What Keras 3's files call a layer of a class, before it is counted.

    >>> key_of("BatchNormalization"), key_of("Conv2DTranspose")
    ('batch_normalization', 'conv2d_transpose')
    """
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _group(parent: Any, path: str) -> h5py.Group | None:
    for part in path.split("/"):
        if not part:
            continue
        if not isinstance(parent, h5py.Group) or not _is_plain(parent, part):
            return None
        parent = parent[part]
    return parent if isinstance(parent, h5py.Group) else None


def _is_plain(group: h5py.Group, name: str) -> bool:
    """Whether a name is there and leads to no other file or place."""
    return name in group and group.get(name, getclass=True, getlink=True) is h5py.HardLink


def _inside(group: h5py.Group) -> list[str]:
    found: list[str] = []
    group.visititems(lambda name, each: found.append(name) if isinstance(each, h5py.Group) and not name.endswith("vars") else None)
    return sorted(found)


def _refuse_large(root: h5py.Group) -> None:
    sizes: list[int] = []
    root.visititems(lambda _, each: sizes.append(int(np.prod(each.shape, dtype=object) * each.dtype.itemsize)) if _has_size(each) else None)
    if sum(sizes) > LARGEST:
        raise UserError(f"says that it holds {sum(sizes) / 2**30:.1f} GB of weights, more than the {LARGEST >> 30} GB that are read")


def _has_size(each: object) -> bool:
    return isinstance(each, h5py.Dataset) and each.shape is not None
