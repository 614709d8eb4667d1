"""Asking run-records directory, artdaqDB and UconDB now: can they be reached, and what do they hold?

For `status --probe` and `status --compare-state`. Nothing is changed. A source that cannot tell says why; the others
are asked all the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archiverd import config
from archiverd.artdaqdb.backends import make_reader
from archiverd.artdaqdb.schema import load_schema
from archiverd.audit.reconcile import numbered
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.detached import run_detached
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB
from archiverd.ucondb.client import make_ucondb
from archiverd.watch.watcher import scan

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from archiverd.artdaqdb.port import ArtdaqDBReader
    from archiverd.config import Settings
    from archiverd.journal.summaries import Ranges
    from archiverd.ucondb.port import UconDB


@dataclass(slots=True)
class ProbeResult:
    """What one source says."""

    name: str
    ranges: Ranges | None = None
    """The runs it holds; None if it cannot tell."""
    facts: list[str] = field(default_factory=list)
    """What was tried and is well, a few words each."""
    problems: list[ArchiverError] = field(default_factory=list)


async def probe_sources(
    settings: Settings, artdaqdb: ArtdaqDBReader, ucondb: UconDB | None, verified: Collection[int]
) -> list[ProbeResult]:
    """Ask the three sources at once; ``ucondb`` is None where it is not configured.

    A run of ``verified`` that UconDB's list lacks is looked up by itself: a short list proves nothing (I8).
    """
    looks = [ProbeResult(FILESYSTEM), ProbeResult(ARTDAQDB), ProbeResult(UCONDB)]
    async with asyncio.TaskGroup() as group:
        group.create_task(_guard(looks[0], _filesystem(settings, looks[0])))
        group.create_task(_guard(looks[1], _artdaqdb(settings, artdaqdb, looks[1])))
        if ucondb is None:
            looks[2].facts.append(_missing(settings))
        else:
            group.create_task(_guard(looks[2], _ucondb(settings, ucondb, verified, looks[2])))
    return looks


async def probe_sources_alone(settings: Settings, verified: Collection[int]) -> list[ProbeResult]:
    """Ask the three sources from a process of its own, while a daemon runs or not."""
    looks = [ProbeResult(FILESYSTEM), ProbeResult(ARTDAQDB), ProbeResult(UCONDB)]

    async def artdaqdb() -> None:
        reader = make_reader(settings.artdaq_db)
        await reader.open()
        try:
            await _artdaqdb(settings, reader, looks[1])
        finally:
            await reader.close()

    async def ucondb() -> None:
        if not (settings.ucon_db.server_url and settings.ucon_db.folder_name and settings.ucon_db.object_name):
            looks[2].facts.append(_missing(settings))
            return
        client = make_ucondb(settings)
        await client.open()
        try:
            await _ucondb(settings, client, verified, looks[2])
        finally:
            await client.close()

    async with asyncio.TaskGroup() as group:
        for one, asking in zip(looks, (_filesystem(settings, looks[0]), artdaqdb(), ucondb()), strict=True):
            group.create_task(_guard(one, asking))
    return looks


async def _guard(one: ProbeResult, asking: Coroutine[Any, Any, None]) -> None:
    """Let ``asking`` fill in ``one``; what goes wrong stands there then."""
    try:
        await asking
    except ArchiverError as error:
        one.problems.append(error)


async def _filesystem(settings: Settings, one: ProbeResult) -> None:
    found = await run_detached(lambda: scan(settings.source_files.run_records_dir))
    one.ranges = await asyncio.to_thread(runset.ranges, found.runs)
    one.facts.append("can be read")


async def _artdaqdb(settings: Settings, artdaqdb: ArtdaqDBReader, one: ProbeResult) -> None:
    try:
        await asyncio.to_thread(load_schema, settings.artdaq_db.fcl_conf_dir)
    except ArchiverError as error:
        one.problems.append(error)
    else:
        one.facts.append("schema.fcl is sound")
    one.ranges = runset.ranges(await artdaqdb.list_runs())
    there = getattr(artdaqdb, "is_there", True)
    one.facts.append("answers" if there else "is not there yet: the first import makes it")


async def _ucondb(settings: Settings, ucondb: UconDB, verified: Collection[int], one: ProbeResult) -> None:
    await ucondb.check_server()
    one.facts.append("answers")
    listed = numbered(await ucondb.list_keys())
    missing = [str(run) for run in verified if run not in listed]
    held = numbered(await ucondb.look_up_all(missing)) if missing else {}
    one.ranges = runset.ranges([*listed, *held])
    one.facts.append(f"folder {settings.ucon_db.folder_name} can be read")
    if not settings.ucon_db.writer_password.get_secret_value():
        one.facts.append("login not tried: ucon_db.writer_password is not set here")
        return
    await ucondb.check_login()
    one.facts.append(f"{settings.ucon_db.writer_user} may write")


def _missing(settings: Settings) -> str:
    """Say what keeps UconDB from being asked."""
    return f"not configured ({', '.join(config.missing_for_migration(settings))} of [ucon_db])"
