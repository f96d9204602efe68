"""The C headers of `kernels/`: those that layers name, with those that they include, each written for one type of numbers.

A header that works for several types has words in place of the type's: `element_t` is what tensors hold, `weight_t` what weights,
`number_t` what is computed with, `_T` ends the names that belong to the type and `_N` those that belong to its `number_t`.
`edgepress_pool.h` is written for int8, `edgepress_pool_int16.h` and `edgepress_pool_float32.h` are the same text with other words.
"""

import re
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "kernels"
WORDS = {
    "int8": {"element_t": "int8_t", "weight_t": "int8_t", "number_t": "int32_t", "_T": "", "_N": ""},
    "int16": {"element_t": "int16_t", "weight_t": "int8_t", "number_t": "int32_t", "_T": "_int16", "_N": ""},
    "float32": {"element_t": "float", "weight_t": "float", "number_t": "float", "_T": "_float32", "_N": "_float32"},
}
PLACES = re.compile(r"\b(?:element_t|weight_t|number_t)\b|(?:_T|_N)(?![A-Za-z])")


def suffix(dtype: str) -> str:
    """What the names of a type's kernels end in; int8's end in nothing."""
    return WORDS[dtype]["_T"]


def header(name: str, dtype: str) -> str:
    """The file name of a header for a type.

    >>> header("pool", "int16"), header("pool", "int8")
    ('edgepress_pool_int16.h', 'edgepress_pool.h')
    """
    return f"edgepress_{name}{suffix(dtype)}.h"


def texts(names: Iterable[str]) -> dict[str, str]:
    """The headers of these names, with all that they include, by name in order."""
    found: dict[str, str] = {}
    wanted = {"edgepress_common.h", *names}
    while wanted:
        found |= {name: _text(name) for name in wanted}
        wanted = {included for text in found.values() for included in re.findall(r'#include "(\w+\.h)"', text)} - found.keys()
    return dict(sorted(found.items()))


def _text(name: str) -> str:
    file, words = _origin(name)
    return PLACES.sub(lambda place: words[place.group()], file.read_text(encoding="ascii"))


def _origin(name: str) -> tuple[Path, dict[str, str]]:
    """The file that a header is made of, and the words it is written with."""
    for words in WORDS.values():
        file = FOLDER / f"{name.removesuffix(words['_T'] + '.h')}.h"
        if not (FOLDER / name).exists() and file.exists():
            return file, words
    return FOLDER / name, WORDS["int8"]
