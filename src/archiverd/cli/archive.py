"""Commands that archive: `run` and `once`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from archiverd.cli.main import Globals


@click.command()
@click.pass_obj
def run(globals_: Globals) -> int:
    """Watch, import, migrate and verify until told to stop.

    Ctrl-C (SIGINT) and SIGTERM finish what is in flight and leave with 130; three within two seconds leave at once.
    Removing the lock file finishes what is in flight and leaves with 1.
    """
    from archiverd.service import daemon  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings()
    return asyncio.run(daemon.run(settings))


@click.command(short_help="Archive everything that has ended, then exit.")
@click.pass_obj
def once(globals_: Globals) -> int:
    """Take every run that has ended through both stages, then exit (for cron)."""
    from archiverd.service import once as one_pass  # noqa: PLC0415 - a heavy import only this command needs

    settings, _ = globals_.settings()
    result = asyncio.run(one_pass.once(settings))
    click.echo(f"{result.verified} runs verified, {result.open} still open, {len(result.failed)} failed", err=True)
    if result.hold is not None:
        click.echo(f"  UconDB: {result.hold.cause}\n    {result.hold.remedy}", err=True)
    for row in result.failed:
        click.echo(f"  run {row.run}: {row.state}: {row.error or 'waits for UconDB'}", err=True)
    return result.exit_code
