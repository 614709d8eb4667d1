"""What the journal remembers for notifiers and for the files of a stage; durable, so that a restart repeats nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd.journal import queries, scheduling, statements
from archiverd.journal.news import select_news

if TYPE_CHECKING:
    from collections.abc import Collection

    from archiverd.core.machine import Stage
    from archiverd.journal.news import Failed, News
    from archiverd.journal.rows import Hold, StageProgress
    from archiverd.journal.writer import Writer


class NotificationMemory:
    """What one notifier (``email``, ``slack``) has sent; every method raises ArchiverError if the journal fails.

    A notifier that was away for a day finds the runs that stand failed now, each once; what failed and was repaired
    meanwhile is no news. A run is news again only when it failed in another stage, when waiting is no longer enough, or
    when it failed after an operator had released it; a retry that fails for another reason is none.
    """

    def __init__(self, writer: Writer, notifier: str) -> None:
        self._writer = writer
        self._notifier = notifier

    async def news(self, quick_retries: int) -> News:
        """Return what is to be sent; a run counts as failed after ``quick_retries`` retries."""
        return await self._writer.read(lambda db: select_news(db, self._notifier, quick_retries))

    async def note_notified(self, runs: Collection[Failed]) -> None:
        """Note that people were notified of ``runs``."""
        await self._writer.write(lambda db: statements.note_notified(db, self._notifier, runs))

    async def forget(self, runs: Collection[int]) -> None:
        """Note that people were notified of the end of the failures of ``runs``, or need not be."""
        await self._writer.write(lambda db: statements.forget_notified(db, self._notifier, runs))

    async def note_hold(self, hold: Hold) -> None:
        """Note that people were notified of a backend that is left alone."""
        await self._writer.write(lambda db: statements.note_hold(db, self._notifier, hold))

    async def forget_hold(self, backend: str) -> None:
        """Note that people were notified that ``backend`` works again."""
        await self._writer.write(lambda db: statements.forget_hold(db, self._notifier, backend))


class StageFileMemory:
    """What the state file and the failure log of one stage said when we last wrote them, and what they should say.

    Every method raises ArchiverError if the journal fails.
    """

    def __init__(self, writer: Writer, stage: Stage) -> None:
        self._writer = writer
        self._stage = stage

    async def progress(self) -> StageProgress:
        """Return how far the stage has come, over the runs there are: what its state file should say."""
        return await self._writer.read(lambda db: scheduling.select_progress(db, self._stage))

    async def state_texts(self) -> tuple[str, ...] | None:
        """Return what the state file may say if only we wrote it; None if we never did."""
        return await self._writer.read(lambda db: queries.select_state_texts(db, self._stage))

    async def note_state_texts(self, texts: Collection[str]) -> None:
        """Note what the state file says or is about to say; durable before it is written."""
        await self._writer.write(lambda db: statements.note_state_texts(db, self._stage, texts))

    async def failures(self) -> frozenset[int]:
        """Return the runs that the failure log should list."""
        return await self._writer.read(lambda db: queries.select_listed(db, self._stage))

    async def unlist(self, runs: Collection[int]) -> None:
        """Take ``runs`` out of the failure log until they fail again."""
        await self._writer.write(lambda db: statements.unlist(db, self._stage, runs))

    async def written_failures(self) -> frozenset[int] | None:
        """Return the runs that the failure log listed when it was last written; None if it never was."""
        return await self._writer.read(lambda db: queries.select_written_failures(db, self._stage))

    async def note_written_failures(self, runs: Collection[int]) -> None:
        """Note the runs that the failure log lists now."""
        await self._writer.write(lambda db: statements.note_written_failures(db, self._stage, runs))
