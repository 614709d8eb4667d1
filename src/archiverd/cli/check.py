"""`archiverd check`: the checkup of everything that archiverd needs, with a remedy for what is not right."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiverd import log
from archiverd.core.errors import ArchiverError
from archiverd.core.wording import pluralise

if TYPE_CHECKING:
    from archiverd.cli.context import GlobalOptions
    from archiverd.doctor.finding import Finding

WORDS = {"ok": "ok", "warning": "WARNING", "failed": "FAILED", "skipped": "skipped"}
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}
NAME_WIDTH = 28


@click.command(short_help="Is everything in place? Says what to do about what is not.")
@click.option("--import-only", is_flag=True, help="Leave UconDB out.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: version, ok, checks.")
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also write what a maintainer asks for into FILE (.tar.gz), without secrets.",
)
@click.pass_obj
def check(options: GlobalOptions, import_only: bool, as_json: bool, bundle: Path | None) -> int:
    """Look at everything archiverd needs, and say what to do about whatever is not right. Nothing is changed.

    Exit code 0 if nothing failed; warnings do not count. Takes 15 seconds at most.
    """
    try:
        from archiverd.doctor import checkup, subject, support_bundle  # noqa: PLC0415 - they may be what is broken
    except ImportError as error:
        raise ArchiverError(
            f"archiverd's own parts cannot be imported: {error}",
            remedy=f"install archiverd again, for this Python: {sys.executable} -m pip install archiverd",
        ) from error

    checked = subject.read_subject(
        options.config,
        migrating=not import_only,
        log_file=options.work_dir_log,
        environment=options.environment,
    )
    log.configure(options.level or "ERROR", options.log_format)
    if bundle is not None:
        support_bundle.refuse_if_there(bundle)
    findings = asyncio.run(checkup.examine_all(checked, (lambda _: None) if as_json else _print_finding))
    right = checkup.holds(findings)
    if as_json:
        click.echo(json.dumps(checkup.to_json(findings)))
    else:
        _print_totals(findings)
    if bundle is not None:
        names = asyncio.run(support_bundle.write_bundle(bundle, checked, findings))
        click.echo(f"{bundle} holds {', '.join(names)}: secrets are left out; read it before you send it", err=True)
    return 0 if right else 1


def _print_finding(finding: Finding) -> None:
    """Print a finding on a line, and its remedy below it."""
    word = click.style(
        f"{WORDS[finding.status]:<8}", fg=COLOURS[finding.status], bold=True if finding.status == "failed" else None
    )
    _echo(f"{word} {finding.name:<{NAME_WIDTH}} {' '.join(finding.message.split())}")
    if finding.remedy:
        _echo(f"{'':<9}{'→ ' + finding.remedy}")


def _print_totals(findings: list[Finding]) -> None:
    """Print the number of findings of each status."""
    counts = {status: sum(finding.status == status for finding in findings) for status in WORDS}
    totals = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    click.echo(f"{pluralise(len(findings), 'line')}: {totals}", err=True)


def _echo(text: str) -> None:
    """Print to standard output, in colour on a terminal that wants it (no-color.org)."""
    click.echo(text, color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
