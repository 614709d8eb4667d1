"""How we stand: what `status` tells, gathered from journal, daemon, state files and, if they were asked, the sources.

Light to import: `status` is to be quick. What asks the databases is in ``looking``.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from archiverd.config.secrecy import without_login
from archiverd.core import runset
from archiverd.core.machine import TROUBLE, WAITING, Stage, State
from archiverd.journal import queries, summaries
from archiverd.journal.rows import Throughput
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB
from archiverd.status.advice import Circumstances, Workload, advise, tune
from archiverd.status.differences import compare, read_state_file, select_imported

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from archiverd.config import Settings
    from archiverd.journal.rows import Hold
    from archiverd.journal.summaries import Brief, Cause, Ranges
    from archiverd.status.differences import Differences, StateFile
    from archiverd.status.probe import ProbeResult

TROUBLED_SHOWN = 100
"""At most so many troubled runs are told one by one; causes tell them all."""

TLS_OFF = "TLS is not verified (ucon_db.verify_tls = false): nobody knows which server gets the runs"
NO_JOURNAL = "there is no journal yet: the first `archiverd run` or `archiverd once` makes it (in app.work_dir)"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that failed: ``ErrorName: message``, and what to do about it."""

    error: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Source:
    """One place that runs are in, and what is known of it."""

    name: str
    location: str
    told_by: str
    """``listing`` (asked now), ``daemon`` (its last scan), or ``journal`` (what archiverd believes)."""
    at: float | None
    """When it was listed or scanned, in epoch seconds; None for the journal."""
    ranges: Ranges | None
    """The runs there, as contiguous ranges; None if the source was asked and could not tell."""
    contact: Mapping[str, Any] | None
    """The daemon's last call: ``ok``, ``at``, ``error``, ``remedy``; None if it made none."""
    facts: Sequence[str]
    """What was tried now and is well."""
    problems: Sequence[Problem]
    """What was tried now and failed, and what to do about it."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        ranges = self.ranges
        return {
            **asdict(self),
            "runs": None if ranges is None else runset.count(ranges),
            "first": ranges[0][0] if ranges else None,
            "last": ranges[-1][1] if ranges else None,
            "gaps": None if ranges is None else runset.gaps(ranges),
        }


@dataclass(frozen=True, slots=True)
class StatusReport:
    """How we stand, for one screen. Times are epoch seconds (UTC)."""

    at: float
    daemon: Mapping[str, Any] | None
    warnings: Sequence[str]
    ranges: Mapping[State, Ranges]
    sources: Sequence[Source]
    causes: Sequence[Cause]
    trouble: Sequence[Brief]
    holds: Sequence[Hold]
    pace: Throughput
    workloads: Sequence[Workload]
    differences: Differences | None
    state_files: Sequence[StateFile] | None
    """None unless they were asked for."""
    recommendations: Sequence[str]
    tuning: Sequence[str]
    """Those of them that are about speed and memory."""

    @property
    def reachable(self) -> bool:
        """Whether every source that was asked could tell."""
        return not any(source.problems for source in self.sources)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {
            "version": 1,
            "at": self.at,
            "daemon": self.daemon,
            "warnings": list(self.warnings),
            "counts": {str(state): runset.count(self.ranges.get(state, [])) for state in State},
            "runs": {str(state): spans for state, spans in self.ranges.items()},
            "sources": [source.to_json() for source in self.sources],
            "causes": [asdict(cause) for cause in self.causes],
            "trouble": list(self.trouble),
            "holds": [asdict(hold) for hold in self.holds],
            "stages": [_told_workload(one) for one in self.workloads],
            "drain": {
                "waiting": self.pace.waiting,
                "runs_per_second": self.pace.per_second,
                "seconds": self.pace.seconds,
            },
            "last_verified": self.pace.last,
            "differences": None if self.differences is None else asdict(self.differences),
            "state_files": None if self.state_files is None else [one.to_json() for one in self.state_files],
            "recommendations": list(self.recommendations),
        }


def gather(
    settings: Settings,
    db: sqlite3.Connection | None,
    daemon: Mapping[str, Any] | None,
    looks: Sequence[ProbeResult] | None,
    *,
    comparing: bool,
) -> StatusReport:
    """Put together how we stand. ``db`` is None where there is no journal yet, ``looks`` where nothing was asked.

    ``daemon`` is what it says of itself, ``{"error": …, "remedy": …}`` if it cannot tell, None if none runs.
    """
    now = time.time()
    ranges = {} if db is None else summaries.select_ranges(db)
    causes = [] if db is None else summaries.select_causes(db)
    holds = [] if db is None else queries.select_holds(db)
    imported = [] if db is None or looks is None else select_imported(db)
    differences = None if looks is None else compare(looks, ranges, imported)
    workloads = _workloads(settings, db, ranges, daemon)
    state_files = [read_state_file(settings, stage, db, looks, ranges) for stage in Stage] if comparing else None
    known = daemon or {}
    paused = known.get("paused") is True
    pace = Throughput(0, None, None) if db is None else queries.select_pace(db, now)
    circumstances = Circumstances(
        running=daemon is not None,
        silence=known.get("remedy", "") if "error" in known else None,
        known=db is not None,
        paused=paused,
        migrating=bool(settings.ucon_db.server_url),
        ranges=ranges,
        superseded=[] if db is None else summaries.select_superseded(db),
        causes=causes,
        holds=holds,
        workloads=workloads,
        uploads_allowed=known.get("uploads_allowed"),
        uploads=settings.ucon_db.max_concurrent_uploads,
        cpus=os.cpu_count() or 1,
        rss_bytes=known.get("rss_bytes", 0),
        rss_limit_bytes=known.get("rss_limit_bytes", 0),
        differences=differences,
        state_files=state_files or (),
        untold={one.name: one.problems[0].remedy for one in looks or () if one.problems},
    )
    warnings = [] if settings.ucon_db.verify_tls else [TLS_OFF]
    return StatusReport(
        at=now,
        daemon=daemon,
        warnings=warnings if db is not None or daemon is not None else [*warnings, NO_JOURNAL],
        ranges=ranges,
        sources=[_source(settings, name, db, daemon, looks, now) for name in (FILESYSTEM, ARTDAQDB, UCONDB)],
        causes=causes,
        trouble=[] if db is None else summaries.select_briefs(db, TROUBLE, TROUBLED_SHOWN),
        holds=holds,
        pace=replace(pace, per_second=None) if paused else pace,
        workloads=workloads,
        differences=differences,
        state_files=state_files,
        recommendations=advise(circumstances),
        tuning=list(tune(circumstances)),
    )


def _source(
    settings: Settings,
    name: str,
    db: sqlite3.Connection | None,
    daemon: Mapping[str, Any] | None,
    looks: Sequence[ProbeResult] | None,
    now: float,
) -> Source:
    """Return what is known of one place, by whoever knows it best."""
    contact = ((daemon or {}).get("contacts") or {}).get(name)
    scanned = (daemon or {}).get("filesystem") if name == FILESYSTEM else None
    look = next((one for one in looks or () if one.name == name), None)
    at: float | None = None
    ranges: Ranges | None
    if look is not None:
        told_by, at, ranges = "listing", now, look.ranges
    elif scanned:
        told_by, at, ranges = "daemon", scanned["at"], [(first, last) for first, last in scanned["ranges"]]
    else:
        told_by, ranges = "journal", [] if db is None else summaries.select_place(db, name)
    facts = () if look is None else tuple(look.facts)
    problems = () if look is None else tuple(Problem(f"{error.name}: {error}", error.remedy) for error in look.problems)
    return Source(name, _location(settings, name), told_by, at, ranges, contact, facts, problems)


def _location(settings: Settings, name: str) -> str:
    """Return where a source is, without what may be secret in a URI."""
    if name == FILESYSTEM:
        return str(settings.source_files.run_records_dir)
    if name == ARTDAQDB:
        host = settings.artdaq_db.remote_host if settings.artdaq_db.use_tools else ""
        return (f"{host}: " if host else "") + without_login(settings.artdaq_db.database_uri, "")
    u = settings.ucon_db
    return f"{u.server_url} folder {u.folder_name} object {u.object_name}" if u.server_url else ""


def _workloads(
    settings: Settings, db: sqlite3.Connection | None, ranges: Mapping[State, Ranges], daemon: Mapping[str, Any] | None
) -> list[Workload]:
    """Return how busy the stages are: what waits by the journal, what is in hand by the daemon."""
    lately = {} if db is None else summaries.select_durations(db)
    workers = {
        Stage.IMPORT: settings.app.parallel_workers,
        Stage.MIGRATE: settings.ucon_db.max_concurrent_uploads,
    }
    in_hand = (daemon or {}).get("in_hand") or {}
    return [
        Workload(
            stage=stage,
            workers=workers[stage],
            waiting=sum(runset.count(ranges.get(state, [])) for state in WAITING[stage]),
            in_hand=len(in_hand.get(stage, ())),
            lately=lately.get(stage),
        )
        for stage in Stage
    ]


def _told_workload(one: Workload) -> dict[str, object]:
    """Return a stage as JSON has it."""
    lately = one.lately
    return {
        "stage": str(one.stage),
        "workers": one.workers,
        "waiting": one.waiting,
        "in_hand": one.in_hand,
        "runs_lately": 0 if lately is None else lately.runs,
        "since": None if lately is None else lately.since,
        "median_seconds": None if lately is None else lately.median,
        "p95_seconds": None if lately is None else lately.p95,
    }
