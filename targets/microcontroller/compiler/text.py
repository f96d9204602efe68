"""Pieces of C text: names, literals, arrays. Nothing from a file gets into C but through here, as a number or a harmless name."""

import re
import unicodedata
from collections.abc import Mapping

import numpy as np

from targets.base import Array
from targets.microcontroller.compiler.layer import Constant

C_TYPES = {
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "float32": "float",
    "float64": "double",
    "bool": "uint8_t",
}
COLUMNS = 24
KEYWORDS = frozenset(
    {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float", "for"}
) | {
    *("goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch"),
    *("typedef", "union", "unsigned", "void", "volatile", "while", "main"),
}


def identifier(name: str) -> str:
    """A name of [a-z0-9_] that is a C identifier and no keyword.

    >>> identifier("KWS-model (v2)"), identifier("2"), identifier("int")
    ('kws_model_v2', 'model_2', 'model_int')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    joined = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:48]
    return joined if joined and not joined[0].isdigit() and joined not in KEYWORDS else f"model_{joined}".rstrip("_")


def comment(name: str) -> str:
    """A name as it may stand in a comment: nothing of it can end the comment or join lines."""
    return re.sub(r"[^A-Za-z0-9_.:;+\- ]", "_", name)[:100]


def structure(kind: str, **values: int | str) -> str:
    """A compound literal of a kernel's structure, of numbers or of expressions in C."""
    members = (f".{key} = {value if isinstance(value, str) else literal(value)}" for key, value in values.items())
    return f"({kind}){{{', '.join(members)}}}"


def literal(value: int) -> str:
    """A whole number as a C constant expression; the lowest int32 has no literal of its own."""
    if value == -(2**31):
        return "(-2147483647 - 1)"
    return f"INT64_C({value})" if abs(value) >= 2**31 else str(int(value))


def declaration(constant: Constant, prefix: str) -> str:
    """The extern declaration of a constant, with its alignment: without, a compiler assumes what its platform gives large arrays."""
    head = f"extern const {C_TYPES[constant.values.dtype.name]} {prefix}{constant.name}[{constant.values.size}] EP_ALIGN"
    return _guarded(constant, f"{head};")


def definition(constant: Constant, prefix: str) -> str:
    """The definition of a constant, aligned to 4 bytes."""
    values = [_element(value) for value in constant.values.ravel()]
    rows = [", ".join(values[start : start + COLUMNS]) for start in range(0, len(values), COLUMNS)]
    body = ",\n    ".join(rows)
    head = f"const {C_TYPES[constant.values.dtype.name]} {prefix}{constant.name}[{len(values)}] EP_ALIGN"
    return _guarded(constant, f"{head} = {{\n    {body},\n}};")


def qualify(body: str, names: Mapping[str, str]) -> str:
    """The body with a layer's own names of constants replaced by the program's."""
    return re.sub(r"\b[a-z_]+[0-9]*\b", lambda match: names.get(match.group(), match.group()), body)


def _element(value: Array) -> str:
    if isinstance(value, np.float64):
        return float(value).hex()
    if isinstance(value, np.floating):
        return real(float(value))
    return literal(int(value))


def real(value: float) -> str:
    """A float32 as a hexadecimal literal, which is exact."""
    return f"{value.hex()}F"


def _guarded(constant: Constant, text: str) -> str:
    return f"#if {constant.guard}\n{text}\n#endif" if constant.guard else text
