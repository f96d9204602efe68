"""Rounds the weights of a whole block together, so that the block gives what it gives in the float network.

Block by block in order, by the squared error of the block's output, as Li et al. 2021 (BRECQ, https://arxiv.org/abs/2102.05426). Instead of
their thousands of steps on weights between two integers, weights change over from one integer to the other, those together by which
slope and curvature of the error promise most, as long as that makes it smaller. What came of it is kept where it makes the error smaller
on calibration samples that it wasn't found with.
"""

from collections.abc import Mapping

import torch
from torch import fx

from compress.context import Context
from compress.lowering.nodes import constant, maker, set_constant
from compress.progress import Task
from compress.quantization import layers
from compress.quantization.block_learning import Learner, Seen
from compress.quantization.blocks import Block, blocks
from compress.quantization.stepping import Batches, Stepper
from compress.quantization.threads import one_thread
from targets.errors import UserError

HELD_OUT = 5
"""One batch of so many is kept to judge by."""


@one_thread()
def reconstruct(graph: fx.GraphModule, reference: fx.GraphModule, batches: Batches, iterations: int, context: Context) -> list[str]:
    """Rounds a quantized graph's blocks anew, in place; a line for each. Memory is that of the batches at one place of both networks.

    UserError where there is no batch to hold out.
    """
    if len(batches) < 2:
        raise UserError(f"adaround: scope block holds samples out to judge by; give it more than {layers.BATCH} calibration samples")
    found = blocks(graph.graph, layers.pairs(graph, reference))
    named = {node.name: node for node in reference.graph.nodes}
    ends = {named[maker(block.end).name] for block in found}
    quantized, real = Stepper(graph, batches), Stepper(reference, batches, ends)
    random, lines = torch.Generator().manual_seed(context.seed), list[str]()
    with context.progress.task("reconstructing blocks", len(found) * iterations) as task:
        for block in found:
            with torch.no_grad():
                seen = _seen(block, quantized, real, named)
                constants = {node: quantized.value(node, 0) for node in block.constants}
            weights = {pair: constant(reference, pair.reference.args[1]) for pair in block.pairs}
            learner = Learner(block, graph, constants, weights, random)
            lines.append(f"{block.name}: {_improve(learner, graph, seen, iterations, task)}")
    return lines or ["no part of the network is a block of several layers"]


def _seen(block: Block, quantized: Stepper, real: Stepper, named: Mapping[str, fx.Node]) -> list[Seen]:
    end = named[maker(block.end).name]
    quantized.after(block.start)
    rounded = next(iter(block.start.users))
    entering = [quantized.value(rounded, number) for number in range(len(quantized.batches))]
    return [Seen(*values) for values in zip(entering, real.take(end), strict=True)]


def _improve(learner: Learner, graph: fx.GraphModule, seen: list[Seen], iterations: int, task: Task) -> str:
    """Learns a block's integers and stores them if they are better; says what the error on held-out batches was and is."""
    judged = seen[HELD_OUT - 1 :: HELD_OUT] or seen[-1:]
    learned = [each for each in seen if not any(each is other for other in judged)]
    names = [layers.stored(pair.weight) for pair in learner.block.pairs]
    kept = {name: graph.state_dict()[name] for name in names}
    before = learner.error(judged)
    for name, integers in zip(names, learner.learn(learned, iterations, task), strict=True):
        set_constant(graph, name, integers)
    after = learner.error(judged)
    if after < before:
        return f"held-out error {before:.2%} -> {after:.2%}"
    for name, integers in kept.items():
        set_constant(graph, name, integers)
    return f"held-out error stays {before:.2%}"
