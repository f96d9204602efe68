"""The recipe of ResNet-20 with everything else as it ships, but one epoch each: what doesn't hang on how long it is trained."""

from pathlib import Path

import pytest
import yaml

import compress
from compress import cost

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
DATA = BENCHMARKS.parents[1] / "shared" / "data"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "networks.py").exists(), reason="no trained networks in ../shared/data"),
]


def recipe(folder, epochs):
    content = yaml.safe_load((BENCHMARKS / "resnet20_jpeg.yaml").read_text(encoding="utf-8"))
    for entry in content["passes"]:
        for options in entry.values():
            if "epochs" in options:
                options["epochs"] = epochs
    path = folder / "resnet20_jpeg.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_third_of_the_macs_and_an_eighth_of_the_bytes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    outcome = compress.run(recipe(tmp_path, 1), tmp_path)
    before = compress.export(outcome.original, "tflite", tmp_path / "float").path.stat().st_size
    (row,) = outcome.rows
    assert 8 * row.artifact.path.stat().st_size <= before
    assert 3 * cost.macs(outcome.compressed) <= cost.macs(outcome.original)
    assert outcome.after.metric > 0.7
