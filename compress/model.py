"""The network as every pass and exporter sees it: one ATen graph with its weights, whatever it was made with."""

import copy
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators of quantized graphs
from torch import fx
from torch.export import Dim, ExportedProgram

import compress.graph_operators  # noqa: F401  registers those that torch hasn't
from compress.training_mode import set_training
from targets.errors import UserError

Stage = Literal["float", "quantized"]


@dataclass(frozen=True)
class Step:
    """What one pass did: its name, its options, a line a change for people and the same for programs."""

    name: str
    options: dict[str, Any]
    lines: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A network that passes shrink and exporters write.

    `graph` is the graph of `torch.export` (ATen operators before decomposition, inference mode), with parameters under
    the names that the source gave them; `stage` says whether quantize/dequantize pairs are in it. `example` holds one
    float32 tensor for each input, of batch size 2 where the batch axis is free and of the source's own size (1) where the
    network fixes it. Images are NCHW. `origin` is the network as it came, before any pass; `reference`, of a quantized network,
    the float network that was quantized: constants and layers have the same names, BatchNorms are folded. Nobody changes a
    Model's graph: passes work on `copy_graph()`.
    """

    graph: fx.GraphModule
    example: tuple[torch.Tensor, ...]
    name: str = "model"
    stage: Stage = "float"
    labels: tuple[str, ...] | None = None
    history: tuple[Step, ...] = ()
    origin: "Model | None" = field(default=None, repr=False)
    reference: "Model | None" = field(default=None, repr=False)

    @property
    def free_batch(self) -> bool:
        """Whether the graph takes any batch size."""
        return self.example[0].shape[0] > 1

    def sample(self) -> tuple[torch.Tensor, ...]:
        """The example inputs with batch size 1, as exporters trace with."""
        return tuple(tensor[:1].clone() for tensor in self.example)

    def copy_graph(self) -> fx.GraphModule:
        """A deep copy of the graph and its weights, free to change."""
        return copy.deepcopy(self.graph)

    def then(self, graph: fx.GraphModule, step: Step, stage: Stage | None = None) -> "Model":
        """The model after a pass: the new graph, with the shapes in its metadata brought up to date, and one more step of history."""
        refresh(graph, self.example)
        return replace(self, graph=graph, stage=stage or self.stage, history=(*self.history, step), origin=self.origin or self)

    def quantized(self, graph: fx.GraphModule, reference: fx.GraphModule, step: Step) -> "Model":
        """The model after a pass that put integers into its graph; `reference` is the float graph that they stand for."""
        refresh(reference, self.example)
        return replace(self.then(graph, step, "quantized"), reference=replace(self, graph=reference))

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Outputs for a batch of any size, without gradients; a network of fixed batch size runs sample by sample."""
        with torch.no_grad():
            if self.free_batch or inputs[0].shape[0] == self.example[0].shape[0]:
                return first_output(self.graph(*inputs))
            rows = [first_output(self.graph(*(tensor[i : i + 1] for tensor in inputs))) for i in range(inputs[0].shape[0])]
            return torch.cat(rows)


def first_output(outputs: Any) -> torch.Tensor:
    """The network's prediction: its only output, or the first of several."""
    while isinstance(outputs, tuple | list):
        outputs = outputs[0]
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"the network must return a tensor or a sequence of tensors, not {type(outputs).__name__}")
    return outputs


def capture(module: torch.nn.Module, example: Sequence[torch.Tensor], name: str = "model") -> Model:
    """Captures a module in inference mode. The batch axis (the first of every input) is left free wherever the module allows it.

    `example` holds one tensor for each input, of any batch size. Raises UserError with torch's reason where torch.export can't take
    the network, or where its batch axis is fixed to something else than 1.
    """
    with _inference(module):
        pair = tuple(torch.cat([tensor[:1], tensor[:1]]) for tensor in example)
        try:
            return from_program(_export(module, pair, free_batch=True), pair, name)
        except UserError:  # the batch axis is fixed; the second try reports anything else
            single = tuple(tensor[:1].clone() for tensor in example)
            return from_program(_export(module, single, free_batch=False), single, name)


@contextmanager
def _inference(module: torch.nn.Module) -> Iterator[None]:
    """Inference mode for a while; an exported graph has its mode written into its nodes and can't be switched like this."""
    was_training = module.training
    exported = isinstance(module, fx.GraphModule)
    if not exported:
        module.eval()
    try:
        yield
    finally:
        if not exported:
            module.train(was_training)


def program(model: Model) -> ExportedProgram:
    """The model as an exported program, its batch axis free where the model's is."""
    return _export(model.graph, model.example, free_batch=model.free_batch)


def from_program(exported: ExportedProgram, example: Sequence[torch.Tensor], name: str = "model") -> Model:
    """The model of an exported program; its example inputs decide whether the batch axis counts as free."""
    graph = inference_graph(exported)
    refresh(graph, example)
    return Model(graph=graph, example=tuple(tensor.detach().clone() for tensor in example), name=name)


def _export(module: torch.nn.Module, example: tuple[torch.Tensor, ...], *, free_batch: bool) -> ExportedProgram:
    shapes = tuple({0: Dim.DYNAMIC} for _ in example) if free_batch else None
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():  # torch prints whole graphs
            warnings.filterwarnings("ignore", r"The tensor attributes? .*\._flat_weights")  # LSTM and GRU list their weights again
            return torch.export.export(module, example, dynamic_shapes=shapes)
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        cure = "mend the network until torch.export.export(network, inputs) takes it"
        raise UserError(f"torch.export can't take this network: {reason.strip()}; {cure}") from error


def inference_graph(exported: ExportedProgram) -> fx.GraphModule:
    """A program's graph with BatchNorm and dropout as they are in inference, whatever mode it was exported in."""
    graph = exported.module(check_guards=False)
    if not isinstance(graph, fx.GraphModule):
        raise UserError("the exported program holds no graph; export it with torch.export.export")
    _inline_blocks_without_gradients(graph)
    set_training(graph.graph, training=False)
    for node in graph.graph.nodes:
        if node.name.startswith("_assert_tensor_metadata"):  # says what torch.export saw, and computes nothing
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def _inline_blocks_without_gradients(graph: fx.GraphModule) -> None:
    """What a network computes under `torch.no_grad()` is a graph of its own in the program; here it becomes part of the whole, detached."""
    for node in [each for each in graph.graph.nodes if each.target is torch.ops.higher_order.wrap_with_set_grad_enabled]:
        enabled, block, *operands = node.args
        inner: Any = graph.get_submodule(block.target)
        _inline_blocks_without_gradients(inner)
        inputs = (each for each in inner.graph.nodes if each.op == "placeholder")
        with graph.graph.inserting_before(node):
            results: Any = graph.graph.graph_copy(inner.graph, dict(zip(inputs, operands, strict=True)))
        for user in list(node.users):
            user.target, user.args = torch.ops.aten.detach.default, (results[user.args[1]],)
            if enabled:
                user.replace_all_uses_with(user.args[0])
                graph.graph.erase_node(user)
        for each in (node, block):
            graph.graph.erase_node(each)
        graph.delete_submodule(block.target)


def refresh(graph: fx.GraphModule, example: Sequence[torch.Tensor]) -> None:
    """Recompiles a changed graph and recomputes every node's shape (`node.meta["val"]`) for the example's batch size."""
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    with torch.no_grad():
        _Shapes(graph).run(*example)


class _Shapes(fx.Interpreter):
    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["val"] = torch.empty_like(result, device="meta")
        return result


def layer_name(node: fx.Node) -> str:
    """The name of the layer that a node belongs to, as the source calls it (`layer1.0.conv1`); the node's own name for loose operators."""
    for operand in node.all_input_nodes[1:]:
        if operand.op == "get_attr":
            return str(operand.target).rpartition(".")[0] or str(operand.target)
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    return paths[-1] if paths else node.name
