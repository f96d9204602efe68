"""Quantizes with training: the network learns while its numbers are rounded as they will be, and so do the scales."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from torch import fx

from compress.context import Context
from compress.distillation.objective import objective
from compress.distillation.options import DistillationOptions
from compress.lowering import kernels
from compress.model import Model, Stage, Step, layer_name
from compress.quantization import fake_quantize, familiarity, ranges, static
from compress.quantization.overrides import Override, granularities, resolve, summary
from compress.quantization.parameters import Granularity, WeightObserver, activation_parameters
from compress.quantization.plan import plan
from compress.recipe import plain
from compress.training import TrainingOptions, train
from targets.errors import UserError, did_you_mean

Scheme = Literal["int8", "int16x8", "w4a8"]


@dataclass(frozen=True)
class Qat(TrainingOptions, DistillationOptions):
    """Quantization-aware training; it starts where `quantize` would end, and takes the same schemes, observers and overrides.

    The scales of weights and activations are learned (Esser et al. 2020), zero points stay. BatchNorms are folded while they are
    trained (Jacob et al. 2018, 3.2; Krishnamoorthi 2018, 3.2.2), by the statistics of each batch until they are frozen for the last
    share `freeze_batchnorm` of the steps. With a `teacher` the loss is that of `distill`. Pruned weights stay zero. Exports have the
    very integers and scales that were trained. Dropout is left out; the other options are those of `TrainingOptions` and
    `DistillationOptions`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "quantized"

    epochs: int = 5
    freeze_batchnorm: float = 0.4
    scheme: Scheme = "int8"
    observer: str = "mse"
    weight_observer: WeightObserver = "mse"
    weight_granularity: Granularity = "channel"
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        DistillationOptions.__post_init__(self)
        words = {"scheme": get_args(Scheme), "weight_observer": get_args(WeightObserver), "observer": ranges.OBSERVERS}
        for name, possible in (words | {"weight_granularity": get_args(Granularity)}).items():
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The quantized network. UserError as `quantize` and `distill` raise them."""
        graph, folded = static.float_graph(model)
        operators = resolve(graph.graph, self.overrides, self.scheme)
        without = kernels.refusal(operators, context.exports)
        if without is not None:
            raise UserError(f"qat: {without}")
        schemes = {node.name: scheme for node, scheme in operators.items()}
        initial = self._initial(model, graph, operators, context)
        unlike = familiarity.warning(model, context.data.calibration)
        learning = replace(model, graph=fake_quantize.learning(model, graph, schemes, initial))
        trained = train(learning, context, self, objective(model, context, self, self.label_smoothing, learning), "qat")
        reference = fake_quantize.trained_graph(model, trained.graph)
        integers = fake_quantize.to_integers(reference, schemes, fake_quantize.learned(trained.graph, initial))
        lines = [
            *([f"folded {len(folded)} BatchNorm layers"] if folded else []),
            *summary(operators),
            *([unlike] if unlike is not None else []),
            trained.line(context.metric.name),
        ]
        details = {
            "layers": {layer_name(node): scheme for node, scheme in operators.items()},
            "calibration_samples": context.data.calibration.samples,
            **trained.details(),
        }
        return model.quantized(integers, reference, Step("qat", plain(self), tuple(lines), details))

    def _initial(self, model: Model, graph: fx.GraphModule, operators: dict[fx.Node, str], context: Context) -> fake_quantize.Parameters:
        wanted = plan(graph.graph, operators)
        activations = activation_parameters(wanted, static.calibrate(model, graph, wanted, context), self.observer)
        finely = granularities(graph.graph, self.overrides, self.weight_granularity)
        return fake_quantize.start(graph, wanted, activations, self.weight_observer, finely)
