"""Random networks over every operator: the generated C gives the bytes of LiteRT's reference kernels."""

import pytest
import random_layers
import random_moves
from random_networks import Network
from tflite_files import assert_exact

from targets.microcontroller.compiler import supported

STEPS = random_layers.STEPS | random_moves.STEPS
NAMES = sorted(STEPS)
WITHOUT_REFERENCE = {"SUM", "ELU"}


def random_network(seed: int) -> Network:
    """A network of 2 to 12 operators, some behind a separable chain; over consecutive seeds every operator has its turn."""
    network = Network(seed)
    if network.chance(0.15):
        random_layers.separable(network)
    chosen, layers = NAMES[seed % len(NAMES)], len(network.names) + 2 + seed % 11
    while chosen not in network.names or len(network.names) < layers:
        name = chosen if chosen not in network.names and network.chance(0.5) else network.one(NAMES)
        STEPS[name](network, name)
    return network


def separable_network(seed: int) -> Network:
    """A chain of separable convolutions."""
    network = Network(seed)
    random_layers.separable(network)
    return network


def check(seeds, folder, made=random_network):
    assert_exact({str(seed): made(seed).path(folder, f"{seed}.tflite") for seed in seeds}, folder, count=2)


def test_every_operator_has_its_turn():
    assert set(NAMES) | WITHOUT_REFERENCE == set(supported())


def test_random_networks_of_every_operator(tmp_path):
    check(range(1000, 1000 + len(NAMES), 3), tmp_path)


def test_random_separable_networks(tmp_path):
    check(range(8), tmp_path, separable_network)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 500, 50))
def test_five_hundred_random_networks_of_every_operator(start, tmp_path):
    check(range(start, start + 50), tmp_path)
