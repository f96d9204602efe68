"""Passes: each file is one, named after it. A pass takes a model and gives a smaller, faster or more accurate one."""

from targets.registry import PluginFolder

PASSES = PluginFolder("compress.passes", "pass")
