"""What instructions do, as far as their timing depends on it: one module for each instruction set."""

from targets.registry import PluginFolder

DECODERS = PluginFolder("targets.microcontroller.decoders", "decoder")
