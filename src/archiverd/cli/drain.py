"""`archiverd drain`: let the daemon finish what it has begun, and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from archiverd.cli.daemon_client import ask_daemon
from archiverd.cli.reply import print_reply
from archiverd.core.wording import pluralise

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions


@click.command(short_help="Let the daemon finish what it has begun, and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def drain(options: GlobalOptions, as_json: bool) -> None:
    """Let the running daemon finish what is in flight and in its queues; it then exits with 0."""
    reply = ask_daemon(options, "drain")
    in_hand = pluralise(cast("int", reply.get("in_hand", 0)), "run")
    print_reply({"draining": True, **reply}, as_json, f"draining: {in_hand} in hand")
