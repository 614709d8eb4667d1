"""`archiverd pause`: let the daemon take up no more runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.daemon_client import ask_daemon
from archiverd.cli.reply import print_reply

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Let the daemon take up no more runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def pause(options: GlobalOptions, as_json: bool) -> None:
    """Let the running daemon take up no more runs until `resume`; it still sees which runs end."""
    print_reply(ask_daemon(options, "pause"), as_json, "paused; `archiverd resume` lets it go on")
