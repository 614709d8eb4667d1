"""Examinations run side by side: each has its time limit, and one that crashes is a failed line."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError
from archiverd.doctor.finding import Finding, Status, failed, skipped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

USUAL_SECONDS = 6.0
LONGEST_SECONDS = 14.0
"""Longest time of an examination, so that the whole report is there within 15 seconds."""

REPORT_IT = "report it, with what `archiverd check --bundle FILE` writes"


@dataclass(frozen=True, slots=True)
class Examination:
    """A check that makes lines with these names, in this order.

    ``run`` yields the lines one by one. When it ends early, the other lines are skipped because of the last one.
    """

    names: tuple[str, ...]
    run: Callable[[], AsyncGenerator[Finding]]
    seconds: float = USUAL_SECONDS


async def examine(
    examinations: Sequence[Examination], on_finding: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Return every line; ``on_finding`` gets each in order, as soon as it and all before it are known."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_run(one), name=one.names[0]) for one in examinations]
        findings = []
        for task in running:
            for finding in await task:
                on_finding(finding)
                findings.append(finding)
    return findings


async def _run(examination: Examination) -> list[Finding]:
    """Return a line for every name, whatever happens."""
    found: list[Finding] = []
    message = remedy = ""
    seconds = min(examination.seconds, LONGEST_SECONDS)
    try:
        async with asyncio.timeout(seconds) as limit, contextlib.aclosing(examination.run()) as findings:
            async for finding in findings:
                found.append(finding)  # noqa: PERF401 - what was found before a failure counts
    except ArchiverError as error:
        message, remedy = str(error), error.remedy
    except OSError as error:  # TimeoutError is one
        if limit.expired():
            message, remedy = (
                f"no answer within {seconds:g} s",
                "see what hangs: a network file system, a server, the disk",
            )
        else:
            message, remedy = f"{type(error).__name__}: {error}", "see what the operating system complains of"
    except Exception as error:  # noqa: BLE001 - a check that crashes is a failed line
        message, remedy = f"the check itself crashed: {type(error).__name__}: {error}", REPORT_IT
    left = [name for name in examination.names if name not in {finding.name for finding in found}]
    if left and message:
        found.append(failed(left.pop(0), message, remedy or "look at what it names"))
    return found + [skipped(name, _because(found)) for name in left]


def _because(found: Sequence[Finding]) -> str:
    """Say why the lines after these could not be made."""
    causes = [finding.name for finding in found if finding.status is Status.FAILED]
    if causes:
        return f"only when {causes[-1]} is right"
    return f"does not apply: {found[-1].message}" if found else "does not apply"
