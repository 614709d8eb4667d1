"""One thread that owns the journal's connection and commits in groups.

Changes that queue up while a commit is synced share the next one, so with many runs in flight many changes share a
sync. A caller gets its result only after its change is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

from archiverd.detached import run_detached
from archiverd.journal.errors import is_mistake, journal_error

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

GROUP_LIMIT = 256
"""Most changes that share one commit, unless the owner sets fewer."""

QUEUE_LIMIT = 4096
"""Most changes that may wait; the stages' queues bound the callers long before."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A function to run, and the future of its caller."""

    work: Callable[[sqlite3.Connection], Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Writer:
    """Runs functions on the journal's connection in one thread, writes grouped into commits."""

    def __init__(self, connection: sqlite3.Connection, group_limit: int = GROUP_LIMIT) -> None:
        """Take over ``connection``, which no other thread may use; at most ``group_limit`` changes share a commit."""
        self._connection = connection
        self._group_limit = group_limit
        self._jobs: queue.Queue[_Job | None] = queue.Queue(QUEUE_LIMIT)
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` inside a transaction and return its result once the commit is durable.

        Whatever ``work`` raises is raised here, its own changes undone; so is sqlite3.Error for a mistake in a
        statement. Raise ArchiverError (transient) when the journal cannot be written, e.g. on a full disk: then
        nothing of it happened.
        """
        return await self._submit(work, writes=True)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which changes nothing, and return its result. Raise ArchiverError if it cannot be read."""
        return await self._submit(work, writes=False)

    async def close(self) -> None:
        """Finish what is queued, then close the connection. Needs none of the loop's threads, which may all hang."""

        def end() -> None:
            self._jobs.put(None)
            self._thread.join()

        await run_detached(end)

    async def _submit(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put_nowait(_Job(work, writes, loop, cast("asyncio.Future[Any]", future)))
        # A cancelled caller does not cancel its change, which is made or not, whole.
        return await future

    def _serve(self) -> None:
        """Run jobs in order until the end of the queue."""
        while (job := self._jobs.get()) is not None:
            group = [job]
            last = False
            while len(group) < self._group_limit:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                    break
                group.append(following)
            self._run_group(group)
            if last:
                break
        self._connection.close()

    def _run_group(self, group: list[_Job]) -> None:
        """Run the jobs of one commit, then answer their callers."""
        answers: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            writes = any(job.writes for job in group)
            if writes:
                self._connection.execute("BEGIN IMMEDIATE")
            answers.extend((job, *self._run_one(job)) for job in group)
            if writes:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            failure = error if is_mistake(error) else journal_error(error)
            answers = [(job, None, failure) for job in group]
        for job, result, problem in answers:
            # At the end of the process the loop may be gone, and nobody waits for the answer.
            with contextlib.suppress(RuntimeError):
                job.loop.call_soon_threadsafe(_answer, job.future, result, problem)

    def _run_one(self, job: _Job) -> tuple[Any, BaseException | None]:
        """Run one job; a mistake in it undoes its own changes only."""
        if not job.writes:
            try:
                return _checked(job.work(self._connection)), None
            except Exception as error:  # noqa: BLE001 - handed to the caller, whatever it is
                return None, journal_error(error) if _is_the_files(error) else error
        self._connection.execute("SAVEPOINT job")
        try:
            result = _checked(job.work(self._connection))
        except Exception as error:
            if _is_the_files(error):
                raise
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
            return None, error
        self._connection.execute("RELEASE job")
        return result, None


def _answer(future: asyncio.Future[Any], result: object, problem: BaseException | None) -> None:
    """Answer the caller, unless it has gone."""
    if future.done():
        return
    if problem is None:
        future.set_result(result)
    else:
        future.set_exception(problem)


def _is_the_files(error: Exception) -> TypeGuard[sqlite3.Error]:
    """Return whether ``error`` is not of one job but of the file or its disk, and so of every job in the group."""
    return isinstance(error, sqlite3.Error) and not is_mistake(error)


def _checked(result: T) -> T:
    """Return the result of a job. Raise RuntimeError for a cursor.

    One that is discarded in another thread resets its statement there, which the next job may be executing.
    """
    if isinstance(result, sqlite3.Cursor):
        raise RuntimeError("a cursor must not leave the journal's thread")  # noqa: TRY004 - our mistake
    return result
