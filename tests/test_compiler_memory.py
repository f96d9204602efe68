"""The plan of a microcontroller's memory: no two tensors in each other's way, told by the measurement and drawn in the report."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from conftest import DATA

from compress.report import page
from compress.report.content import Row
from compress.report.memory_plan import memory_plan
from targets.errors import UserError
from targets.formats import c, tflite
from targets.microcontroller.compiler import compile_tflite, lower
from targets.microcontroller.compiler.planner import Buffer, plan

SVG = "{http://www.w3.org/2000/svg}"
PLACES = [
    {"name": "<first> & all", "offset": 0, "bytes": 4096, "first": 0, "last": 1},
    {"name": "second", "offset": 4096, "bytes": 1024, "first": 1, "last": 2},
    {"name": None, "offset": 5120, "bytes": 16, "first": 1, "last": 1},
]
STRIPES = {"first": 0, "last": 1, "count": 4, "moved_bytes": 100, "extra_macs": 0}
LAYERS = [{"name": f"layer{number}", "operator": "CONV_2D", "cycles": 100} for number in range(4)]


def row(**details):
    return Row("net.tflite", "tflite", "board", "emulated", layers=LAYERS, details=details)


def test_the_plan_is_drawn_with_a_box_for_each_tensor():
    drawing = ET.fromstring(memory_plan(row(memory_plan=PLACES, stripes=STRIPES)))  # noqa: S314  our own drawing
    titles = [element.text for element in drawing.iter("title")]
    assert titles == [
        "layers 0 to 1 in 4 stripes",
        "<first> & all: 4,096 bytes at 0, layers 0 to 1",
        "second: 1,024 bytes at 4,096, layers 1 to 2",
        "scratch memory: 16 bytes at 5,120, layers 1 to 1",
    ]
    boxes = [{key: float(box.get(key)) for key in ("x", "y", "width", "height")} for box in drawing.iter("rect")]
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=0.2)
    assert boxes[0]["y"] + boxes[0]["height"] == pytest.approx(boxes[1]["y"], abs=0.2)
    assert boxes[0]["height"] == pytest.approx(4 * boxes[1]["height"], abs=0.5)
    assert boxes[0]["x"] < boxes[1]["x"] == boxes[2]["x"]


def test_rows_without_a_plan_have_no_drawing():
    assert memory_plan(row()) is None
    assert memory_plan(row(memory_plan=[])) is None


def test_the_page_shows_the_plan_below_the_layers():
    assert "<h3>Memory plan</h3>" in page._row_layers(row(memory_plan=PLACES), page.costs(row()))


def test_buffers_that_are_needed_together_never_overlap():
    random = np.random.default_rng(0)
    for _ in range(30):
        firsts = random.integers(0, 10, 12)
        buffers = [
            Buffer(int(size), int(first), int(first + last))
            for size, first, last in zip(4 * random.integers(1, 50, 12), firsts, random.integers(0, 4, 12), strict=True)
        ]
        found = plan(buffers)
        for index, one in enumerate(buffers):
            for other_index, other in enumerate(buffers[:index]):
                apart = (
                    found.offsets[index] + one.size <= found.offsets[other_index]
                    or found.offsets[other_index] + other.size <= found.offsets[index]
                )
                assert apart or one.last < other.first or other.last < one.first
        largest = max(sum(buffer.size for buffer in buffers if buffer.first <= step <= buffer.last) for step in range(14))
        assert largest <= found.arena_bytes


def test_a_description_whose_plan_is_no_plan_is_refused(tmp_path):
    path = DATA / "mlperf_tiny" / "kws_ref_model.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    folder = compile_tflite(path, tmp_path / "c").path
    content = json.loads((folder / "model.json").read_text())
    for damaged in ([{"offset": "there"}], ["text"], 5):
        (folder / "model.json").write_text(json.dumps({**content, "memory_plan": damaged}))
        with pytest.raises(UserError, match="an entry is missing or of the wrong kind"):
            c.read(folder)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "limit", "arena"),
    [("kws_ref_model", None, 8256), ("vww_96_int8", None, 48496), ("vww_96_int8", 32, 32768), ("vww_96_int8", 24, 24576)],
)
def test_arenas_of_networks_that_others_made(name, limit, arena):
    path = DATA / "mlperf_tiny" / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    memory = lower(tflite.load(path), "net", limit).memory
    assert memory.arena_bytes <= arena
    assert (memory.stream is not None) == (limit is not None)
    assert max(place.offset + place.bytes for place in memory.arena) <= memory.arena_bytes
