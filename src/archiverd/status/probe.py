"""Probes of run-records directory, artdaqDB and UconDB: can they be reached, and which runs do they hold?

For `status --probe` and `status --compare-state`. Nothing is changed. A source that cannot be read says why, and the
others are probed all the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archiverd.artdaqdb.backends import make_reader
from archiverd.artdaqdb.schema import load_schema
from archiverd.audit.reconcile import numbered
from archiverd.config.ucondb import missing_for_migration
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.detached import run_detached
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB
from archiverd.ucondb.client import make_ucondb
from archiverd.watch.directory_scan import scan_records

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from archiverd.artdaqdb.port import ArtdaqDBReader
    from archiverd.config.models import Settings
    from archiverd.journal.summaries import Ranges
    from archiverd.ucondb.port import UconDB


@dataclass(slots=True)
class ProbeResult:
    """One source: which runs it holds, what works and what does not."""

    name: str
    ranges: Ranges | None = None
    """The runs it holds; None if they could not be listed."""
    facts: list[str] = field(default_factory=list)
    """Checks that passed, a few words each."""
    problems: list[ArchiverError] = field(default_factory=list)


async def probe_sources(
    settings: Settings, artdaqdb: ArtdaqDBReader, ucondb: UconDB | None, verified: Collection[int]
) -> list[ProbeResult]:
    """Probe the three sources at once; ``ucondb`` is None where it is not configured.

    A run of ``verified`` that UconDB's list lacks is looked up by itself: a short list proves nothing (I8).
    """
    probes = [ProbeResult(FILESYSTEM), ProbeResult(ARTDAQDB), ProbeResult(UCONDB)]
    async with asyncio.TaskGroup() as group:
        group.create_task(_collect_errors(probes[0], _probe_filesystem(settings, probes[0])))
        group.create_task(_collect_errors(probes[1], _probe_artdaqdb(settings, artdaqdb, probes[1])))
        if ucondb is None:
            probes[2].facts.append(_describe_missing_settings(settings))
        else:
            group.create_task(_collect_errors(probes[2], _probe_ucondb(settings, ucondb, verified, probes[2])))
    return probes


async def probe_sources_alone(settings: Settings, verified: Collection[int]) -> list[ProbeResult]:
    """Probe the three sources with adapters of its own, whether a daemon runs or not; ``verified`` as above."""
    probes = [ProbeResult(FILESYSTEM), ProbeResult(ARTDAQDB), ProbeResult(UCONDB)]

    async def artdaqdb() -> None:
        reader = make_reader(settings.artdaq_db)
        await reader.open()
        try:
            await _probe_artdaqdb(settings, reader, probes[1])
        finally:
            await reader.close()

    async def ucondb() -> None:
        if not (settings.ucon_db.server_url and settings.ucon_db.folder_name and settings.ucon_db.object_name):
            probes[2].facts.append(_describe_missing_settings(settings))
            return
        client = make_ucondb(settings)
        await client.open()
        try:
            await _probe_ucondb(settings, client, verified, probes[2])
        finally:
            await client.close()

    async with asyncio.TaskGroup() as group:
        for result, probing in zip(probes, (_probe_filesystem(settings, probes[0]), artdaqdb(), ucondb()), strict=True):
            group.create_task(_collect_errors(result, probing))
    return probes


async def _collect_errors(result: ProbeResult, probing: Coroutine[Any, Any, None]) -> None:
    """Await ``probing``, which fills in ``result``; put its ArchiverError there too."""
    try:
        await probing
    except ArchiverError as error:
        result.problems.append(error)


async def _probe_filesystem(settings: Settings, result: ProbeResult) -> None:
    found = await run_detached(lambda: scan_records(settings))
    result.ranges = await asyncio.to_thread(runset.ranges, found.runs)
    result.facts.append("can be read")


async def _probe_artdaqdb(settings: Settings, artdaqdb: ArtdaqDBReader, result: ProbeResult) -> None:
    try:
        await asyncio.to_thread(load_schema, settings.artdaq_db.fcl_conf_dir)
    except ArchiverError as error:
        result.problems.append(error)
    else:
        result.facts.append("schema.fcl is sound")
    result.ranges = runset.ranges(await artdaqdb.list_runs())
    there = getattr(artdaqdb, "is_there", True)
    result.facts.append("answers" if there else "is not there yet: the first import makes it")


async def _probe_ucondb(settings: Settings, ucondb: UconDB, verified: Collection[int], result: ProbeResult) -> None:
    await ucondb.check_server()
    result.facts.append("answers")
    listed = numbered(await ucondb.list_keys())
    missing = [str(run) for run in verified if run not in listed]
    held = numbered(await ucondb.look_up_all(missing)) if missing else {}
    result.ranges = runset.ranges([*listed, *held])
    result.facts.append(f"folder {settings.ucon_db.folder_name} can be read")
    if not settings.ucon_db.writer_password.get_secret_value():
        result.facts.append("login not tried: ucon_db.writer_password is not set here")
        return
    await ucondb.check_login()
    result.facts.append(f"{settings.ucon_db.writer_user} may write")


def _describe_missing_settings(settings: Settings) -> str:
    """Return which settings are missing that reaching UconDB needs."""
    return f"not configured ({', '.join(missing_for_migration(settings.ucon_db))} of [ucon_db])"
