"""The report of `status`, from journal, daemon, state files and, if they were probed, the sources.

Light to import, so that `status` is quick; ``probe`` has what needs the databases' adapters.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from archiverd.audit import destination
from archiverd.config.secrecy import without_login
from archiverd.core import runset
from archiverd.core.machine import TROUBLE, WAITING, Stage, State
from archiverd.core.proofs import BlobFault
from archiverd.core.wording import describe_odd_names
from archiverd.journal import queries, summaries
from archiverd.journal.destinations import NOWHERE, Side, select_elsewhere, select_number, select_site
from archiverd.journal.proofs import ProofSummary, select_proof_summary
from archiverd.journal.rows import Throughput
from archiverd.journal.summaries import ARTDAQDB, FILESYSTEM, UCONDB
from archiverd.status.advice import Circumstances, Workload, advise, advise_on_tuning
from archiverd.status.differences import compare, read_state_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence

    from archiverd.config.models import Settings
    from archiverd.journal.destinations import Configured, Destination, Site, Standing
    from archiverd.journal.rows import Hold, MissingDirectories, RunRow
    from archiverd.journal.summaries import Brief, Cause, Durations, Ranges
    from archiverd.status.differences import Differences, StateFile
    from archiverd.status.probe import ProbeResult

TROUBLED_SHOWN = 100
"""Most troubled runs that are listed one by one; the causes name them all."""

TLS_OFF = "TLS is not verified (ucon_db.verify_tls = false): nobody knows which server gets the runs"
NO_JOURNAL = "there is no journal yet: the first `archiverd run` or `archiverd once` makes it (in app.work_dir)"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that failed: ``ErrorName: message``, and what to do about it."""

    error: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Source:
    """One place that holds runs, and what is known of it."""

    name: str
    location: str
    told_by: str
    """``listing`` (asked now), ``daemon`` (its last scan), or ``journal`` (what archiverd believes)."""
    at: float | None
    """When it was listed or scanned, in epoch seconds; None for the journal."""
    ranges: Ranges | None
    """The runs there, as contiguous ranges; None if the source was probed in vain."""
    contact: Mapping[str, Any] | None
    """The daemon's last call: ``ok``, ``at``, ``error``, ``remedy``; None if it made none."""
    facts: Sequence[str]
    """Checks of the probe that passed."""
    problems: Sequence[Problem]
    """Checks of the probe that failed."""

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
    """The state of the archive, for one screen. Times are epoch seconds (UTC)."""

    at: float
    daemon: Mapping[str, Any] | None
    warnings: Sequence[str]
    ranges: Mapping[State, Ranges]
    sources: Sequence[Source]
    causes: Sequence[Cause]
    trouble: Sequence[Brief]
    holds: Sequence[Hold]
    throughput: Throughput
    workloads: Sequence[Workload]
    differences: Differences | None
    state_files: Sequence[StateFile] | None
    """None unless they were compared."""
    proofs: ProofSummary
    recommendations: Sequence[str]
    tuning: Sequence[str]
    """The recommendations about speed and memory."""
    standings: Sequence[Standing] = ()
    """Where the verified runs stand, as seen from each configured database."""
    site: Site | None = None

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
            "stages": [one.to_json() for one in self.workloads],
            "drain": {
                "waiting": self.throughput.waiting,
                "runs_per_second": self.throughput.per_second,
                "seconds": self.throughput.seconds,
            },
            "last_verified": self.throughput.last,
            "scrub": _describe_proofs(self.proofs),
            "differences": None if self.differences is None else asdict(self.differences),
            "state_files": None if self.state_files is None else [one.to_json() for one in self.state_files],
            "recommendations": list(self.recommendations),
            "destinations": [one.to_json() for one in self.standings],
            "site": None if self.site is None else asdict(self.site),
        }


def build_report(
    settings: Settings,
    db: sqlite3.Connection | None,
    daemon: Mapping[str, Any] | None,
    probes: Sequence[ProbeResult] | None,
    *,
    comparing: bool,
) -> StatusReport:
    """Return the report; with ``comparing`` it has the state files.

    ``db`` is the journal, None where there is none yet. ``probes`` is None where no source was probed. ``daemon`` is
    its reply to `status`, ``{"error": …, "remedy": …}`` if it has none, None if no daemon runs.
    """
    now = time.time()
    places = destination.configured(settings)
    journal = JournalFacts() if db is None else _read_journal(db, now, places)
    elsewhere: Collection[int] = ()
    if db is not None and places.ucondb is not None:
        elsewhere = select_elsewhere(db, Side.UCONDB, select_number(db, places.ucondb) or NOWHERE)
    workloads = _list_workloads(settings, journal, daemon)
    differences = None
    if probes is not None:
        imported = [] if db is None else queries.select_imported(db)
        differences = compare(probes, journal.ranges, imported, elsewhere)
    state_files = None
    if comparing:
        state_files = [read_state_file(settings, stage, db, probes, journal.ranges, elsewhere) for stage in Stage]
    circumstances = replace(
        _describe_circumstances(settings, journal, daemon, workloads, has_journal=db is not None),
        differences=differences,
        state_files=state_files or (),
        unreachable={one.name: one.problems[0].remedy for one in probes or () if one.problems},
    )
    throughput = journal.throughput
    return StatusReport(
        at=now,
        daemon=daemon,
        warnings=_list_warnings(settings, journal, places, is_empty=db is None and daemon is None),
        ranges=journal.ranges,
        sources=[_describe_source(settings, name, db, daemon, probes, now) for name in (FILESYSTEM, ARTDAQDB, UCONDB)],
        causes=journal.causes,
        trouble=journal.trouble,
        holds=journal.holds,
        throughput=replace(throughput, per_second=None) if circumstances.paused else throughput,
        workloads=workloads,
        differences=differences,
        state_files=state_files,
        proofs=journal.proofs,
        recommendations=advise(circumstances),
        tuning=list(advise_on_tuning(circumstances)),
        standings=journal.standings,
        site=journal.site,
    )


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """What the report takes from the journal; by default that of an empty one."""

    ranges: Mapping[State, Ranges] = field(default_factory=dict)
    causes: Sequence[Cause] = ()
    holds: Sequence[Hold] = ()
    superseded: Collection[int] = ()
    flagged: Sequence[RunRow] = ()
    """Verified runs whose directory is not what was archived."""
    missing: MissingDirectories | None = None
    directories: int = 0
    """How many runs have a directory, for all that is known, those that are missing included; 0 if none are."""
    odd: tuple[int, list[str]] = (0, [])
    """How many names look like runs and are none, and the first of them."""
    trouble: Sequence[Brief] = ()
    durations: Mapping[Stage, Durations] = field(default_factory=dict)
    throughput: Throughput = field(default_factory=lambda: Throughput(0, None, None))
    proofs: ProofSummary = field(default_factory=ProofSummary)
    standings: Sequence[Standing] = ()
    site: Site | None = None


def _read_journal(db: sqlite3.Connection, now: float, places: Configured) -> JournalFacts:
    missing = queries.select_missing(db)
    return JournalFacts(
        ranges=summaries.select_ranges(db),
        causes=summaries.select_causes(db),
        holds=queries.select_holds(db),
        superseded=summaries.select_superseded(db),
        flagged=queries.select_flagged(db),
        missing=missing,
        directories=0 if missing is None else queries.count_seen_before(db, float("inf")),
        odd=_read_odd_names(db),
        trouble=summaries.select_briefs(db, TROUBLE, TROUBLED_SHOWN),
        durations=summaries.select_durations(db),
        throughput=queries.select_throughput(db, now),
        proofs=select_proof_summary(db, select_number(db, places.ucondb)),
        standings=destination.select_standings(db, places),
        site=select_site(db),
    )


def _describe_proofs(proofs: ProofSummary) -> dict[str, object]:
    """Return the state of all proofs as JSON has it (docs/commands.md)."""
    return {
        "oldest_proof": proofs.oldest,
        **{str(fault): len(proofs.faults.get(fault, ())) for fault in BlobFault},
        "standstill": None if proofs.standstill is None else asdict(proofs.standstill),
    }


def _read_odd_names(db: sqlite3.Connection) -> tuple[int, list[str]]:
    count, names = queries.select_odd_names(db)
    return count, [name for name, _ in names]


def _describe_circumstances(
    settings: Settings,
    journal: JournalFacts,
    daemon: Mapping[str, Any] | None,
    workloads: Sequence[Workload],
    *,
    has_journal: bool,
) -> Circumstances:
    """Return what advice depends on, without what the probes say."""
    reply = daemon or {}
    missing = [] if journal.missing is None else runset.unpack(journal.missing.runs)
    return Circumstances(
        daemon_running=daemon is not None,
        daemon_remedy=reply.get("remedy", "") if "error" in reply else None,
        has_journal=has_journal,
        paused=reply.get("paused") is True,
        migrating=bool(settings.ucon_db.server_url),
        ranges=journal.ranges,
        superseded=journal.superseded,
        changed=[row.run for row in journal.flagged if row.changed],
        reused=[row.run for row in journal.flagged if row.reused],
        faults=journal.proofs.faults,
        standstill=journal.proofs.standstill,
        missing=missing,
        others_there=journal.directories > runset.count(missing),
        standings=journal.standings,
        causes=journal.causes,
        holds=journal.holds,
        workloads=workloads,
        uploads_allowed=reply.get("uploads_allowed"),
        uploads=settings.ucon_db.max_concurrent_uploads,
        cpus=os.cpu_count() or 1,
        rss_bytes=reply.get("rss_bytes", 0),
        rss_limit_bytes=reply.get("rss_limit_bytes", 0),
        differences=None,
        state_files=(),
        unreachable={},
    )


def _list_warnings(settings: Settings, journal: JournalFacts, places: Configured, *, is_empty: bool) -> list[str]:
    """Return what is wrong, the most urgent first."""
    warnings = []
    if other := destination.describe_other_site(journal.site, places):
        warnings.append(other)
    warnings += filter(None, map(destination.describe, filter(destination.is_loud, journal.standings)))
    warnings += [] if settings.ucon_db.verify_tls else [TLS_OFF]
    if journal.odd[0]:
        warnings.append(f"{describe_odd_names(*journal.odd)} (`archiverd runs` lists them)")
    return [*warnings, NO_JOURNAL] if is_empty else warnings


def _describe_source(
    settings: Settings,
    name: str,
    db: sqlite3.Connection | None,
    daemon: Mapping[str, Any] | None,
    probes: Sequence[ProbeResult] | None,
    now: float,
) -> Source:
    """Return what is known of one source: by its probe, else by the daemon's last scan, else by the journal."""
    contact = ((daemon or {}).get("contacts") or {}).get(name)
    scanned = (daemon or {}).get("filesystem") if name == FILESYSTEM else None
    probe = next((one for one in probes or () if one.name == name), None)
    at: float | None = None
    ranges: Ranges | None
    if probe is not None:
        told_by, at, ranges = "listing", now, probe.ranges
    elif scanned:
        told_by, at, ranges = "daemon", scanned["at"], [(first, last) for first, last in scanned["ranges"]]
    else:
        told_by, ranges = "journal", [] if db is None else summaries.select_place(db, name, _named(settings, name))
    facts = () if probe is None else tuple(probe.facts)
    errors = () if probe is None else tuple(probe.problems)
    problems = tuple(Problem(f"{error.name}: {error}", error.remedy) for error in errors)
    return Source(name, _locate(settings, name), told_by, at, ranges, contact, facts, problems)


def _named(settings: Settings, name: str) -> Destination | None:
    """Return the database of that name; None for the run records, and if it is not configured."""
    places = destination.configured(settings)
    return {ARTDAQDB: places.artdaqdb, UCONDB: places.ucondb}.get(name)


def _locate(settings: Settings, name: str) -> str:
    """Return where a source is, without what may be secret in a URI."""
    if name == FILESYSTEM:
        return str(settings.source_files.run_records_dir)
    if name == ARTDAQDB:
        host = settings.artdaq_db.remote_host if settings.artdaq_db.use_tools else ""
        return (f"{host}: " if host else "") + without_login(settings.artdaq_db.database_uri, "")
    u = settings.ucon_db
    return f"{u.server_url} folder {u.folder_name} object {u.object_name}" if u.server_url else ""


def _list_workloads(settings: Settings, journal: JournalFacts, daemon: Mapping[str, Any] | None) -> list[Workload]:
    """Return how busy each stage is: what waits by the journal, what is in hand by the daemon."""
    workers = {
        Stage.IMPORT: settings.app.parallel_workers,
        Stage.MIGRATE: settings.ucon_db.max_concurrent_uploads,
    }
    in_hand = (daemon or {}).get("in_hand") or {}
    return [
        Workload(
            stage=stage,
            workers=workers[stage],
            waiting=sum(runset.count(journal.ranges.get(state, [])) for state in WAITING[stage]),
            in_hand=len(in_hand.get(stage, ())),
            durations=journal.durations.get(stage),
        )
        for stage in Stage
    ]
