"""Where samples come from: each file is one kind of data that a recipe can name."""

from targets.registry import PluginFolder

DATA = PluginFolder("compress.data", "data source")
