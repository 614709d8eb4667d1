"""`archiverd artdaqdb`: check a FileSystemDB, and rebuild the index of a collection."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from archiverd.artdaqdb.filesystem import check as checking
from archiverd.artdaqdb.filesystem.lock import take_lock
from archiverd.artdaqdb.filesystem.store import parse_uri
from archiverd.core.errors import ArchiverError
from archiverd.core.wording import pluralise
from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.filesystem.check import Defect
    from archiverd.cli.context import GlobalOptions


@click.group(short_help="Check or mend artdaqDB's FileSystemDB.")
def artdaqdb() -> None:
    """Check or mend artdaqDB's FileSystemDB."""


@artdaqdb.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def check(options: GlobalOptions, as_json: bool) -> int:
    """Read every document and index; say what is wrong, exit 1 if anything is. Nothing is changed."""
    findings = []
    for finding in checking.check_database(_root(options)):
        findings.append(_to_json(finding))
        if not as_json:
            click.echo(f"{finding.path}: {finding.what}")
    if as_json:
        click.echo(json.dumps({"version": 1, "sound": not findings, "findings": findings}))
    click.echo(pluralise(len(findings), "finding"), err=True)
    if findings:
        click.echo(
            "Remedy: a damaged index is made anew by `archiverd artdaqdb rebuild-index COLLECTION`; restore a damaged "
            "document from a backup",
            err=True,
        )
    return 1 if findings else 0


@artdaqdb.command("rebuild-index")
@click.argument("collection")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def rebuild_index(options: GlobalOptions, collection: str, as_json: bool) -> None:
    """Write COLLECTION's index.json anew from its documents (while nobody writes to the database)."""
    directory = _root(options) / collection
    if "/" in collection or not directory.is_dir():
        raise ArchiverError(
            f"There is no collection {collection} in {directory.parent}",
            remedy="name one of its directories, e.g. RunHistory or SystemLayout",
        )
    lock = take_lock(directory.parent)
    try:
        made = checking.rebuild_index(directory, RealDisk())
    finally:
        os.close(lock)
    if as_json:
        left_out = list(map(_to_json, made.left_out))
        reply = {"version": 1, "collection": collection, "indexed": made.indexed, "left_out": left_out}
        click.echo(json.dumps(reply))
        return
    for finding in made.left_out:
        click.echo(f"left out: {finding.path}: {finding.what}")
    click.echo(f"{pluralise(made.indexed, 'document')} indexed", err=True)


def _to_json(finding: Defect) -> dict[str, str]:
    """Return a finding as JSON has it."""
    return {"path": str(finding.path), "what": finding.what}


def _root(options: GlobalOptions) -> Path:
    """Return the directory of the configured database."""
    settings, _ = options.settings(migrating=False)
    root = parse_uri(settings.artdaq_db.database_uri)
    if not root.is_dir():
        raise ArchiverError(f"There is no artdaqDB at {root} yet", remedy="it is made by the first import")
    return root
