"""Trains the quickstart's network from nothing and writes weights.safetensors beside it: python recipes/digits/train.py."""

from pathlib import Path

import torch
from network import build
from safetensors.torch import save_file

import compress
from compress.passes.finetune import Finetune

HERE = Path(__file__).parent


def main() -> None:
    """One minute on two cores."""
    torch.manual_seed(0)
    network = build()
    data = compress.load_data("digits")
    model = compress.load(network, data)
    trained = Finetune(epochs=60, learning_rate=3e-3, batch_size=64)(model, compress.make_context(model, data))
    state = {name: tensor.detach().contiguous() for name, tensor in trained.graph.state_dict().items() if name in network.state_dict()}
    save_file(state, HERE / "weights.safetensors")
    print(f"accuracy {compress.evaluate(trained, data):.4f} on {data.evaluation.samples} evaluation samples")  # noqa: T201


if __name__ == "__main__":
    main()
