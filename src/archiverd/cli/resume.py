"""Commands to the running daemon: `drain`, `pause` and `resume`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from archiverd.cli.main import Globals

SECONDS = 10.0
"""How long the daemon may take to answer."""


@click.command(short_help="Let the daemon finish what it has begun, and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def drain(globals_: Globals, as_json: bool) -> None:
    """Let the running daemon finish what is in flight and in its queues; it then exits with 0."""
    told = _ask(globals_, "drain")
    _tell({"draining": True, **told}, as_json, f"draining: {told.get('in_hand')} runs in hand")


@click.command(short_help="Let the daemon take up no more runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def pause(globals_: Globals, as_json: bool) -> None:
    """Let the running daemon take up no more runs until `resume`; it still sees which runs end."""
    _tell(_ask(globals_, "pause"), as_json, "paused; `archiverd resume` lets it go on")


@click.command(short_help="Let a paused daemon go on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def resume(globals_: Globals, as_json: bool) -> None:
    """Let the running daemon take up runs again."""
    _tell(_ask(globals_, "resume"), as_json, "resumed")


def _ask(globals_: Globals, command: str) -> dict[str, object]:
    """Return the daemon's answer. Raise ArchiverError if none runs."""
    from archiverd.control import client  # noqa: PLC0415 - lazily, for a quick --help

    settings, _ = globals_.settings(migrating=False)
    told = client.ask_now(settings.app.work_dir, command, {}, SECONDS)
    return told if isinstance(told, dict) else {}


def _tell(told: dict[str, object], as_json: bool, words: str) -> None:
    """Print what the daemon answered."""
    if as_json:
        click.echo(json.dumps({"version": 1, **told}))
    else:
        click.echo(words, err=True)
