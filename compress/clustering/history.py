"""Which weights of a network share values, as the passes that it went through say."""

from compress.model import Model


def clustered_weights(model: Model) -> dict[str, int | None]:
    """The weights that `cluster` gave a codebook, by name, with the axis whose channels have a size of their own, if they have."""
    return {name: axis for step in model.history if step.name == "cluster" for name, axis in step.details["weights"].items()}
