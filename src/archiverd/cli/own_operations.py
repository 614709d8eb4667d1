"""The operations of archiverd as a command does them itself, with results as the daemon replies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.app import operations, operator_commands
from archiverd.app.wiring import RunOptions
from archiverd.config.ucondb import missing_for_migration
from archiverd.core.machine import Stage

if TYPE_CHECKING:
    from collections.abc import Collection

    from archiverd.cli.reply import Reply
    from archiverd.cli.terminal import Progress
    from archiverd.config import Settings
    from archiverd.journal.rows import RunRow


@dataclass(frozen=True, slots=True)
class OwnOperations:
    """Each operation on the work directory of ``settings``, which no other process may have. Raise ArchiverError."""

    settings: Settings
    on_progress: Progress

    async def once(self, *, importing: bool, migrating: bool, validating: bool, incremental: bool) -> Reply:
        """Take every ended run through the stages chosen."""
        options = RunOptions(
            importing=importing,
            migrating=migrating,
            validating=validating,
            drilling=not incremental,
            until_idle=True,
        )
        result = await operations.once(self.settings, options, incremental=incremental, on_progress=self.on_progress)
        return result.to_json()

    async def retry(self, stage: Stage, runs: Collection[int]) -> Reply:
        """Take the runs of the failure log of ``stage``, or ``runs``, up again."""
        migrating = not missing_for_migration(self.settings.ucon_db)
        options = RunOptions(importing=stage is Stage.IMPORT, migrating=migrating, drilling=False, until_idle=True)
        return (await operations.retry(self.settings, options, stage, runs, self.on_progress)).to_json()

    async def recover(self, stage: Stage) -> Reply:
        """Make journal and state files of ``stage`` anew from what its database holds."""
        migrating = stage is Stage.MIGRATE
        options = RunOptions(importing=not migrating, migrating=migrating, drilling=False, until_idle=True)
        return (await operations.recover(self.settings, options, stage, self.on_progress)).to_json()

    async def reconcile(self, *, deep: bool) -> Reply:
        """Put every run into one named state."""
        found = await operations.reconcile(self.settings, deep=deep, on_progress=self.on_progress)
        return found.to_json()

    async def waive(self, run: int, reason: str) -> Reply:
        """Take a run out of the reckoning."""
        return _to_reply(await operator_commands.waive(self.settings, run, reason))

    async def release(self, run: int, *, override: bool) -> Reply:
        """Put a run back to work."""
        return _to_reply(await operator_commands.release(self.settings, run, override=override))


def _to_reply(row: RunRow) -> Reply:
    return {"run": row.run, "state": str(row.state)}
