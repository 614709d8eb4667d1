"""`archiverd fhicl`: the FHiCL engine by hand."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiverd import fhicl as engine
from archiverd.core.errors import ArchiverError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group(short_help="Check and convert FHiCL text.")
def fhicl() -> None:
    """Check and convert FHiCL text."""


@fhicl.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/commands.md).")
def check(files: tuple[Path, ...], as_json: bool) -> int:
    """Tell whether files are FHiCL; say file:line:column of what is not."""
    results: list[dict[str, object]] = []
    for file in files:
        result: dict[str, object] = {"file": str(file), "ok": True, "line": None, "column": None, "message": ""}
        try:
            engine.check(_read(file), str(file))
        except FhiclError as error:
            click.echo(str(error), err=True)
            result |= {"ok": False, "line": error.line, "column": error.column, "message": error.message}
        results.append(result)
    if as_json:
        click.echo(json.dumps({"version": 1, "files": results}))
    return 0 if all(result["ok"] for result in results) else 1


@fhicl.command("to-json")
@click.argument("file", type=click.Path(path_type=Path))
def to_json(file: Path) -> int:
    """Print the document that artdaqDB makes of a FHiCL file."""
    now = datetime.now().astimezone()
    stamp = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}{now:%z}"
    return _print(lambda: engine.to_json(_read(file), file.name, stamp))


@fhicl.command("from-json")
@click.argument("file", type=click.Path(path_type=Path))
def from_json(file: Path) -> int:
    """Print the FHiCL that artdaqDB exports for a document."""
    return _print(lambda: engine.from_json(_read(file), str(file)))


def _print(convert: Callable[[], bytes]) -> int:
    """Print the bytes that ``convert`` gives, or its error's place."""
    try:
        sys.stdout.buffer.write(convert())
    except FhiclError as error:
        click.echo(str(error), err=True)
        return 1
    return 0


def _read(file: Path) -> bytes:
    """Return the file's bytes. Raise ArchiverError if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArchiverError(
            f"Cannot read {file}: {error.strerror}", remedy="name files that are there and may be read"
        ) from error
