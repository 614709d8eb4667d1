"""A group of commands that imports the module of a command when that command is invoked or completed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazyGroup(click.Group):
    """Commands that are each in a module of their own, named after the command, of one package.

    ``short_helps`` gives each command's short help, in the order in which help lists them: neither the group's help
    nor the completion of a command's name imports a command.
    """

    def __init__(self, name: str | None, *, package: str, short_helps: Mapping[str, str], **attributes: Any) -> None:
        # Click suggests the nearest of these names for one that it does not know.
        commands = [click.Command(name, short_help=text) for name, text in short_helps.items()]
        super().__init__(name, commands, **attributes)
        self.package = package
        self.short_helps = short_helps

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class's form
        """Return the commands' names in the order of the table."""
        return list(self.short_helps)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import and return a command; None for a name that is not in the table."""
        if cmd_name not in self.short_helps:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"{self.package}.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the list of commands for the group's help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.short_helps.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with ``incomplete``."""
        named = [CompletionItem(n, help=text) for n, text in self.short_helps.items() if n.startswith(incomplete)]
        return named + super(click.Group, self).shell_complete(ctx, incomplete)
