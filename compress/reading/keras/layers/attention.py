"""Attention, with torch's scaled dot product, which passes and exporters know."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from compress.reading.keras.layer import Layer, Made, Rule, parameter
from compress.reading.keras.values import KERAS, Value

Tensor = torch.Tensor


class MultiHead(nn.Module):
    """Heads [N, heads, T, size] of queries, keys and values [N, T, D], joined again."""

    def __init__(self, layer: Layer, places: dict[str, int]) -> None:
        super().__init__()
        self.query_size = 0
        self.places, self.causal = places, bool(layer.options.get("use_causal_mask"))
        biased = bool(layer.get("use_bias", True))
        for position, name in enumerate(("query", "key", "value")):
            kernel = layer.weight(position * (1 + biased), None, None, None)
            linear = nn.Linear(kernel.shape[0], kernel.shape[1] * kernel.shape[2], bias=biased)
            _fill(linear, kernel.flatten(1).T, layer.weight(2 * position + 1).flatten() if biased else None)
            self.add_module(name, linear)
            self.heads = kernel.shape[1]
            self.query_size = kernel.shape[2] if name == "query" else self.query_size
        kernel = layer.weight(3 * (1 + biased), None, None, None)
        self.attention_output = nn.Linear(kernel.shape[0] * kernel.shape[1], kernel.shape[2], bias=biased)
        _fill(self.attention_output, kernel.flatten(0, 1).T, layer.weight(7).flatten() if biased else None)

    def forward(self, *given: Tensor) -> Tensor:
        """The layer."""
        query, value = given[self.places["query"]], given[self.places["value"]]
        key = given[self.places.get("key", self.places["value"])]
        mask = given[self.places["attention_mask"]] != 0 if "attention_mask" in self.places else None
        heads = [
            self.get_submodule(name)(each).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name, each in (("query", query), ("key", key), ("value", value))
        ]
        made = F.scaled_dot_product_attention(
            heads[0], heads[1], heads[2], None if mask is None else mask.unsqueeze(1), is_causal=self.causal and mask is None
        )
        joined: Tensor = self.attention_output(made.transpose(1, 2).flatten(2))
        return joined


class Luong(nn.Module):
    """Attention without weights but for one scale."""

    def __init__(self, layer: Layer, places: dict[str, int]) -> None:
        super().__init__()
        self.places = places
        self.causal = bool(layer.options.get("use_causal_mask") or layer.get("causal"))
        self.scale = parameter(layer.weight(0)) if layer.get("use_scale") else None

    def forward(self, *given: Tensor) -> Tensor:
        """The layer."""
        query, value = given[self.places["query"]], given[self.places["value"]]
        key = given[self.places.get("key", self.places["value"])]
        query = query if self.scale is None else query * self.scale
        heads = [each.unsqueeze(1) for each in (query, key, value)]
        return F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=self.causal, scale=1.0).squeeze(1)


class Additive(nn.Module):
    """Bahdanau's attention: a tanh of every query and key added."""

    def __init__(self, layer: Layer, places: dict[str, int]) -> None:
        super().__init__()
        self.places = places
        self.scale = parameter(layer.weight(0, None)) if layer.get("use_scale", True) else None

    def forward(self, *given: Tensor) -> Tensor:
        """The layer."""
        query, value = given[self.places["query"]], given[self.places["value"]]
        key = given[self.places.get("key", self.places["value"])]
        scores = torch.tanh(query.unsqueeze(2) + key.unsqueeze(1))
        scores = scores if self.scale is None else scores * self.scale
        return torch.softmax(scores.sum(-1), -1) @ value


def multi_head(layer: Layer, *values: Value) -> Made:
    """MultiHeadAttention over one axis of steps."""
    axes = layer.get("attention_axes")
    if values[0].rank != 3 or (axes is not None and list(axes) not in ([1], [-2])):
        raise layer.refuse("attends over more axes than one; reshape them to one before it")
    if layer.options.get("return_attention_scores") or layer.get("use_gate"):
        raise layer.refuse("gives its scores or has a gate")
    places = _places(layer, values, ("query", "value", "key", "attention_mask"))
    if "attention_mask" in places and layer.options.get("use_causal_mask"):
        raise layer.refuse("has two masks; give them as one")
    module = MultiHead(layer, places)
    if module.query_size != int(layer.get("key_dim", module.query_size)):
        raise layer.refuse("its weights don't fit its key_dim")
    return Made(module, (KERAS,) * len(values), (KERAS,))


def attention(layer: Layer, *values: Value) -> Made:
    """Attention by products of queries and keys."""
    if layer.get("score_mode", "dot") != "dot" or layer.options.get("return_attention_scores"):
        raise layer.refuse("scores by concatenation or gives its scores")
    return Made(Luong(layer, _places(layer, values, ("query", "value", "key"))), (KERAS,) * len(values), (KERAS,))


def additive(layer: Layer, *values: Value) -> Made:
    """AdditiveAttention."""
    if layer.options.get("use_causal_mask") or layer.get("causal") or layer.options.get("return_attention_scores"):
        raise layer.refuse("is causal or gives its scores")
    return Made(Additive(layer, _places(layer, values, ("query", "value", "key"))), (KERAS,) * len(values), (KERAS,))


def _places(layer: Layer, values: tuple[Value, ...], names: tuple[str, ...]) -> dict[str, int]:
    """Which input is the query, the value and so on, by position or by the name it was given by."""
    masked = next((value.mask for value in values if value.mask), None)
    if masked:
        raise layer.refuse(f"leaves out steps that '{masked}' masks; train it on one length without a mask")
    roles = layer.roles or ("",) * len(values)
    free = iter(name for name in names if name not in roles)
    return {role or next(free): position for position, role in enumerate(roles)}


def _fill(linear: nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    state: dict[str, Any] = {"weight": weight} | ({} if bias is None else {"bias": bias})
    linear.load_state_dict(state)


LAYERS: dict[str, Rule] = {"MultiHeadAttention": multi_head, "Attention": attention, "AdditiveAttention": additive}
ROLES = {"MultiHeadAttention": {"query", "value", "key", "attention_mask"}, "Attention": {"query", "value", "key"}}
"""By which names a call may give inputs."""
