"""Operators on Python's own values: sizes, lists and conditions. They stay values, so that free axes stay free."""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch

from targets.errors import UserError

LONGEST = 1_000_000
"""Entries of a list, letters of a word."""


def _refuse_call(*given: Any) -> Any:
    raise UserError(f"it stops with its own message: {given[0] if given else ''}")


def small(value: Any) -> Any:
    """The value; UserError for a number beyond 64 bits, and for a list or word that is longer than `LONGEST`: made to fill the memory."""
    long = isinstance(value, list | str | dict) and len(value) > LONGEST
    if long or (isinstance(value, int) and abs(value) >= 2**63):
        raise UserError("it makes a number or a list that is larger than any network's")
    return value


def _multiply(values: Any, other: Any) -> Any:
    if isinstance(values, list) and len(values) * other > LONGEST:
        return small(values * (LONGEST // len(values) + 1))
    return values * other


def _power(base: Any, exponent: Any) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int)
    return base ** min(exponent, 64) if whole and abs(base) > 1 else base**exponent


def _divide(dividend: Any, divisor: Any, rounding: str | None = None) -> Any:
    if rounding == "floor":
        return dividend // divisor
    return int(dividend / divisor) if rounding == "trunc" else dividend / divisor


def _slice(values: Any, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    return values[start:end:step]


def _add(values: Any, other: Any, factor: Any = 1) -> Any:
    return values + (other if factor == 1 else factor * other)


def _subtract(values: Any, other: Any, factor: Any = 1) -> Any:
    return values - factor * other


def _append(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def _set_item(values: Any, place: Any, value: Any) -> Any:
    values[place] = value
    return values


def _nothing(*given: Any) -> None:
    """A message to the user of the network, which nobody reads here."""


ON_VALUES: dict[str, Callable[..., Any]] = {
    "aten::add": _add,
    "aten::sub": _subtract,
    "aten::mul": _multiply,
    "aten::div": _divide,
    "aten::floordiv": operator.floordiv,
    "aten::floor_divide": operator.floordiv,
    "aten::remainder": operator.mod,
    "aten::pow": _power,
    "aten::neg": operator.neg,
    **{f"aten::{name}": getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "aten::__and__": lambda one, other: one and other,
    "aten::__or__": lambda one, other: one or other,
    "aten::__not__": operator.not_,
    "aten::__contains__": operator.contains,
    "aten::__getitem__": operator.getitem,
    "aten::append": _append,
    "aten::_set_item": _set_item,
    "aten::extend": operator.iadd,
    "aten::add_": operator.iadd,
    "aten::insert": list.insert,
    "aten::reverse": list.reverse,
    "aten::sort": lambda values, reverse=False: values.sort(reverse=reverse),
    "aten::pop": lambda values, *place: values.pop(*place),
    "aten::items": lambda values: list(values.items()),
    "aten::keys": list,
    "aten::values": lambda values: list(values.values()),
    "aten::slice": _slice,
    "aten::list": list,
    "aten::len": len,
    "aten::ceil": math.ceil,
    "aten::floor": math.floor,
    "aten::sqrt": math.sqrt,
    "aten::Float": torch.sym_float,
    "aten::Int": torch.sym_int,
    "aten::format": lambda text, *given: str(text).replace("{}", "%s") % given,
    "aten::warn": _nothing,
    "prim::type": lambda _: "cpu",
    **dict.fromkeys(("aten::is_grad_enabled", "aten::is_autocast_enabled", "aten::is_autocast_cpu_enabled"), lambda *_: False),
    "prim::Print": _nothing,
    "prim::RaiseException": _refuse_call,
    "prim::min": min,
    "prim::max": max,
    **dict.fromkeys(("aten::IntImplicit", "aten::ScalarImplicit", "aten::Bool", "prim::NumToTensor", "aten::detach"), lambda value: value),
    "aten::to": lambda value, *_: value,
}
"""Used where none of the operands is a tensor."""


ON_ANYTHING: dict[str, Callable[..., Any]] = {"aten::__is__": operator.is_, "aten::__isnot__": operator.is_not}


def _refuse_number(*_: Any) -> Any:
    raise UserError("it goes by the numbers in a tensor, which no exported network can; trace it with torch.jit.trace and save that")


ON_TENSORS: dict[str, Callable[..., Any]] = {
    "aten::size": lambda value, axis=None: list(value.shape) if axis is None else value.shape[axis],
    "aten::dim": lambda value: value.dim(),
    "aten::len": lambda value: value.shape[0],
    "aten::numel": lambda value: value.numel(),
    "aten::is_floating_point": lambda value: value.is_floating_point(),
    "prim::shape": lambda value: list(value.shape),
    "prim::dtype": lambda value: value.dtype,
    "prim::device": lambda value: value.device,
    "prim::layout": lambda value: value.layout,
    **dict.fromkeys((f"prim::{word}" for word in ("is_cuda", "is_mkldnn", "is_nested", "is_quantized", "is_sparse")), lambda _: False),
    "prim::requires_grad": lambda _: False,
    **dict.fromkeys(("aten::Int", "aten::IntImplicit", "aten::ScalarImplicit", "aten::Float", "aten::Bool"), _refuse_number),
}
"""What asks a tensor for a value."""
