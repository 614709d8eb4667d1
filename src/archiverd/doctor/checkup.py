"""The whole checkup: all examinations of a configuration, and their report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.doctor import artdaqdb, configuration, files, machine, notifiers, process_state, space, ucondb
from archiverd.doctor.configuration import SYNTAX, VALUES
from archiverd.doctor.examination import Examination, examine
from archiverd.doctor.finding import Finding, Status, skipped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from archiverd.doctor.subject import Subject

NEED_SETTINGS = (
    "directories and permissions",
    "disk space",
    "running and last processes",
    "artdaqDB",
    "UconDB",
    "notifiers",
)
"""What cannot be checked without a configuration."""


async def examine_all(subject: Subject, on_finding: Callable[[Finding], None] = lambda _: None) -> list[Finding]:
    """Run every examination, within 15 seconds; see ``examination.examine``."""
    return await examine(_all(subject), on_finding)


def holds(findings: Sequence[Finding]) -> bool:
    """Return whether no line failed; warnings and skipped lines do not count."""
    return not any(finding.status is Status.FAILED for finding in findings)


def to_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the report as JSON has it (docs/commands.md)."""
    return {"version": 1, "ok": holds(findings), "checks": [finding.to_json() for finding in findings]}


def _all(subject: Subject) -> list[Examination]:
    """Return every examination, in the order of the report."""
    settings = subject.settings
    if settings is None:
        right = VALUES if subject.path is not None else SYNTAX
        left_out = [_left_out(name, f"only when {right} is right") for name in NEED_SETTINGS]
        return [*configuration.examinations(subject), *left_out, *machine.examinations(None)]
    return [
        *configuration.examinations(subject),
        *files.examinations(settings),
        *space.examinations(settings),
        *process_state.examinations(settings),
        *artdaqdb.examinations(settings),
        *ucondb.examinations(settings, migrating=subject.migrating),
        *notifiers.examinations(settings),
        *machine.examinations(settings),
    ]


def _left_out(name: str, why: str) -> Examination:
    async def run() -> AsyncGenerator[Finding]:
        yield skipped(name, why)

    return Examination((name,), run)
