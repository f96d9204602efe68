"""Operators that only move elements: they move the labels in the same way, and have sizes and places written into them."""

from typing import Any

import torch
from torch import fx

from compress.pruning.analysis import Call, Rule, named_arguments, operator
from compress.pruning.labels import pinned, spread
from compress.pruning.rules.pointwise import keep_all
from compress.schemas import schema


def rearrange(call: Call) -> Any:
    """Runs the operator on the labels themselves."""
    names = [argument.name for argument in schema(call.node).arguments if not argument.kwarg_only]
    run: Any = torch.reshape if operator(call.node) in ("view", "_unsafe_view") else call.node.target  # labels need not lie as values do
    return run(*(_labelled(call, call.operands[name], call.values[name]) for name in names))


def rearrange_unless_along(call: Call) -> Any:
    """The same, unless channels lie along the axis that it works on, where places would change."""
    labels, axes = call.labels("self"), call.values["dims" if "dims" in call.values else "dim"]
    if any(call.classes.varies(labels, axis % labels.ndim) for axis in (axes if isinstance(axes, list) else (axes,))):
        return keep_all(call, f"{operator(call.node)} changes their places")
    return rearrange(call)


def pick(call: Call) -> Any:
    """select, unbind: gives slices across an axis; where only that axis holds channels, they stay."""
    labels = call.labels("self")
    axis = call.values["dim"] % labels.ndim
    others = (call.classes.varies(labels, other) for other in range(labels.ndim) if other != axis)
    if call.classes.varies(labels, axis) and not any(others):
        return keep_all(call, f"{operator(call.node)} picks single ones")
    return rearrange(call)


def look_up(call: Call) -> Any:
    """index: rows of a table, by numbers; what lies along its other axes stays in its place."""
    labels, indices = call.labels("self"), call.values["indices"]
    numbered = [axis for axis, index in enumerate(indices) if index is not None]
    others = [axis for axis in range(labels.ndim) if axis not in numbered and call.classes.varies(labels, axis)]
    if any(index is not None and index.dtype == torch.bool for index in indices):
        return keep_all(call, "places are picked by a mask")
    if any(call.classes.varies(labels, axis) for axis in numbered):
        if not others:
            return keep_all(call, "places are picked by number")
        call.classes.along(labels, others[-1])
    return torch.ops.aten.index.Tensor(labels, indices)


def create(call: Call) -> Any:
    """Tensors of one number alone: each element may go."""
    count = call.result.numel()
    return call.classes.fresh(count).reshape(call.result.shape) if 1 < count <= LARGEST_CONSTANT else pinned(call.result.shape)


def stretch(call: Call) -> Any:
    """slice, narrow, split, chunk: each stretch of channels is cut alike on its own."""
    labels = call.labels("self")
    axis = call.values["dim"] % labels.ndim
    if call.values.get("step", 1) != 1:
        return rearrange_unless_along(call)
    parts = rearrange(call)
    if call.classes.varies(labels, axis):
        for part in parts if isinstance(parts, tuple | list) else (parts,):
            call.analysis.anchors.append(call.classes.along(part, axis))
    return parts


def shuffle_pixels(call: Call) -> Any:
    """The r * r channels that make one go together."""
    labels = rearrange(call)
    return spread(call.classes.along(labels, 1), 1, labels.shape)


def pad(call: Call) -> Any:
    """Padding repeats the label of its channel, and has labels of its own where it adds channels (filled with zeros)."""
    labels, amounts = call.labels("self"), call.values["pad"]
    for axis in range(labels.ndim - len(amounts) // 2, labels.ndim):
        before, after = _padding(amounts, axis, labels.ndim)
        shape = (*labels.shape[:axis], labels.shape[axis] + before + after, *labels.shape[axis + 1 :])
        if not call.classes.varies(labels, axis):
            labels = labels.narrow(axis, 0, 1).expand(shape)
        elif call.values.get("mode", "constant") != "constant" or call.values["value"] not in (None, 0) or min(before, after) < 0:
            return keep_all(call, "its padding of channels is not by zeros")
        else:
            parts = [call.classes.fresh(before), call.classes.along(labels, axis), call.classes.fresh(after)]
            labels = spread(torch.cat(parts), axis, shape)
    return labels


def gate(call: Call) -> Any:
    """glu: one half of the channels opens and closes the other."""
    first, second = call.labels("self").chunk(2, call.values["dim"])
    call.classes.tie(first, second)
    return first


def item(call: Call) -> Any:
    """One of several results."""
    return call.analysis.labels[call.operands["0"]][call.operands["1"]]


def adjust_sizes(cut: Any, node: fx.Node) -> None:
    """The sizes that view, reshape, expand and unflatten were given."""
    position = _SIZES_AT.get(operator(node), 1)
    arguments: Any = node.args
    first = arguments[1] % cut.rank(arguments[0]) if position == 2 else 0
    sizes = list(arguments[position])
    for index, size in enumerate(sizes):
        before, after = cut.sizes(node, first + index)
        if before == after or size == -1:
            continue
        if not isinstance(size, fx.Node):
            sizes[index] = after
        elif operator(size) != "sym_size":  # a product with the batch size, say
            sizes[index] = -1
    node.update_arg(position, sizes)


def adjust_slice(cut: Any, node: fx.Node) -> None:
    """Start and end, counted in what is left."""
    given = _arguments(node)
    kept = cut.kept(given["self"], given["dim"])
    if bool(kept.all()):
        return
    if operator(node) == "narrow":
        first = range(len(kept))[given["start"]]
        node.args = (given["self"], given["dim"], int(kept[:first].sum()), int(kept[first : first + given["length"]].sum()))
    else:
        first, last, _ = slice(given["start"], given["end"]).indices(len(kept))
        node.args = (given["self"], given["dim"], int(kept[:first].sum()), int(kept[:last].sum()))


def adjust_split(cut: Any, node: fx.Node) -> None:
    """Every piece's own size."""
    given = _arguments(node)
    if bool(cut.kept(given["self"], given["dim"]).all()):
        return
    sizes = [int(cut.keeps(piece, given["dim"]).sum()) for piece in cut.pieces(node)]
    node.target = torch.ops.aten.split_with_sizes.default
    node.args, node.kwargs = (given["self"], sizes, given["dim"]), {}


def adjust_pad(cut: Any, node: fx.Node) -> None:
    """As many channels of zeros as are left of them."""
    amounts, rank = list(_arguments(node)["pad"]), cut.rank(node)
    for axis in range(rank - len(amounts) // 2, rank):
        kept = cut.kept(node, axis)
        if not bool(kept.all()):
            before, after = _padding(amounts, axis, rank)
            amounts[2 * (rank - 1 - axis)] = int(kept[:before].sum())
            amounts[2 * (rank - 1 - axis) + 1] = int(kept[len(kept) - after :].sum())
    node.update_arg(1, amounts)


def _arguments(node: fx.Node) -> dict[str, Any]:
    return named_arguments(node, node.args, node.kwargs)


def _padding(amounts: list[int], axis: int, rank: int) -> tuple[int, int]:
    """Amounts are listed from the last axis on, two for each."""
    place = 2 * (rank - 1 - axis)
    return amounts[place], amounts[place + 1]


def _labelled(call: Call, operand: Any, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return call.analysis.of(operand, value)
    if isinstance(value, tuple | list) and isinstance(operand, tuple | list):
        return [_labelled(call, *pair) for pair in zip(operand, value, strict=True)]
    return value


LARGEST_CONSTANT = 1 << 14
_CREATED = ("zeros", "ones", "full")
_SIZES_AT = {"unflatten": 2, **dict.fromkeys(_CREATED, 0)}
_MOVES = ("permute", "transpose", "t", "movedim", "flatten", "squeeze", "unsqueeze", "cat", "stack", "repeat", "pixel_unshuffle")
_SIZED = ("view", "reshape", "_unsafe_view", "unflatten", "expand")

RULES: dict[str, Rule] = {
    **dict.fromkeys(_MOVES, Rule(rearrange)),
    **dict.fromkeys(_SIZED, Rule(rearrange, adjust_sizes)),
    **dict.fromkeys((*_CREATED, "new_zeros", "new_ones", "new_full"), Rule(create, adjust_sizes)),
    "index": Rule(look_up),
    **dict.fromkeys(("roll", "flip", "index_select"), Rule(rearrange_unless_along)),
    **dict.fromkeys(("select", "unbind"), Rule(pick)),
    **dict.fromkeys(("slice", "narrow"), Rule(stretch, adjust_slice)),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), Rule(stretch, adjust_split)),
    **dict.fromkeys(("pad", "constant_pad_nd"), Rule(pad, adjust_pad)),
    "pixel_shuffle": Rule(shuffle_pixels),
    "glu": Rule(gate),
    "getitem": Rule(item),
}
