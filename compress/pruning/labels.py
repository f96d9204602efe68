"""Labels: integers on the elements of tensors; elements with labels of one class are removed together or not at all."""

from collections.abc import Sequence

import numpy as np
import torch

Labels = torch.Tensor
"""An int64 tensor of the shape of the tensor that it labels; axes along which nothing differs have stride 0 and cost no memory."""

PINNED = 0
"""The class of elements that stay: inputs, outputs, and whatever an operator that isn't followed touched."""


class Classes:
    """Which labels belong together (union-find; Tarjan 1975). A class is named by its smallest label."""

    def __init__(self) -> None:
        self._parents = np.zeros(1, np.int64)

    @property
    def count(self) -> int:
        """How many labels there are; the name of every class is below."""
        return len(self._parents)

    def fresh(self, count: int) -> Labels:
        """New labels [count], each a class of its own."""
        start = len(self._parents)
        self._parents = np.concatenate([self._parents, np.arange(start, start + count)])
        return torch.arange(start, start + count)

    def find(self, labels: Labels) -> Labels:
        """The class of each element; same shape."""
        while not np.array_equal(above := self._parents[self._parents], self._parents):
            self._parents = above
        small = _without_repeats(labels)
        return torch.from_numpy(self._parents[small.numpy()]).expand(labels.shape)

    def tie(self, first: Labels, second: Labels) -> None:
        """From now on the elements at the same place of both, which have as many axes and broadcast, are of one class."""
        pair = torch.stack(_without_common_repeats(first, second), -1).reshape(-1, 2)
        for one, other in np.unique(self.find(pair).numpy(), axis=0):
            low, high = sorted((self._root(one), self._root(other)))
            self._parents[high] = low

    def pin(self, labels: Labels) -> None:
        """From now on these elements stay."""
        self.tie(labels, pinned(labels.shape))

    def varies(self, labels: Labels, axis: int) -> bool:
        """Whether elements along this axis differ in class."""
        if labels.stride(axis) == 0 or labels.shape[axis] < 2:
            return False
        small = _without_repeats(labels)
        found = self.find(small)
        return bool((found != found.narrow(axis, 0, 1)).any())

    def along(self, labels: Labels, axis: int) -> Labels:
        """The labels [size] of slices across this axis: what shares a slice is tied together."""
        vector = labels[tuple(slice(None) if k == axis % labels.ndim else 0 for k in range(labels.ndim))]
        self.tie(labels, spread(vector, axis, labels.shape))
        return vector

    def along_if_varied(self, labels: Labels, axis: int) -> Labels | None:
        """The same where elements along this axis differ in class; None, and nothing tied, where they don't."""
        return self.along(labels, axis) if self.varies(labels, axis) else None

    def make_rectangular(self, labels: Labels) -> None:
        """Ties what must be tied so that removing any class leaves a rectangular tensor: along the axis that keeps most classes apart."""
        axes = [axis for axis in range(labels.ndim) if self.varies(labels, axis)]
        if len(axes) > 1:
            self.along(labels, max(axes, key=lambda axis: self._classes_left(labels, axis)))

    def axis_of(self, labels: Labels) -> int | None:
        """The axis along which classes differ, of labels that have been made rectangular."""
        return next((axis for axis in range(labels.ndim) if self.varies(labels, axis)), None)

    def _classes_left(self, labels: Labels, axis: int) -> int:
        before = self._parents.copy()
        left = len(set(self.find(self.along(labels, axis)).tolist()))
        self._parents = before
        return left

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            label = self._parents[label]
        return label


def pinned(shape: torch.Size | tuple[int, ...]) -> Labels:
    """Labels of elements that stay."""
    return torch.zeros((), dtype=torch.int64).expand(shape)


def spread(vector: Labels, axis: int, shape: Sequence[int]) -> Labels:
    """The labels [size] of an axis, repeated along all the others."""
    return vector.reshape([-1 if k == axis % len(shape) else 1 for k in range(len(shape))]).expand(shape)


def _without_repeats(labels: Labels) -> Labels:
    for axis, stride in enumerate(labels.stride()):
        if stride == 0 and labels.shape[axis] > 1:
            labels = labels.narrow(axis, 0, 1)
    return labels


def _without_common_repeats(first: Labels, second: Labels) -> tuple[Labels, Labels]:
    shape = [max(sizes) for sizes in zip(first.shape, second.shape, strict=True)]
    first, second = first.expand(shape), second.expand(shape)
    for axis in range(first.ndim):
        if first.stride(axis) == 0 and second.stride(axis) == 0 and first.shape[axis] > 1:
            first, second = first.narrow(axis, 0, 1), second.narrow(axis, 0, 1)
    return first, second
