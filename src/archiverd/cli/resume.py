"""`archiverd resume`: let a paused daemon go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.cli.daemon_client import ask, tell_reply

if TYPE_CHECKING:
    from archiverd.cli.context import Globals


@click.command(short_help="Let a paused daemon go on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def resume(globals_: Globals, as_json: bool) -> None:
    """Let the running daemon take up runs again."""
    tell_reply(ask(globals_, "resume"), as_json, "resumed")
