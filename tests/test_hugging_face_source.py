"""Folders of transformers come in with their networks' names, and nothing in them runs."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_torch_sources import Payload, read

from targets.errors import UserError


@pytest.fixture(scope="module")
def transformers():
    with warnings.catch_warnings(action="ignore"):
        return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def vit(transformers, tmp_path_factory):
    """A small image classifier and the folder that it was saved in."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "none"},
    )  # fmt: skip
    network = transformers.ViTForImageClassification(config).eval()
    folder = tmp_path_factory.mktemp("vit") / "tiny-vit"
    with warnings.catch_warnings(action="ignore"):
        network.save_pretrained(folder)
    return network, folder


PHOTOGRAPHS = (np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32),)


def copied(folder, to, **changes):
    shutil.copytree(folder, to)
    content = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**content, **changes}))
    return to


def test_a_folder_of_transformers_gives_the_networks_logits(vit):
    network, folder = vit
    model = read(folder, PHOTOGRAPHS)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), network(x).logits)
    assert (model.name, model.labels, model.free_batch) == ("tiny-vit", ("cat", "dog", "none"), True)
    assert set(dict(model.graph.named_parameters())) == set(dict(network.named_parameters()))


def test_what_a_folder_lacks_is_told(vit, transformers, tmp_path):
    _, folder = vit
    with pytest.raises(UserError, match="has no architecture 'OwnNetwork'; build it by a factory"):
        read(copied(folder, tmp_path / "unknown", architectures=["OwnNetwork"]), PHOTOGRAPHS)
    with pytest.raises(UserError, match="has no architecture 'pipeline'"):
        read(copied(folder, tmp_path / "function", architectures=["pipeline"]), PHOTOGRAPHS)
    part = copied(folder, tmp_path / "part")
    save_file({name: tensor for name, tensor in load_file(part / "model.safetensors").items() if name != "classifier.bias"},
              part / "model.safetensors", {"format": "pt"})  # fmt: skip
    with pytest.raises(UserError, match=r"tensor 'classifier.bias' of the network is missing"):
        read(part, PHOTOGRAPHS)
    words = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
    with warnings.catch_warnings(action="ignore"):
        transformers.BertForSequenceClassification(words).save_pretrained(tmp_path / "words")
    with pytest.raises(UserError, match=r"takes whole numbers \('input_ids'\), and data here are float32"):
        read(tmp_path / "words", PHOTOGRAPHS)


def test_code_in_a_folder_runs_only_where_it_is_trusted(vit, tmp_path):
    _, folder = vit
    marker = tmp_path / "ran"
    own = copied(
        folder,
        tmp_path / "own",
        architectures=["Own"],
        auto_map={"AutoModelForImageClassification": "own.Own", "AutoConfig": "own.OwnConfig"},
    )
    (own / "own.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).write_text('ran')\n")
    with pytest.raises(UserError, match="architecture 'Own' is code in the folder itself; say 'trust: true'"):
        read(own, PHOTOGRAPHS)
    pickled = copied(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({"vit.layernorm.bias": Payload(str(marker))}, pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin: holds more than tensors"):
        read(pickled, PHOTOGRAPHS)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attn_implementation": "user/kernel"}, "'attn_implementation' asks for the code 'user/kernel'"),
        ({"_attn_implementation": {"": "eager", "part": "user/kernel"}}, "'_attn_implementation' asks for the code 'user/kernel'"),
        ({"parts": [{"experts_implementation": "user/kernel"}]}, "'experts_implementation' asks for the code 'user/kernel'"),
        ({"quantization_config": {"quant_method": "awq"}}, "'quantization_config' asks for another package's code"),
    ],
)
def test_a_configuration_that_asks_for_code_from_elsewhere_is_refused(changes, said, vit, tmp_path):
    _, folder = vit
    with pytest.raises(UserError, match=f"{said}.*'trust: true'"):
        read(copied(folder, tmp_path / "asks", **changes), PHOTOGRAPHS)


def test_an_adapter_is_refused(vit, tmp_path):
    _, folder = vit
    adapted = copied(folder, tmp_path / "adapted", attn_implementation="sdpa", quantization_config=None)
    assert read(adapted, PHOTOGRAPHS).labels == ("cat", "dog", "none")
    (adapted / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has an adapter \(adapter_config\.json\), which another package loads.*'trust: true'"):
        read(adapted, PHOTOGRAPHS)


def test_weights_in_a_plain_pickle_of_tensors_are_read(vit, tmp_path):
    network, folder = vit
    old = copied(folder, tmp_path / "old")
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(read(old, PHOTOGRAPHS)(x), network(x).logits)
