"""A program of its own, which alone imports TensorFlow: turns a SavedModel into a float TFLite file for one sample.

Called with the SavedModel's folder, the file to write, and shapes as JSON: for each input those that it may have, the first that fits
is taken where the model leaves axes open. Its last line of output is a JSON object: `inputs` (name, shape with null for open axes, dtype),
and `problem`, one line, where there is no file.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

MEMORY = 8 * 2**30
"""Bytes of address space; TensorFlow alone takes 3 GiB of it."""

CODE = ("PyFunc", "EagerPyFunc", "PyFuncStateless", "NumPyFunc")
OUTSIDE = (
    "WriteFile",
    "ReadFile",
    "MatchingFiles",
    "DeleteFile",
    "Rpc",
    "Reader",
    "Dataset",
    "Summary",
    "Print",
    "Debug",
    "Send",
    "Recv",
    "TPU",
    "XlaLaunch",
    "FileSystem",
    "Abort",
    "ImmutableConst",
)
"""Operations that run code or reach beyond the network; no trained network needs them to answer."""

SAVING = ("Save", "MergeV2Checkpoints")
"""Operations that write checkpoints: every SavedModel has a function of them, which loading never calls."""

LISTS = {"TensorListReserve": 0, "TensorListStack": 1, "TensorListFromTensor": 1}
"""Operations on lists, as recurrent layers have them, and which input is the shape of an entry."""


class RefusedError(Exception):
    """What the user is told."""


def main(folder: str, output: str, shapes: str) -> None:
    """Converts, and prints the answer."""
    answer: dict[str, Any] = {}
    try:
        _convert(folder, Path(output), json.loads(shapes), answer)
    except RefusedError as refused:
        answer["problem"] = str(refused)
    except Exception as error:  # noqa: BLE001  whatever TensorFlow raises becomes the parent's one line
        answer["problem"] = f"TensorFlow can't convert it: {_told(error)}"
    print("\n" + json.dumps(answer))  # noqa: T201  it is what the parent reads


def _convert(folder: str, output: Path, shapes: list[list[list[int]]], answer: dict[str, Any]) -> None:
    import tensorflow as tf

    signature = _checked(folder)
    loaded = tf.saved_model.load(folder)
    function = loaded.signatures[signature]
    given = sorted(function.structured_input_signature[1].items())
    answer["inputs"] = [(name, _sizes(spec), spec.dtype.name) for name, spec in given]
    fixed = [_fixed(_sizes(spec), shapes[place] if place < len(shapes) else []) for place, (_, spec) in enumerate(given)]
    if any(size is None for shape in fixed for size in shape):
        return
    specs = {name: tf.TensorSpec(shape, spec.dtype, name=name) for (name, spec), shape in zip(given, fixed, strict=True)}
    concrete = _frozen(tf, tf.function(function).get_concrete_function(**specs))
    output.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def _checked(folder: str) -> str:
    """The name of the signature to take, after a look at every operation in the file. Nothing of it runs."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((Path(folder) / "saved_model.pb").read_bytes())
    except Exception:  # noqa: BLE001  protobuf's own error is not TensorFlow's to import
        raise RefusedError("saved_model.pb is damaged; save the model again") from None
    graphs = [meta.graph_def for meta in saved.meta_graphs if "serve" in meta.meta_info_def.tags]
    if not graphs:
        raise RefusedError("holds no graph for serving; save it with tf.saved_model.save or model.export")
    nodes = [node for graph in graphs for nodes in (graph.node, *(each.node_def for each in graph.library.function)) for node in nodes]
    functions = {each.signature.name for graph in graphs for each in graph.library.function}
    saving = _saving(saved)
    idle = {id(node) for graph in graphs for each in graph.library.function if each.signature.name == saving for node in each.node_def}
    for node in nodes:
        if node.op.startswith(CODE):
            raise RefusedError(f"operation '{node.name}' ({node.op}) calls Python code, which isn't in the file; express it in TensorFlow")
        if any(word in node.op for word in OUTSIDE) or (id(node) not in idle and any(word in node.op for word in SAVING)):
            raise RefusedError(f"operation '{node.name}' ({node.op}) reaches beyond the network; save the model without it")
        if node.op not in functions and op_def_registry.get(node.op) is None:
            raise RefusedError(
                f"operation '{node.name}' ({node.op}) is a custom one, which TensorFlow doesn't know; express it in TensorFlow"
            )
    return _signature([name for meta in saved.meta_graphs for name in meta.signature_def if not name.startswith("__")])


def _saving(saved: Any) -> str | None:
    """The function that writes checkpoints, as `saver_def` names it, if nothing that runs can call it.

    TensorFlow 2 takes functions from the object graph and runs no node of the graph itself; a file without that may run any.
    """
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        return None
    (meta,) = saved.meta_graphs
    saver = meta.saver_def.save_tensor_name.partition(":")[0]
    name: str | None = next((node.attr["f"].func.name for node in meta.graph_def.node if node.name == saver and "f" in node.attr), None)
    library = meta.graph_def.library
    parts = [meta.object_graph_def, *library.gradient, *library.registered_gradients]
    parts += [node for node in meta.graph_def.node if node.name != saver]
    parts += [node for each in library.function for node in each.node_def]
    return name if name and not any(name.encode() in part.SerializeToString() for part in parts) else None


def _signature(names: list[str]) -> str:
    if "serving_default" in names or len(names) == 1:
        return "serving_default" if "serving_default" in names else names[0]
    if not names:
        raise RefusedError("has no signature; save it with signatures={'serving_default': function}")
    raise RefusedError(f"has the signatures {', '.join(sorted(names))}; save it with the one to use as 'serving_default'")


def _sizes(spec: Any) -> list[int | None]:
    if spec.shape.rank is None:
        raise RefusedError(f"input '{spec.name}' has a shape of any rank; give it one with tf.TensorSpec")
    return list(spec.shape.as_list())


def _fixed(sizes: list[int | None], possible: list[list[int]]) -> list[int | None]:
    """One sample's shape, open axes as in the first possible one that fits."""
    wanted: list[int | None] = [1, *sizes[1:]] if sizes and sizes[0] is None else sizes
    for shape in possible:
        if len(shape) == len(wanted) and all(size in (None, asked) for size, asked in zip(wanted, shape, strict=True)):
            return list(shape)
    return wanted


def _frozen(tf: Any, concrete: Any) -> Any:
    """The function with its variables as constants, and lists whose entries have one sample: the converter wants no open shapes."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        shape = nodes.get(node.input[LISTS[node.op]].partition(":")[0]) if node.op in LISTS else None
        if shape is not None and shape.op == "Const":
            sizes = tf.make_ndarray(shape.attr["value"].tensor)
            shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(abs(sizes)))  # -1, open, becomes 1
    imported = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    return imported.prune([tensor.name for tensor in frozen.inputs], [tensor.name for tensor in frozen.outputs])


def _told(error: Exception) -> str:
    """The line of an error that says what is wrong, without the places in source files before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "error:" in line), lines[0] if lines else type(error).__name__)
    return told.rpartition("error:")[2].strip()[:300]


if __name__ == "__main__":
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    main(*sys.argv[1:])
