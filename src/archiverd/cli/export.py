"""`archiverd export`: a run's files, written back to a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiverd.audit.anomalies import Discrepancy
from archiverd.cli.run_number import RunNumber
from archiverd.core.errors import VerificationError
from archiverd.core.wording import pluralise

if TYPE_CHECKING:
    from archiverd.app.operations.export import ExportResult, Source
    from archiverd.cli.context import GlobalOptions

SHOWN = {"artdaqdb": "artdaqDB", "ucondb": "UconDB"}


@click.command(short_help="Write a run's files back to a directory.")
@click.argument("run", type=RunNumber("archived"))
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--from", "source", type=click.Choice(["artdaqdb", "ucondb"]), help="Where from; else UconDB, if any.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
@click.pass_obj
def export(options: GlobalOptions, run: int, destination: Path, source: Source | None, as_json: bool) -> None:
    """Write RUN's files to the directory DEST, which must not exist or be empty.

    From UconDB come the files of the run's blob, byte for byte as they were packed; from artdaqDB its entities as they
    are now, under the same names, so that the two can be compared with `diff -r`. Exit code 1 also if what was written
    is not what was proven when the run was verified.
    """
    import asyncio  # noqa: PLC0415 - heavy imports that completing a run number does without

    from archiverd.app.operations import export as operation  # noqa: PLC0415 - as above

    settings, _ = options.settings(migrating=False)
    done = asyncio.run(operation.export(settings, operation.ExportRequest(run, destination, source)))
    if as_json:
        click.echo(json.dumps(done.to_json()))
    else:
        _print_export(done)
    if done.proven is False:
        raise VerificationError(
            f"Run {run} was written to {destination}, but these are not the bytes that were proven",
            remedy=Discrepancy.DIFFERS.action([run]),
            run=run,
        )


def _print_export(done: ExportResult) -> None:
    """Print what was written."""
    size = sum(file.bytes for file in done.files)
    proof = "; the bytes that were proven" if done.proven else ""
    files = f"{pluralise(len(done.files), 'file')}, {pluralise(size, 'byte')}"
    click.echo(f"run {done.run}: {files} from {SHOWN[done.source]}{proof}", err=True)
    for file in done.files:
        if file.name != file.file:
            click.echo(f"  {file.name!a} written as {file.file}", err=True)
