"""Instructions of an ONNX file's operators, each counted where it runs within the whole inference, with nothing split or repeated.

ONNX Runtime's executor runs every node, whatever its kind, by one and the same indirect call. Which one that is the counting plugin
(`marks.c`) learns from an inference of a network whose nodes are known, the practice. ONNX Runtime's profiler names the nodes.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from targets.base import Layer
from targets.formats.tflite_parts import RUNTIME

KINDS = ("Relu", "Sigmoid", "Softmax", "Neg", "Transpose", "Exp", "Flatten", "Tanh", "Abs")
"""Nodes that take a matrix and give one of as many numbers. They have hardly any code in common but what runs a node."""
NODES = 3 * len(KINDS)
PRACTICE = "practice.onnx"
NOTE = f"layers: each operator counted where it runs in the whole; '{RUNTIME}' is the rest, what ONNX Runtime and Python do around them"
MISSING = "layers: not counted: ONNX Runtime's calls of operators are not those that its profiler names"


def practice() -> bytes:
    """An `.onnx` file of `NODES` nodes in a row that takes float32 numbers, [rows, columns]."""
    from onnx import TensorProto, helper

    names = [f"numbers_{number}" for number in range(NODES + 1)]
    nodes = [helper.make_node(kind, [taken], [given]) for kind, (taken, given) in zip(KINDS * 3, pairwise(names), strict=True)]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", "columns"])] for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "practice", *ends)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    content: bytes = model.SerializeToString()
    return content


def calls(marks: str) -> Iterator[list[int | None]]:
    """For each inference, the instructions of each call of an operator in the order in which they end; None for one within another.

    >>> list(calls("1 10\\ncall 20\\ncall 25\\nback 30\\nback 70\\ncall 75\\nback 80\\n2 90\\n"))
    [[None, 50, 5]]
    """
    ended: list[int | None] = []
    begun: list[int] = []
    for line in marks.splitlines():
        kind, count = line.split()
        if kind == "1":
            ended, begun = [], []
        elif kind == "call":
            begun.append(int(count))
        elif kind == "back":
            spent = int(count) - begun.pop()
            ended.append(None if begun else spent)
        elif kind == "2":
            yield ended


def layers(nodes: Sequence[Mapping[str, str]], counts: Sequence[int | None], whole: int | None) -> tuple[Layer, ...]:
    """A row for what an inference of `whole` instructions spends outside of operators, then one for each that is in no other.

    `nodes` are name and kind of each that ended, in order, `counts` what each took. Where they are not equally many, rows have no figures.
    """
    if whole is None or len(counts) != len(nodes):
        return tuple(Layer(node["name"], node["operator"]) for node in nodes)
    rows = [
        Layer(node["name"], node["operator"], instructions=count) for node, count in zip(nodes, counts, strict=True) if count is not None
    ]
    rest = whole - sum(row.instructions or 0 for row in rows)
    return (Layer(RUNTIME, RUNTIME, instructions=rest), *rows)


def note(rows: Sequence[Layer]) -> tuple[str, ...]:
    """How the rows were counted, or that they weren't; nothing where there are none."""
    return ((NOTE if rows[0].instructions is not None else MISSING),) if rows else ()
