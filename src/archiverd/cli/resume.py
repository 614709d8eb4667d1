"""`archiverd resume`: let a paused daemon go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.daemon_client import ask_daemon
from archiverd.cli.reply import print_reply

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Let a paused daemon go on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def resume(options: GlobalOptions, as_json: bool) -> None:
    """Let the running daemon take up runs again."""
    print_reply(ask_daemon(options, "resume"), as_json, "resumed")
