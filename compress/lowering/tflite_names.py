"""Names in a TFLite file: tensors are called after the layers that make them, inputs as the network calls them."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from targets.formats.tflite_objects import text


def rename(file: Any, inputs: Sequence[str], outputs: Sequence[str], weighted: Collection[str]) -> None:
    """Renames the tensors of a `ModelT` in place: `inputs` and `outputs` are their names, `weighted` the layers that have weights.

    A fused operator is called after the layer with weights in it; a layer's second operator gets a number that is no other layer's name.

    litert-torch joins what was fused with ";;" and adds a number: `stem.2;;stem.0.0;1` becomes `stem.0.0`.
    """
    graph = file.subgraphs[0]
    used: Counter[str] = Counter()
    named: set[int] = set()
    made = [graph.tensors[index] for operator in graph.operators for index in operator.outputs]
    layers = {*outputs, *(_layer(text(tensor.name), weighted) for tensor in made)}
    for index, name in [*zip(graph.inputs, inputs, strict=True), *zip(graph.outputs, outputs, strict=True)]:
        if index not in named:
            graph.tensors[index].name = _unique(name, used, layers)
            named.add(index)
    for operator in graph.operators:
        for index in set(operator.outputs) - named:
            graph.tensors[index].name = _unique(_layer(text(graph.tensors[index].name), weighted), used, layers)
            named.add(index)
    for index, tensor in enumerate(graph.tensors):
        if index not in named:
            tensor.name = _unique(_layer(text(tensor.name), weighted) + "/constant", used, layers)
    for signature in file.signatureDefs or []:
        for entry, name in zip(signature.inputs, inputs, strict=True):
            entry.name = name


def _layer(joined: str, weighted: Collection[str]) -> str:
    parts = [part for part in joined.replace("serving_default_", "").split(";") if part and not part.isdigit()]
    if not parts:
        return "layer"
    return next((part for part in parts if part in weighted), parts[-1])


def _unique(name: str, used: Counter[str], layers: Collection[str]) -> str:
    used[name] += 1
    if used[name] == 1:
        return name
    numbered = f"{name}_{used[name]}"
    return _unique(name if numbered in layers else numbered, used, layers)
