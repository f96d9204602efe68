"""Which weights of a network share values, as the passes that it went through say."""

from compress.model import Model


def clustered_weights(model: Model) -> frozenset[str]:
    """The names of weights that `cluster` gave a codebook."""
    return frozenset(name for step in model.history if step.name == "cluster" for name in step.details["weights"])
