"""AutoRound (Cheng et al. 2023) on any network: it expects a language model, and is given the whole network as its only block."""

import tempfile
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from compress.model import first_output
from compress.quantization.neural_compressor.request import Request
from compress.quantization.schemes import largest_weight

MULTIPLE = 32
"""AutoRound leaves weights in float whose rows or columns are no multiple of this."""
BATCH = 8
INTEGERS = "int_sym_narrow"
"""Our name for integers that leave out the lowest, as the files do."""


def tune(inc: Any, view: fx.GraphModule, request: Request) -> None:
    """Rounds the weights of every `nn.Linear` in a graph and sets its `scale`, so that the network's outputs change least."""
    from auto_round.data_type.register import register_dtype

    register_dtype(INTEGERS)(_rounded)
    inputs = tuple(torch.cat(values) for values in zip(*request.samples, strict=True))
    numbers = torch.arange(len(inputs[0]))
    with tempfile.TemporaryDirectory() as folder:
        settings = inc.AutoRoundConfig(
            scheme={"bits": request.bits, "group_size": request.block, "sym": True, "data_type": INTEGERS},
            seqlen=2,
            nsamples=len(numbers),
            batch_size=min(BATCH, len(numbers)),
            amp=False,
            device_map="cpu",
            scale_dtype="fp32",
            export_format="fake",
            output_dir=folder,
        )
        prepared = inc.prepare(_LanguageModel(_Numbered(view, inputs), folder), settings)
        for batch in torch.split(numbers, BATCH):
            prepared(torch.stack([batch, torch.full_like(batch, -1)], 1))
        inc.convert(prepared)


def _rounded(  # noqa: PLR0913, PLR0917  AutoRound calls it with these names
    tensor: torch.Tensor,
    bits: int,
    group_size: int,
    v: Any = 0,
    min_scale: Any = 1.0,
    max_scale: Any = 1.0,
    q_scale_thresh: float = 1e-5,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor, None]:
    """Rounded weights and their scales: `v` moves weights before they are rounded, `min_scale` and `max_scale` their extremes."""
    limit, columns = largest_weight(bits), tensor.shape[-1]
    span = group_size if group_size > 0 else columns
    rows = functional.pad(tensor, (0, -columns % span)).reshape(-1, span)
    largest = torch.maximum(-rows.amin(1) * min_scale, rows.amax(1) * max_scale)
    scales = (largest / limit).clamp(min=q_scale_thresh)[:, None]
    real = rows / scales + v
    steps = ((real.round() - real).detach() + real).clamp(-limit, limit)
    return (steps * scales).reshape(len(tensor), -1)[:, :columns], scales, None


class _Numbered(nn.Module):
    """A block that is given the numbers of samples for tokens, and gives outputs for the first; AutoRound masks the last."""

    def __init__(self, network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        numbers = hidden_states[:, 0].long()
        outputs = first_output(self.network(*(values[numbers] for values in self.inputs))).flatten(1)
        return torch.stack([outputs, torch.zeros_like(outputs)], 1)


class _LanguageModel(nn.Module):
    """What AutoRound asks of a network besides its blocks."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, block: nn.Module, folder: str) -> None:
        super().__init__()
        import transformers

        self.blocks = nn.ModuleList([block])
        self.config = transformers.PretrainedConfig(name_or_path=folder)  # a name would be looked up on the network

    def forward(self, tokens: torch.Tensor, **_: Any) -> Any:
        return self.blocks[0](tokens.float())

    def save_pretrained(self, *_: Any, **__: Any) -> None:
        """Nothing is saved: the weights are read from the modules."""
