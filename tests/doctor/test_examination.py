"""Examinations: every name gets its line, in order and in time, whatever goes wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from archiverd.core.errors import UconDBError
from archiverd.detached import run_detached
from archiverd.doctor.examination import Examination, examine
from archiverd.doctor.finding import Finding, failed, ok
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


def lines(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return names and statuses."""
    return [(one.name, one.status) for one in findings]


def first_then(fault: BaseException) -> Callable[[], AsyncGenerator[Finding]]:
    """Return an examination's look that makes one good line and then raises."""

    async def look() -> AsyncGenerator[Finding]:
        yield ok("first", "is fine")
        raise fault

    return look


@pytest.mark.parametrize(
    ("fault", "said", "remedy"),
    [
        (UconDBError("it said no", remedy="ask again"), "it said no", "ask again"),
        (PermissionError(13, "Permission denied", "/x"), "PermissionError: [Errno 13] Permission denied: '/x'", "see"),
        (ZeroDivisionError("oops"), "the check itself crashed: ZeroDivisionError: oops", "report it"),
    ],
)
async def test_a_check_that_raises_is_a_failed_line(fault: Exception, said: str, remedy: str) -> None:
    """What was found before stands, the next name fails with the cause, the rest is skipped because of it."""
    found = await examine([Examination(("first", "second", "third"), first_then(fault))])
    assert lines(found) == [("first", "ok"), ("second", "failed"), ("third", "skipped")]
    assert found[1].message == said
    assert found[1].remedy.startswith(remedy)
    assert found[2].message == "only when second is right"


async def test_one_that_fails_hides_no_other_and_the_order_is_kept() -> None:
    """Lines come in the order of the examinations, each as soon as all before it are known."""
    go = asyncio.Event()

    async def slow() -> AsyncGenerator[Finding]:
        await go.wait()
        yield failed("slow", "broken", "mend it")

    async def quick() -> AsyncGenerator[Finding]:
        yield ok("quick", "fine")
        go.set()

    told: list[Finding] = []
    found = await examine([Examination(("slow",), slow), Examination(("quick",), quick)], told.append)
    assert lines(found) == [("slow", "failed"), ("quick", "ok")] == lines(told)


async def test_what_hangs_costs_its_time_and_nothing_else() -> None:
    """A thread stuck in the operating system is left behind: the line fails, the others are there, nobody waits."""
    release = threading.Event()

    async def hangs() -> AsyncGenerator[Finding]:
        yield ok("before", "fine")
        yield await run_detached(lambda: ok("stuck", str(release.wait())))

    async def quick() -> AsyncGenerator[Finding]:
        yield ok("quick", "fine")

    async with asyncio.timeout(DEADLINE_SECONDS):
        found = await examine([Examination(("before", "stuck"), hangs, 0.2), Examination(("quick",), quick)])
    assert lines(found) == [("before", "ok"), ("stuck", "failed"), ("quick", "ok")]
    assert found[1].message == "no answer within 0.2 s"
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "detached"] == [True]
    release.set()
