"""Pruning under budgets and for a target: what is promised is what the exported file takes there."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_prune_channels import check, context
from torch import nn

import compress
from compress import cost
from compress.data.base import Data, Split
from compress.model import capture
from compress.passes.prune_channels import PruneChannels
from compress.progress import Silent
from compress.pruning import choice, steps, trading
from compress.pruning.latency import Latency, Place
from compress.pruning.sizes import Width
from compress.staircase import curves, files, table
from compress.staircase.operation import Operation
from targets import boards
from targets.errors import UserError

BOARD = "nucleo-l4r5zi"
IMAGE = torch.zeros(1, 3, 12, 12)


pytestmark = pytest.mark.usefixtures("one_thread")


class Residual(nn.Module):
    """A stem, a residual block with a depthwise convolution in it, pooling and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.wide = nn.Conv2d(3, 11, 3, 2, 1), nn.Conv2d(11, 22, 1)
        self.depth, self.narrow = nn.Conv2d(22, 22, 3, 1, 1, groups=22), nn.Conv2d(22, 11, 1)
        self.head = nn.Linear(11, 4)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.narrow(torch.relu(self.depth(torch.relu(self.wide(x))))))
        return self.head(x.mean((2, 3)))


def residual():
    return capture(Residual().eval(), (IMAGE,), "residual")


def counted(model, tmp_path):
    """Milliseconds and bytes of arena, inputs and outputs of the int8 file of a network on the emulated board."""
    inputs = np.random.default_rng(0).standard_normal((8, 3, 12, 12)).astype(np.float32)
    split = Split(8, lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    data = Data("noise", split, split, split, "noise")
    artifact = compress.export(compress.apply(model, data, "quantize"), "c", tmp_path / model.name)
    found = compress.profile(artifact, BOARD, data).measurement
    return found.latency.p50_ms, sum(found.details["ram"][part] for part in ("arena", "inputs", "outputs"))


@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_a_latency_on_a_microcontroller_is_kept_as_promised(scope, tmp_path):
    model = residual()
    pruned = PruneChannels(latency=0.6, target=BOARD, scope=scope)(model, context(model))
    check(model, PruneChannels(latency=0.6, target=BOARD, scope=scope, correct=False)(model, context(model)))
    promised = pruned.history[-1].details["latency"]
    before, after = counted(model, tmp_path / "before"), counted(pruned, tmp_path / "after")
    assert promised["after"] <= 0.6 * promised["before"]
    assert after[0] <= 1.1 * promised["after"]
    assert abs(before[0] / promised["before"] - 1) < 0.1
    ram = pruned.history[-1].details["ram_bytes"]
    assert abs(ram["before"] / before[1] - 1) < 0.1
    assert abs(ram["after"] / after[1] - 1) < 0.15
    assert any(f"expected on {BOARD}" in line and "100% of the MACs" in line for line in pruned.history[-1].lines)
    assert {row["name"] for row in pruned.history[-1].details["operators"]} >= {"stem", "wide", "depth", "narrow", "head"}


def test_channels_that_cost_a_microcontroller_nothing_stay():
    """The kernels take outputs two at a time and inputs four: of eleven channels the eleventh is not worth less than it costs."""
    model = residual()
    pruned = PruneChannels(ratio=0.3, target=BOARD)(model, context(model))
    free = PruneChannels(ratio=0.3)(model, context(model))
    widths = [each.graph.get_parameter("wide.weight").shape[0] for each in (pruned, free)]
    assert widths[0] % 2 == 0
    assert widths[1] == 15
    fifteen, sixteen = (Operation("conv_2d", (6, 6), 11, count) for count in (15, 16))
    times = table.of(BOARD, "int8").costs([fifteen, sixteen], Silent())
    assert times[fifteen] > 0.99 * times[sixteen]


def test_channels_are_exchanged_for_cheaper_ones_under_the_same_budget():
    """Of two groups with as many MACs one takes ten times as long: it loses channels that the other keeps, where these matter as much."""
    places = [Operation("depthwise_conv_2d", (8, 8), 16, 16, (3, 3)), Operation("depthwise_conv_2d", (4, 4), 16, 16, (3, 3))]
    surfaces = {
        place: curves.Surface(place, {place.with_channels(count, count): cost * count for count in range(1, 17)}, (0, 0), 16)
        for place, cost in zip(places, (1.0, 0.1), strict=True)
    }
    widths = [Width(0, ((number, 1.0),)) for number in range(2)]
    rows = tuple(Place(f"{number}", place, widths[number], widths[number]) for number, place in enumerate(places))
    latency = Latency("board", "ms", 0.0, rows, surfaces)
    groups = [choice.Group(f"{number}", tuple(range(1 + 16 * number, 17 + 16 * number)), 1) for number in range(2)]
    worth = trading.Worth.by(groups, {each: 1.0 + each % 16 / 100 for group in groups for each in group.classes}, latency)
    budget = trading.Budget(sum, 16)
    possible = steps.steps(groups, latency, 1)
    kept = trading.exchanged(possible, worth, (8, 8), budget)
    assert budget.keeps(kept)
    assert latency(kept) < latency((8, 8))
    assert kept[0] < 8 < kept[1]


def test_what_the_times_do_not_cover_is_told():
    """Convolutions in groups aren't timed."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(8, 4, 1))
    model = capture(network.eval(), (IMAGE,), "grouped")
    step = PruneChannels(ratio=0.3, target=BOARD)(model, context(model)).history[-1]
    assert step.details["timed_macs"] == (3 * 8 + 8 * 4) / (3 * 8 + 8 * 4 * 9 + 8 * 4)
    assert any("16% of the MACs are in operators that are timed" in line for line in step.lines)


def test_a_latency_on_this_machine_is_kept_or_the_least_is_told():
    """So small a network takes microseconds, of which channels are only a part that differs from time to time."""
    model = residual()
    step = PruneChannels(latency=0.7, target="host", scope="global")(model, context(model)).history[-1]
    found = step.details["latency"]
    assert found["unit"] == "ms"
    assert found["after"] > 0
    assert found["after"] <= 0.7 * found["before"] or any("the least is" in line for line in step.lines)
    assert step.details["after"]["macs"] <= step.details["before"]["macs"]


@pytest.mark.parametrize("scope", ["uniform", "global"])
@pytest.mark.parametrize("budget", ["parameters", "ram"])
def test_budgets_without_a_target(budget, scope):
    model = residual()
    pruned = PruneChannels(**{budget: 0.6}, scope=scope)(model, context(model))
    details = pruned.history[-1].details
    if budget == "parameters":
        assert 0.4 < details["after"]["parameters"] / details["before"]["parameters"] <= 0.6
    else:
        assert 0.4 < details["ram_bytes"]["after"] / details["ram_bytes"]["before"] <= 0.6
        assert any("expected RAM" in line for line in pruned.history[-1].lines)


def test_a_budget_out_of_reach_is_told_with_the_least():
    model = residual()
    pruned = PruneChannels(macs=0.001, target=BOARD)(model, context(model))
    assert any("more than macs: 0.10% asks for; the least is" in line for line in pruned.history[-1].lines)


def test_attention_s_own_products_count_as_macs():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.MultiheadAttention(16, 8, batch_first=True), nn.Linear(16, 4)

        def forward(self, x):
            return self.head(x + self.inner(x, x, x, need_weights=False)[0])

    model = capture(Attention().eval(), (torch.zeros(1, 40, 16),))
    pruned = PruneChannels(macs=0.5)(model, context(model))
    assert 0.35 < cost.macs(pruned) / cost.macs(model) <= 0.5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ratio": 0.5, "macs": 0.5}, "one of ratio and the budgets at a time, not ratio and macs"),
        ({"latency": 0.5}, "latency: it must be told on what; add target: host"),
        ({"ram": 1.5}, "ram must be the share to leave"),
        ({"macs": 0.5, "target": "hots"}, "did you mean 'host'"),
        ({"macs": 0.5, "target": "raspberry-pi-4"}, "operators can't be timed one by one; possible: .*host, "),
        ({"precision": "int4"}, "precision 'int4' is not known"),
    ],
)
def test_impossible_budgets_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        PruneChannels(**options)


def stairs(operation, period):
    """A kernel that takes `period` inputs and half as many outputs at a time."""
    inputs, outputs = -(-operation.inputs // period), -(-operation.outputs // (period // 2))
    return 3.0 + 2.0 * inputs + 0.5 * outputs + 7.0 * inputs * outputs


@given(inputs=st.integers(1, 70), outputs=st.integers(1, 70), fixed=st.booleans(), period=st.sampled_from([4, 16]), data=st.data())
def test_a_staircase_is_known_everywhere_from_few_counts(inputs, outputs, fixed, period, data):
    whole = Operation("conv_2d", (8, 8), inputs, outputs, (3, 3), padded=True)
    least = (inputs if fixed else 0, 0)
    wanted = curves.wanted(whole, *least, period)
    assert len(wanted) <= 2 * (2 * period + 4) + 2
    surface = curves.Surface(whole, {each: stairs(each, period) for each in wanted}, least, period)
    count = inputs if fixed else data.draw(st.integers(1, inputs))
    made = data.draw(st.integers(1, outputs))
    assert surface(count, made) == pytest.approx(stairs(whole.with_channels(count, made), period))


@pytest.mark.parametrize("precision", ["int8", "float"])
def test_files_of_single_operators_run(precision):
    from ai_edge_litert.interpreter import Interpreter

    operations = [
        Operation("conv_2d", (9, 7), 3, 5, (3, 3), (2, 2), padded=True),
        Operation("conv_2d", (1, 20), 3, 5, (1, 5)),
        Operation("depthwise_conv_2d", (9, 7), 6, 6, (3, 3), padded=True),
        Operation("fully_connected", (1, 4), 6, 5),
        Operation("add", (9, 7), 6, 6),
        Operation("concatenation", (9, 7), 6, 18, padded=True),
        Operation("mean", (9, 7), 6, 6),
        Operation("average_pool_2d", (8, 8), 6, 6, (2, 2), (2, 2)),
        Operation("max_pool_2d", (9, 7), 6, 6, (3, 3), (2, 2), padded=True),
    ]
    interpreter = Interpreter(model_content=files.write(operations, precision), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    shapes = [tuple(each["shape"]) for each in interpreter.get_output_details()]
    rows = [(4, 5) if each.kind == "fully_connected" else (1, *each.output_size, each.outputs) for each in operations]
    assert shapes == rows


def test_what_was_timed_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path))
    operations = [Operation("fully_connected", (1, 1), 8, count) for count in (4, 8)]
    first = table.of("host", "int8").costs(operations, Silent())
    assert table.of("host", "int8").costs(operations, Silent()) == first
    kept = next((tmp_path / "staircase").glob("host-*.json"))
    kept.write_text("{ damaged", encoding="utf-8")
    assert set(table.of("host", "int8").costs(operations, Silent())) == set(operations)


def test_every_board_that_can_be_timed_says_so():
    for name in boards.names():
        kind = boards.load(name).target
        if kind in ("host", "microcontroller"):
            table.refuse_untimed(name)
        else:
            with pytest.raises(UserError, match="one by one"):
                table.refuse_untimed(name)
