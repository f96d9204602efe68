"""Small configurations of Hugging Face's `transformers`, random weights; see `architectures.py`."""

from collections.abc import Callable
from typing import Any

import torch
from architectures import WORDS, Architecture
from torch import nn


class Wrapped(nn.Module):
    """A network of `transformers` as one from a tensor to a tensor: logits, or else the last hidden state."""

    def __init__(self, inner: nn.Module, tokens: bool) -> None:
        super().__init__()
        self.inner, self.tokens = inner, tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.long() if self.tokens else x, return_dict=False)[0]


ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
IMAGE = {"image_size": 32, "num_labels": 5}
TEXT = {"vocab_size": WORDS, "max_position_embeddings": 16, "num_labels": 5, "pad_token_id": 0}
VIT = {**ENCODER, **IMAGE, "patch_size": 8}
SWIN = {**IMAGE, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "drop_path_rate": 0.0}
LLAMA = {**ENCODER, **TEXT, "num_key_value_heads": 2, "use_cache": False}
T5 = {"vocab_size": WORDS, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}
SEGFORMER = {"depths": [1, 1], "num_encoder_blocks": 2, "sr_ratios": [2, 1], "hidden_sizes": [16, 32], "num_attention_heads": [2, 4]}
SEGFORMER_REST = {"patch_sizes": [7, 3], "strides": [4, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 24, "num_labels": 5}
MOBILEVIT = {
    **IMAGE,
    "image_size": 64,
    "hidden_sizes": [16, 24, 32],
    "neck_hidden_sizes": [8, 12, 16, 16, 24, 32, 64],
    "num_attention_heads": 4,
}
WAV2VEC2 = {**ENCODER, "vocab_size": 12, "conv_dim": [16, 16], "conv_stride": [5, 4], "conv_kernel": [10, 5], "num_feat_extract_layers": 2}
WAV2VEC2_REST = {
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}

CONFIGURATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("Bert", "ForSequenceClassification", {**ENCODER, **TEXT}),
    "distilbert": ("DistilBert", "ForSequenceClassification", {**TEXT, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}),
    "albert": ("Albert", "ForSequenceClassification", {**ENCODER, **TEXT, "embedding_size": 16}),
    "gpt2": ("GPT2", "Model", {"vocab_size": WORDS, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4, "use_cache": False}),
    "llama": ("Llama", "Model", LLAMA),
    "t5_encoder": ("T5", "EncoderModel", T5),
    "vit": ("ViT", "ForImageClassification", VIT),
    "deit": ("DeiT", "ForImageClassification", VIT),
    "beit": ("Beit", "ForImageClassification", {**VIT, "use_relative_position_bias": True, "drop_path_rate": 0.0}),
    "dinov2": ("Dinov2", "ForImageClassification", {**VIT, "mlp_ratio": 2, "drop_path_rate": 0.0}),
    "swin": ("Swin", "ForImageClassification", SWIN),
    "convnext": ("ConvNext", "ForImageClassification", {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2, "num_labels": 5}),
    "mobilevit": ("MobileViT", "ForImageClassification", MOBILEVIT),
    "segformer": ("Segformer", "ForSemanticSegmentation", {**SEGFORMER, **SEGFORMER_REST}),
    "poolformer": (
        "PoolFormer",
        "ForImageClassification",
        {
            "hidden_sizes": [16, 32],
            "depths": [1, 1],
            "num_encoder_blocks": 2,
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "padding": [2, 1],
            "num_labels": 5,
        },
    ),
    "resnet": (
        "ResNet",
        "ForImageClassification",
        {"embedding_size": 16, "hidden_sizes": [24, 32], "depths": [1, 2], "layer_type": "bottleneck", "num_labels": 5},
    ),
    "mobilenet_v1": ("MobileNetV1", "ForImageClassification", {**IMAGE, "depth_multiplier": 0.25}),
    "mobilenet_v2": ("MobileNetV2", "ForImageClassification", {**IMAGE, "depth_multiplier": 0.35}),
    "efficientnet": (
        "EfficientNet",
        "ForImageClassification",
        {**IMAGE, "width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320, "dropout_rate": 0.0},
    ),
    "regnet": (
        "RegNet",
        "ForImageClassification",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 2], "groups_width": 8, "layer_type": "y", "num_labels": 5},
    ),
    "wav2vec2": ("Wav2Vec2", "ForCTC", {**WAV2VEC2, **WAV2VEC2_REST}),
}
"""Family, task and configuration."""

TOKENS = ("bert", "distilbert", "albert", "gpt2", "llama", "t5_encoder")
SHAPES = {"mobilevit": (3, 64, 64), "wav2vec2": (400,), **dict.fromkeys(TOKENS, (12,))}


def _builder(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        try:
            import transformers
        except ModuleNotFoundError:
            raise ModuleNotFoundError("transformers is not installed; pip install 'edgepress[transformers]'") from None
        family, task, options = CONFIGURATIONS[name]
        configuration = getattr(transformers, f"{family}Config")(**options)
        return Wrapped(getattr(transformers, f"{family}{task}")(configuration), name in TOKENS)

    return build


ARCHITECTURES = {name: Architecture(_builder(name), SHAPES.get(name, (3, 32, 32)), name in TOKENS) for name in CONFIGURATIONS}
