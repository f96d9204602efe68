"""How operators are timed: one module a kind of target, called like the kind's own in `targets/`, with a class `Clock`."""

from targets.registry import PluginFolder

CLOCKS = PluginFolder("compress.staircase.clocks", "kind of target that operators can be timed on", member="Clock")
