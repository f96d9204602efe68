"""Sums of products by letters (einsum): what is summed over is tied and gone; what is left lies where the letters say."""

from math import prod
from typing import Any

from compress.model import layer_name
from compress.pruning.analysis import Call, Layer, Rule
from compress.pruning.labels import Labels, pinned, spread
from compress.pruning.rules.pointwise import combine, keep_all


def einsum(call: Call) -> Any:
    """Every letter is an axis; of a weight's axes that only it has, the first makes channels and the others stay."""
    equation = call.values["equation"].replace(" ", "")
    before, arrow, result = equation.partition("->")
    letters = before.split(",")
    if not arrow or "." in equation or any(len(set(each)) < len(each) for each in letters):
        return keep_all(call, f"einsum '{equation}' is not followed")
    operands, values = call.operands["tensors"], call.values["tensors"]
    activations = [number for number, each in enumerate(operands) if each.op != "get_attr"]
    tensors: dict[int, Labels] = {number: call.analysis.of(operands[number], values[number]) for number in activations}
    for labels in tensors.values():
        call.classes.make_rectangular(labels)
    _tie_shared(call, {number: (letters[number], labels) for number, labels in tensors.items()}, result)
    sizes = {letter: size for each, value in zip(letters, values, strict=True) for letter, size in zip(each, value.shape, strict=True)}
    found = [_arranged(call, letters[number], labels, result, sizes) for number, labels in tensors.items()]
    given = {
        letter: call.classes.along_if_varied(labels, letters[n].index(letter)) for n, labels in tensors.items() for letter in letters[n]
    }
    for number, operand in enumerate(operands):
        made = None if number in tensors else _weight(call, str(operand.target), letters[number], given, sizes)
        if made is not None and made[0] in result:
            found.append(spread(made[1], result.index(made[0]), [sizes[letter] if letter == made[0] else 1 for letter in result]))
    return combine(call.classes, found, call.result.shape)


def _tie_shared(call: Call, tensors: dict[int, tuple[str, Labels]], result: str) -> None:
    """Letters that are summed over are the same channels in all that have them."""
    for letter in {letter for letters, _ in tensors.values() for letter in letters} - set(result):
        having = [(labels, letters.index(letter)) for letters, labels in tensors.values() if letter in letters]
        if any(call.classes.varies(labels, axis) for labels, axis in having):
            first, *others = [call.classes.along(labels, axis) for labels, axis in having]
            for other in others:
                call.classes.tie(first, other)


def _arranged(call: Call, letters: str, labels: Labels, result: str, sizes: dict[str, int]) -> Labels:
    """An operand's labels with the result's axes, of size 1 where it has none of that letter."""
    for axis, letter in reversed(list(enumerate(letters))):
        if letter not in result:
            labels = pinned(labels.select(axis, 0).shape) if call.classes.varies(labels, axis) else labels.select(axis, 0)
    left = [letter for letter in letters if letter in result]
    labels = labels.permute([left.index(letter) for letter in result if letter in left])
    return labels.reshape([sizes[letter] if letter in left else 1 for letter in result])


def _weight(call: Call, name: str, letters: str, given: dict[str, Labels | None], sizes: dict[str, int]) -> tuple[str, Labels] | None:
    """Labels a weight's axes; the letter that it brings, with the channels along it."""
    inputs = [axis for axis, letter in enumerate(letters) if letter in given]
    made = [axis for axis, letter in enumerate(letters) if letter not in given]
    for axis in inputs:
        vector = given[letters[axis]]
        if vector is not None:
            call.analysis.weight_axis(name, axis, vector)
    if not made:
        return None
    vector = call.analysis.new_axis(name, made[0], sizes[letters[made[0]]])
    positions = prod(sizes.values()) // prod(sizes[letter] for letter in letters) // call.analysis.batch
    if inputs:
        call.analysis.layers.append(Layer(layer_name(call.node), name, made[0], inputs[0], positions))
    return letters[made[0]], vector


RULES = {"einsum": Rule(einsum)}
