"""How operators pass labels on: one entry an operator, by its ATen name without the overload."""

from compress.pruning.analysis import Rule
from compress.pruning.rules import einsum, layers, layout, normalization, pointwise, recurrent

RULES: dict[str, Rule] = {**layers.RULES, **einsum.RULES, **recurrent.RULES, **layout.RULES, **normalization.RULES}

fallback = pointwise.spread_or_keep
"""For every other operator: pointwise ones tie their operands together, unknown ones keep what reaches them."""
