"""What the tests of pruning and training share."""

import hashlib


def digest(model):
    """A hash of a model's code, shapes and weights."""
    state = hashlib.sha256(model.graph.code.encode())
    for node in model.graph.graph.nodes:
        state.update(f"{node.name} {node.args} {node.meta.get('val')}".encode())
    for name, tensor in model.graph.state_dict().items():
        state.update(name.encode() + tensor.numpy().tobytes())
    return state.hexdigest()
