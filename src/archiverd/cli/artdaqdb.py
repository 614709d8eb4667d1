"""`archiverd artdaqdb`: is a FileSystemDB sound, and a new index for a collection whose own is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.cli.main import Globals


@click.group()
def artdaqdb() -> None:
    """Check or mend artdaqDB's FileSystemDB."""


@artdaqdb.command()
@click.pass_obj
def check(globals_: Globals) -> int:
    """Read every document and index; say what is wrong, exit 1 if anything is. Nothing is changed."""
    from archiverd.artdaqdb.filesystem.check import check_database  # noqa: PLC0415 - a heavy import only this needs

    wrong = 0
    for finding in check_database(_root(globals_)):
        click.echo(f"{finding.path}: {finding.what}")
        wrong += 1
    click.echo(f"{wrong} findings", err=True)
    return 1 if wrong else 0


@artdaqdb.command("rebuild-index")
@click.argument("collection")
@click.pass_obj
def rebuild_index(globals_: Globals, collection: str) -> None:
    """Write COLLECTION's index.json anew from its documents (while nobody writes to the database)."""
    from archiverd.artdaqdb.filesystem import check as checking  # noqa: PLC0415 - a heavy import only this needs
    from archiverd.disk import RealDisk  # noqa: PLC0415

    directory = _root(globals_) / collection
    if "/" in collection or not directory.is_dir():
        raise ArchiverError(f"There is no collection {collection} in {directory.parent}")
    for finding in checking.rebuild_index(directory, RealDisk()):
        click.echo(f"left out: {finding.path}: {finding.what}")


def _root(globals_: Globals) -> Path:
    """Return the directory of the configured database."""
    from archiverd.artdaqdb.filesystem.store import parse_uri  # noqa: PLC0415 - a heavy import only this needs

    settings, _ = globals_.settings(migrating=False)
    root = parse_uri(settings.artdaq_db.database_uri)
    if not root.is_dir():
        raise ArchiverError(f"There is no artdaqDB at {root} yet", remedy="it is made by the first import")
    return root
