"""Folders of C written by hand in the shape that the TFLite-to-C compiler writes, so that a test decides what the code does."""

import json
from pathlib import Path

from targets.base import Artifact
from targets.formats import c

HEADER = """#ifndef HAND_H
#define HAND_H
#include <stdint.h>
void hand_run(const void *const inputs[], void *const outputs[], void *arena);
#endif
"""
SOURCE = """#include "hand.h"
#include <string.h>
__attribute__((noinline)) static void hand_layer_00(const int8_t *x, int8_t *y, int8_t *arena) {{
    (void)arena;
    {body}
}}
void hand_run(const void *const inputs[], void *const outputs[], void *arena) {{ hand_layer_00(inputs[0], outputs[0], arena); }}
"""


def write(folder: Path, body: str, arena_bytes: int = 16) -> Artifact:
    """A network of one layer from `x`, 4 bytes, to `y`, 4 bytes, whose code is `body`."""
    tensor = {"shape": [1, 4], "dtype": "int8", "scale": 1.0, "zero_point": 0, "permutation": None}
    layer = {"function": "hand_layer_00", "name": "only", "operator": "CUSTOM", "macs": 0, "ram_bytes": 8, "flash_bytes": 0}
    description = {
        "schema": 1,
        "name": "hand",
        "arena_bytes": arena_bytes,
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}],
        "layers": [layer],
        "sources": ["hand.c"],
        "headers": ["hand.h"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hand.h").write_text(HEADER, encoding="ascii")
    (folder / "hand.c").write_text(SOURCE.format(body=body), encoding="ascii")
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    return c.read(folder)
