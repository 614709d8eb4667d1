"""The files operators read and edit, state files and failure logs, kept in step with the journal.

Their form is in contract.md, "Files in app.work_dir". A state file is only a view of the journal. A failure log can be
edited: a number added is retried, a number removed is listed again only after a new failure. The journal has the log as
it was last written, so that an edit is noticed whenever it was made, also while no daemon ran.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.machine import Stage
from archiverd.disk import read_small_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from archiverd.config.paths import StageFiles
    from archiverd.disk import Disk
    from archiverd.journal.journal import Journal
    from archiverd.journal.rows import StageProgress

LOG_LIMIT = 1 << 24
"""Longest failure log that is read, in bytes: more than a million run numbers."""

TAGS = {Stage.IMPORT: "Import", Stage.MIGRATE: "Migration"}


def state_text(progress: StageProgress) -> bytes:
    """Return the content of a state file (contract.md, "Files in app.work_dir")."""
    known = {
        "last_contiguous_run": progress.last_contiguous_run,
        "last_attempted_run": progress.last_attempted_run,
    }
    return json.dumps(known).encode() + b"\n"


def failures_text(runs: Iterable[int]) -> bytes:
    """Return the content of a failure log: one run number a line, ascending."""
    return "".join(f"{run}\n" for run in sorted(runs)).encode()


def parse_failures(data: bytes) -> frozenset[int]:
    """Return the run numbers in a failure log, one a line; empty lines are skipped. Raise ValueError for others."""
    found = set()
    for line in data.decode("ascii", "backslashreplace").splitlines():
        word = line.strip()
        if not word:
            continue
        if not (word.isdecimal() and len(word) < 19 and int(word) > 0):
            raise ValueError(f"invalid literal for a run number: {word[:40]!r}")
        found.add(int(word))
    return frozenset(found)


def parse_state(data: bytes) -> dict[str, int]:
    """Return the two numbers in a state file. Raise ValueError if it is none."""
    try:
        fields = json.loads(data)
        return {key: int(fields[key]) for key in ("last_contiguous_run", "last_attempted_run")}
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (TypeError, KeyError) as error:
        raise ValueError(f"no state: {error!r}") from None


class StateFiles:
    """The files of both stages; ``retry`` takes up a run whose number an operator added to a failure log."""

    def __init__(
        self,
        journal: Journal,
        disk: Disk,
        files: tuple[StageFiles, ...],
        retry: Callable[[int, Stage], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._disk = disk
        self._files = files
        self._retry = retry
        self._balancing = asyncio.Lock()

    async def synchronise(self) -> None:
        """Apply what operators changed, then write what the journal changed. Raise ArchiverError or OSError."""
        async with self._balancing:
            for files in self._files:
                seen = await self._apply_edits(files)
                await self._write_failures(files, seen)
                await self._write_state(files)

    async def take_over(self) -> None:
        """Log the state files that were there before the journal; the databases know better what is archived.

        One that cannot be read is set aside. Raise OSError.
        """
        for files in self._files:
            data = await _read(files.state)
            if data is None:
                continue
            try:
                numbers = parse_state(data)
            except ValueError as error:
                await self._set_aside(files.state, error, files.stage)
            else:
                log.get(TAGS[files.stage]).info(f"{files.state} said {numbers}; what is archived is looked up instead")

    async def _apply_edits(self, files: StageFiles) -> bytes | None:
        """Apply what an operator changed in a failure log since it was last written; return its content."""
        data = await _read(files.failures)
        memory = self._journal.stage_file_memory(files.stage)
        before = await memory.written_failures()
        current = b"" if data is None and before else data
        if current is None or (before is not None and current == failures_text(before)):
            return data
        try:
            listed = parse_failures(current)
        except ValueError as error:
            # Noted first: after a kill in between, a log that is gone must not look emptied by hand.
            await memory.note_written_failures(frozenset())
            await self._set_aside(files.failures, error, files.stage)
            return None
        known = before or frozenset()
        logger = log.get(TAGS[files.stage])
        if removed := known - listed:
            await memory.unlist(removed)
            logger.info(f"taken out of {files.failures.name} by hand", runs=len(removed))
        for run in sorted(listed - known):
            logger.info(f"added to {files.failures.name} by hand", run=run)
            await self._retry(run, files.stage)
        return data

    async def _write_failures(self, files: StageFiles, seen: bytes | None) -> None:
        """Write a failure log as the journal has it, then note that in the journal.

        A log that is no longer as it was ``seen`` is left for the next time: somebody is editing it. If the note gets
        lost, our own additions are taken for an operator's the next time: a retry too many, no loss.
        """
        memory = self._journal.stage_file_memory(files.stage)
        listed = await memory.failures()
        text = failures_text(listed)
        if seen != text:
            if await _read(files.failures) != seen:
                return
            await self._publish(files.failures, text)
        if await memory.written_failures() != listed:
            await memory.note_written_failures(listed)

    async def _write_state(self, files: StageFiles) -> None:
        """Write a state file as the journal has it; an edit by somebody else is logged and changes nothing."""
        data = await _read(files.state)
        memory = self._journal.stage_file_memory(files.stage)
        text = state_text(await memory.progress())
        if data == text:
            return
        ours = await memory.state_texts()
        if ours is not None and (data is None or data.decode(errors="replace") not in ours):
            await self._log_edit(files, data)
        before = [] if data is None else [data.decode(errors="replace")]
        await memory.note_state_texts([*before, text.decode()])
        await self._publish(files.state, text)

    async def _log_edit(self, files: StageFiles, data: bytes | None) -> None:
        """Log that a state file is not as we left it; one that cannot be read is set aside."""
        logger = log.get(TAGS[files.stage])
        if data is None:
            logger.warning(f"{files.state} was removed: it is written anew from the journal")
            return
        try:
            numbers = parse_state(data)
        except ValueError as error:
            await self._set_aside(files.state, error, files.stage)
        else:
            logger.warning(f"{files.state} was edited and said {numbers}: it is output only and written anew")

    async def _publish(self, path: Path, data: bytes) -> None:
        await asyncio.to_thread(self._disk.publish, path, [data])
        log.get().debug(f"written: {path}", bytes=len(data))

    async def _set_aside(self, path: Path, error: ValueError, stage: Stage) -> None:
        """Rename a file that cannot be read, and log that in the runbook's words; the journal has its content."""
        corrupted = path.with_name(f"{path.name}.corrupted")
        message = f"Failed to parse run records file {path}: {error}"
        log.get(TAGS[stage]).error(f"{message} (kept as {corrupted.name}; written anew from the journal)")
        await asyncio.to_thread(self._disk.move, path, corrupted)


async def _read(path: Path) -> bytes | None:
    """Return the content of a small file, or None if it is not there."""
    try:
        return await read_small_file(path, LOG_LIMIT)
    except FileNotFoundError:
        return None
