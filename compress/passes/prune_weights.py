"""Sets single weights to zero: the file compresses better, and runs no faster where kernels don't skip zeros."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import BeforeValidator

from compress.context import Context
from compress.model import Model, Stage, Step
from compress.pruning.surgery import weight_of
from compress.recipe import plain
from compress.sparsity import layers, patterns
from compress.sparsity.layers import Layer
from compress.sparsity.reconstruction import reconstruct
from compress.sparsity.statistics import Calibration, wanda
from compress.training import TrainingOptions, learn_labels, train
from targets.errors import UserError, did_you_mean

Criterion = Literal["magnitude", "wanda", "sparsegpt"]
Scope = Literal["global", "layer"]
SPARSITY = 0.5
PAYS = "the file gets smaller when compressed ('zipped' in the report); latency stays, as no kernel skips single zeros"


@dataclass(frozen=True)
class PruneWeights:
    """Zeroes the `sparsity` share (0.5, or what the pattern says) of the weights of convolutions and linear layers.

    `criterion` says which: `magnitude` those of least size (Han et al. 2015), `wanda` of least size times norm of their inputs (Sun et
    al. 2023), `sparsegpt` those that the others can best make up for, and changes these (Frantar and Alistarh 2023). The latter two look
    at `samples` calibration samples. `pattern` is `unstructured`, N:M such as `"2:4"` (of each 4 input channels 2 weights stay), or blocks
    of outputs x inputs such as `4x1` and `1x16`; layers whose channels are no multiple of it stay whole. `scope: global` compares all
    layers' weights with each other, `layer` takes the share of each layer. `keep` lists layers that stay whole, by patterns as file
    names have. Biases and normalization stay, but for the shift that `sparsegpt` corrects.

    With `steps` the zeros become more little by little, fast at first (a cubic, Zhu and Gupta 2017), with `epochs` of training at
    `learning_rate` after each step but the last. Later training keeps the zeros (its option `keep_zeros`), and so does quantization.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    sparsity: float | None = None
    criterion: Criterion = "magnitude"
    pattern: Annotated[str, BeforeValidator(patterns.quoted)] = "unstructured"
    scope: Scope = "global"
    keep: tuple[str, ...] = ()
    samples: int = 256
    steps: int = 1
    epochs: int = 0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise UserError(f"sparsity must be a share from 0 to below 1, not {self.sparsity}")
        for name, possible in (("criterion", get_args(Criterion)), ("scope", get_args(Scope))):
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        fixed = patterns.parse(self.pattern).share
        if fixed is not None and self.sparsity not in (None, fixed):
            raise UserError(
                f"sparsity: pattern {self.pattern} makes {fixed:.4g} of the weights zero, not {self.sparsity}; leave sparsity out"
            )
        for name, least in (("samples", 1), ("steps", 1), ("epochs", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.epochs and self.steps == 1:
            raise UserError("epochs are trained between steps; set steps to 2 or more, or put finetune behind")
        self._training()

    @property
    def share(self) -> float:
        """The share of weights that are zero in the end."""
        fixed = patterns.parse(self.pattern).share
        return fixed if fixed is not None else (SPARSITY if self.sparsity is None else self.sparsity)

    def __call__(self, model: Model, context: Context) -> Model:
        """The sparse network, of the same shapes.

        UserError where a pattern of `keep` matches no layer, no weight is left to prune, or a criterion that looks at data has none or
        can't follow a layer.
        """
        sparse, errors = model, dict[str, float]()
        for step in range(1, self.steps + 1):
            sparse, errors = self._prune(sparse, context, self.share * (1 - (1 - step / self.steps) ** 3))
            if self.epochs and step < self.steps:
                trained = train(sparse, context, self._training(), learn_labels(), f"training after step {step} of {self.steps}")
                sparse = sparse.then(trained.graph, Step("finetune", {}))
        pruned, whole = self._layers(model)
        weights = {layer.name: weight_of(sparse.graph, layer.weight) for layer in pruned}
        zeros = {name: int((weight == 0).sum()) for name, weight in weights.items()}
        said = {name: f", output error {error:.2%}" for name, error in errors.items()}
        lines = [f"{name}: {zeros[name]:,} of {weight.numel():,} weights are zero{said.get(name, '')}" for name, weight in weights.items()]
        total, gone = sum(weight.numel() for weight in weights.values()), sum(zeros.values())
        lines += [*whole, f"in all {gone:,} of {total:,}; {PAYS}"]
        details = {"zeros": zeros, "weights": total, "sparsity": gone / total}
        return model.then(sparse.graph, Step("prune_weights", plain(self), tuple(lines), details))

    def _prune(self, model: Model, context: Context, share: float) -> tuple[Model, dict[str, float]]:
        """One step, from the network as it is then; with the errors of layers' outputs where they are known."""
        graph, pattern, errors = model.copy_graph(), patterns.parse(self.pattern), dict[str, float]()
        pruned, _ = self._layers(model)
        masks = self._masks(model, pruned, pattern, context, share)
        if self.criterion == "sparsegpt":
            shares = [1 - float(mask.float().mean()) for mask in masks]
            errors = reconstruct(Calibration(model, context, self.samples), graph, list(zip(pruned, shares, strict=True)), pattern)
        else:
            with torch.no_grad():
                for layer, mask in zip(pruned, masks, strict=True):
                    weight = weight_of(graph, layer.weight)
                    weight.mul_(layer.restored(mask, weight.shape))
        return model.then(graph, Step("prune_weights", {})), errors

    def _masks(self, model: Model, pruned: list[Layer], pattern: patterns.Pattern, context: Context, share: float) -> list[torch.Tensor]:
        """Which weights stay, laid out; of `sparsegpt` only their number counts."""
        if self.criterion == "magnitude":
            scores = [layer.laid_out(weight_of(model.graph, layer.weight).detach().abs()) for layer in pruned]
        else:
            calibration = Calibration(model, context, self.samples)
            calibration.check(pruned, self.criterion)
            scores = wanda(calibration, pruned)
        if self.scope == "global":
            return pattern.masks(scores, share)
        return [mask for score in scores for mask in pattern.masks([score], share)]

    def _layers(self, model: Model) -> tuple[list[Layer], list[str]]:
        """The layers that can be pruned, and a line for each that the pattern doesn't fit."""
        pattern, fitting, whole = patterns.parse(self.pattern), list[Layer](), list[str]()
        for layer in layers.find(model, self.keep, "prune_weights"):
            _, outputs, _, inputs = layer.laid_out(weight_of(model.graph, layer.weight)).shape
            misfit = pattern.misfit(outputs, inputs)
            if misfit is None:
                fitting.append(layer)
            else:
                whole.append(f"{layer.name}: stays whole, its {misfit}")
        if not fitting:
            raise UserError(f"prune_weights: pattern {self.pattern} fits no layer of {model.name}: {whole[0]}")
        return fitting, whole

    def _training(self) -> TrainingOptions:
        return TrainingOptions(epochs=max(1, self.epochs), learning_rate=self.learning_rate)
