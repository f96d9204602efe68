"""How instructions add up to cycles: one module for each way in which cores issue them."""

from targets.registry import PluginFolder

TIMINGS = PluginFolder("targets.microcontroller.timing", "timing model")
