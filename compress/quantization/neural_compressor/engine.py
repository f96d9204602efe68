"""What the pass asks of Neural Compressor: to decide about a float graph with one of its algorithms."""

from collections import Counter
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Literal, get_args

from torch import fx

from compress.model import layer_name
from compress.quantization.chosen import Chosen, Weights
from compress.quantization.neural_compressor import ranges, smoothing
from compress.quantization.neural_compressor.products import weight_name
from compress.quantization.neural_compressor.request import Request, Samples
from compress.quantization.neural_compressor.tool import require
from compress.quantization.neural_compressor.weights import choose, fitting
from compress.quantization.operators import rule
from compress.quantization.schemes import INTEGERS
from targets.errors import UserError, did_you_mean

Algorithm = Literal["static", "smooth-quant", "gptq", "awq", "autoround", "rtn"]
FOR_ACTIVATIONS = ("static", "smooth-quant")
WHOLE_ROW = -1
"""Neural Compressor's word for one scale a row."""


def check(algorithm: str | None, scheme: str) -> None:
    """UserError where the algorithm isn't known, or isn't made for the scheme."""
    if algorithm not in get_args(Algorithm):
        problem = "needs 'algorithm'" if algorithm is None else f"has no algorithm '{algorithm}'"
        raise UserError(f"quantize: engine neural-compressor {problem}; {did_you_mean(str(algorithm), get_args(Algorithm))}")
    possible = ("int8",) if algorithm in FOR_ACTIVATIONS else tuple(INTEGERS)
    if scheme not in possible:
        raise UserError(f"quantize: algorithm {algorithm} is for scheme {' or '.join(possible)}, not {scheme}")


def decide(graph: fx.GraphModule, schemes: Mapping[fx.Node, str], algorithm: str, samples: Samples) -> tuple[Chosen, list[str]]:
    """What an algorithm chooses for a float graph whose operators have these schemes, and lines that say it.

    SmoothQuant and AWQ change constants of the graph, whose function stays the same. `samples` are batches of calibration inputs. Raises
    UserError where a package is missing.
    """
    require()
    readers = Counter(weight_name(node) for node in schemes if _has_rows(node))
    alone = [node for node in schemes if _has_rows(node) and readers[weight_name(node)] == 1]  # not shared between layers
    bits = {node: INTEGERS[schemes[node]].weight_bits for node in alone if schemes[node] in INTEGERS}
    name, said = f"Neural Compressor {version('neural-compressor')}", []
    if algorithm == "smooth-quant":
        count = smoothing.smooth(graph, bits, samples)
        said.append(f"SmoothQuant's factors folded into the layers before {count} linear layers")
    if algorithm in FOR_ACTIVATIONS:
        chosen = ranges.static(graph, bits, samples)
        what = f"ranges of {len(chosen.ranges)} values and scales of {len(chosen.weights)} weights; all else is chosen as without it"
        return chosen, [*said, f"{name}: static chose {what}"]
    found: dict[str, Weights] = {}
    taken: list[fx.Node] = []
    for width in sorted(set(bits.values())):
        layers = [node for node in bits if bits[node] == width]
        taken += layers if algorithm == "rtn" else fitting(layers, algorithm)
        choose(graph, layers, Request(algorithm, width, WHOLE_ROW, samples), found)
    return Chosen(weights=found), [f"{name}: {algorithm} chose the weights of {len(taken)} layers", *_rounded(bits, taken, algorithm)]


def _rounded(layers: Collection[fx.Node], taken: Collection[fx.Node], algorithm: str) -> list[str]:
    rest = [layer_name(node) for node in layers if node not in taken]
    return [f"rounded to nearest, since {algorithm} can't take them: {', '.join(rest)}"] if rest else []


def _has_rows(node: fx.Node) -> bool:
    found = rule(node)
    return found is not None and found.channel_axis == 0
