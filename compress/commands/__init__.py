"""The command's commands: each file holds one, as `command`; it is imported for help, so it imports what it needs when it runs."""

from targets.registry import PluginFolder

COMMANDS = PluginFolder("compress.commands", "command", "command")
