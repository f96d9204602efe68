"""Networks with zeros or shared weights, without training: what is left of the accuracy, and of the file when it is zipped.

    python benchmarks/sparsity.py --data ../shared/data --json

`magnitude`, `wanda` and `sparsegpt` are prune_weights' criteria, `setting` the sparsity or pattern; `cluster` is that pass and `setting`
its number of clusters; `torch` is torch.nn.utils.prune's global magnitude, `dense` the network as it came. All are quantized by the same
`quantize` and exported by the same exporter. `accuracy` is that of the float network in torch, `int8_accuracy` that of the int8 TFLite file
in LiteRT, both in percent on the same samples; `bytes` and `zipped_bytes` (deflate, level 9) are the file's. `--files` names the tools
whose files are made, which takes most of the time.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from compress.console import ConsoleProgress

NETWORKS = ("resnet20", "dscnn", "vww")
TOOLS = ("dense", "torch", "magnitude", "wanda", "sparsegpt", "cluster")
SPARSITIES = ("0.5", "0.7", "0.8", "2:4")
CLUSTERS = ("16", "32")
FIGURES = ("zeros", "accuracy", "int8_accuracy", "bytes", "zipped_bytes", "cpu_seconds")


def split(inputs, labels):
    from compress.data.base import Split

    return Split(len(inputs), lambda rows: ((inputs[rows],), labels[rows]))


def load(network, calibration, samples):
    """The torch module, the data as edgepress takes them, and the module captured."""
    import numpy as np
    import shared_data

    import compress
    from compress.data.base import Data

    module = shared_data.network(network).eval()
    seen = np.asarray(shared_data.calibration(network, calibration), np.float32)
    inputs, labels = shared_data.datasets.evaluation(network)
    unlabelled = split(seen, np.zeros(len(seen), np.int64))
    scored = split(np.asarray(inputs, np.float32), np.asarray(labels, np.int64)).first(samples)
    data = Data(network, unlabelled, unlabelled, scored, network)
    return module, data, compress.load(module, data)


def by_torch(module, data, sparsity):
    """The network after PyTorch's own global magnitude pruning of convolutions and linear layers."""
    import copy

    from torch import nn
    from torch.nn.utils import prune

    import compress

    pruned = copy.deepcopy(module)
    weights = [(layer, "weight") for layer in pruned.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=sparsity)
    for layer, name in weights:
        prune.remove(layer, name)
    return compress.load(pruned, data)


def compressed(tool, setting, module, data, model):
    """The network that a tool makes."""
    import compress

    if tool == "dense":
        return model
    if tool == "torch":
        return by_torch(module, data, float(setting))
    if tool == "cluster":
        return compress.apply(model, data, {"cluster": {"clusters": int(setting)}})
    share = {"pattern": setting} if ":" in setting else {"sparsity": float(setting)}
    return compress.apply(model, data, {"prune_weights": {"criterion": tool, **share}})


def row(network, tool, setting, loaded, *, file):
    """The figures of one network."""
    import compress
    from compress.report.rows import zipped
    from compress.sparsity.layers import find

    module, data, model = loaded
    start = time.process_time()
    made = compressed(tool, setting, module, data, model)
    seconds = time.process_time() - start
    weights = [made.graph.get_parameter(layer.weight) for layer in find(made, (), "benchmark")]
    figures: dict[str, Any] = {"network": network, "tool": tool, "setting": setting, **dict.fromkeys(FIGURES)}
    figures["zeros"] = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    figures["accuracy"], figures["cpu_seconds"] = 100 * compress.evaluate(made, data), seconds
    if file:
        with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
            artifact = compress.export(compress.apply(made, data, "quantize"), "tflite", folder)
            found = compress.profile(artifact, "host", data).evaluation
            figures["int8_accuracy"] = None if found is None else 100 * found.metric
            figures["bytes"], figures["zipped_bytes"] = artifact.bytes, zipped(artifact)
    return figures


def jobs(options):
    """Tools with the settings that they have."""
    for tool in options.tools:
        for setting in {"dense": ("",), "cluster": options.clusters}.get(tool, options.sparsities):
            if not (tool == "torch" and ":" in setting):
                yield tool, setting


def measure(options):
    """All rows; progress goes to standard error."""
    rows = []
    with ConsoleProgress().task("sparsity", len(options.networks) * len(list(jobs(options)))) as task:
        for network in options.networks:
            loaded = load(network, options.calibration, options.samples)
            for tool, setting in jobs(options):
                rows.append(row(network, tool, setting, loaded, file=tool in options.files))
                task.advance(note=f"{network} {tool} {setting}: {rows[-1]['accuracy']:.2f}")
                if options.out:
                    options.out.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    return rows


def show(rows):
    """A table for people."""
    table = Table()
    for title in ("network", "tool", "setting", *FIGURES):
        table.add_column(title, justify="left" if title in ("network", "tool") else "right")
    for each in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in each.values()))
    Console().print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    parser.add_argument("--files", nargs="*", choices=TOOLS, default=TOOLS)
    parser.add_argument("--sparsities", nargs="+", default=SPARSITIES)
    parser.add_argument("--clusters", nargs="+", default=CLUSTERS)
    parser.add_argument("--calibration", type=int, default=200)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--out", type=Path, help="a file that holds the rows as they come")
    parser.add_argument("--json", action="store_true", help="print rows as JSON instead of a table")
    options = parser.parse_args()
    os.environ["EDGEPRESS_SHARED_DATA"] = str(options.data.resolve())
    rows = measure(options)
    if options.json:
        json.dump({"rows": rows}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(rows)


if __name__ == "__main__":
    main()
