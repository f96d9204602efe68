"""What runs a core's firmware on this machine: one module for each emulator."""

from targets.registry import PluginFolder

EMULATORS = PluginFolder("targets.microcontroller.emulators", "emulator")
