"""Plans done again, steps with training between, and criteria that ask the loss."""

import json
from dataclasses import replace

import pytest
import torch
from pruning_networks import Network, digest
from test_prune_channels import check, context

from compress import cost
from compress.model import capture
from compress.passes.prune_channels import PruneChannels
from compress.pruning import plans
from targets.errors import UserError

IMAGE = torch.zeros(1, 3, 8, 8)
MODEL = capture(Network(["residual", "grouped", "scaled"], True, 0).eval(), (IMAGE,))


def written(pruned, folder):
    plans.write_all(pruned.history, folder)
    return folder / "plan.json"


@pytest.mark.parametrize("correct", [False, True])
def test_a_plan_done_again_gives_the_same_network(correct, tmp_path):
    pruned = PruneChannels(ratio=0.4, criterion="taylor", correct=correct)(MODEL, context(MODEL))
    file = written(pruned, tmp_path)
    again = PruneChannels(plan=file.name, folder=tmp_path, correct=correct)(MODEL, context(MODEL))
    assert digest(again) == digest(pruned)
    assert again.history[-1].details["plan"] == pruned.history[-1].details["plan"]
    assert again.history[-1].lines == pruned.history[-1].lines


def test_the_plan_has_a_line_for_each_axis(tmp_path):
    pruned = PruneChannels(ratio=0.4, criterion="l1")(MODEL, context(MODEL))
    plan = pruned.history[-1].details["plan"]
    file = written(pruned, tmp_path)
    lines = [json.loads(line.rstrip(",")) for line in file.read_text().splitlines()[1:-1]]
    assert len(lines) == sum(len(axes) for axes in plan.values())
    assert all(line["left"] == plan[line["weight"]][str(line["axis"])] for line in lines)


def test_two_pruning_steps_write_two_plans(tmp_path):
    once = PruneChannels(ratio=0.2, criterion="l1")(MODEL, context(MODEL))
    twice = PruneChannels(ratio=0.2, criterion="l1")(once, context(MODEL))
    written(twice, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan-2.json", "plan.json"]
    first = PruneChannels(plan="plan.json", folder=tmp_path)(MODEL, context(MODEL))
    assert digest(PruneChannels(plan="plan-2.json", folder=tmp_path)(first, context(MODEL))) == digest(twice)


def test_another_networks_plan_is_refused(tmp_path):
    pruned = PruneChannels(ratio=0.4, criterion="l1")(MODEL, context(MODEL))
    file = written(pruned, tmp_path)
    other = capture(Network(["plain"], False, 0).eval(), (IMAGE,))
    with pytest.raises(UserError, match="made for another"):
        PruneChannels(plan=str(file))(other, context(other))
    file.write_text(plans.text({"body.0.0.weight": {"0": [0, 1]}, "body.0.1.weight": {"0": [0, 2]}}))
    with pytest.raises(UserError, match="tied to ones that stay"):
        PruneChannels(plan=str(file))(MODEL, context(MODEL))


@pytest.mark.parametrize("content", ["", "[]", '{"version": 2, "weights": []}', '{"version": 1, "weights": [{"axis": 0}]}'])
def test_a_file_that_is_no_plan_is_told(content, tmp_path):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UserError, match="plan"):
        PruneChannels(plan="plan.json", folder=tmp_path)
    with pytest.raises(UserError, match="can't be read"):
        PruneChannels(plan="missing.json", folder=tmp_path)


def test_the_fingerprint_follows_the_file(tmp_path):
    (tmp_path / "plan.json").write_text(plans.text({"a": {"0": [1]}}))
    options = PruneChannels(plan="plan.json", folder=tmp_path)
    first = options.fingerprint()
    (tmp_path / "plan.json").write_text(plans.text({"a": {"0": [2]}}))
    assert options.fingerprint() != first
    assert not replace(options, plan=None).fingerprint()


@pytest.mark.parametrize("options", [{"macs": 0.5}, {"ratio": 0.5}])
def test_steps_remove_as_much_as_one(options):
    at_once, stepwise = (PruneChannels(criterion="l1", correct=False, steps=steps, **options)(MODEL, context(MODEL)) for steps in (1, 3))
    check(MODEL, stepwise)
    assert cost.macs(stepwise) <= 1.25 * cost.macs(at_once)
    if "macs" in options:
        assert cost.macs(stepwise) <= 0.5 * cost.macs(MODEL)


def test_macs_that_cannot_be_reached_are_told():
    lines = [PruneChannels(macs=macs, criterion="l1", correct=False)(MODEL, context(MODEL)).history[-1].lines for macs in (0.5, 1e-6)]
    assert [any("asks for" in line for line in each) for each in lines] == [False, True]


def test_training_between_steps_changes_the_weights_and_nothing_else():
    shapes = []
    for epochs in (0, 1):
        pruned = PruneChannels(ratio=0.4, criterion="l2", correct=False, steps=2, epochs=epochs)(MODEL, context(MODEL))
        assert [step.name for step in pruned.history] == ["prune_channels"]
        shapes.append({name: weight.shape for name, weight in pruned.graph.named_parameters()})
        same = torch.equal(pruned.graph.get_parameter("head.2.bias"), MODEL.graph.get_parameter("head.2.bias"))
        assert same == (epochs == 0)
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"steps": 0}, "steps"), ({"epochs": -1}, "epochs"), ({"plan": "a", "steps": 2}, "one step"), ({"epochs": 1}, "set steps")],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        PruneChannels(**options)
