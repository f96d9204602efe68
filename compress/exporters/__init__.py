"""Exporters: each file is one, named after the format that it writes."""

from targets.registry import PluginFolder

EXPORTERS = PluginFolder("compress.exporters", "exporter")
