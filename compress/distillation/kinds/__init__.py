"""Losses on values inside the networks, one a file; a recipe's `losses` names them by their files."""

from targets.registry import PluginFolder

KINDS = PluginFolder("compress.distillation.kinds", "distillation loss")
