"""Recommendations of `status`: what an operator should do, in the words of the runbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.audit.anomalies import Discrepancy, address
from archiverd.audit.destination import advise as advise_on
from archiverd.core import runset
from archiverd.core.machine import SET_ASIDE, UNDER_WAY, Stage, State
from archiverd.core.wording import pluralise
from archiverd.watch.missing import describe_missing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from archiverd.core.proofs import BlobFault
    from archiverd.journal.destinations import Standing
    from archiverd.journal.proofs import Standstill
    from archiverd.journal.rows import Hold
    from archiverd.journal.summaries import Cause, Durations, Ranges
    from archiverd.status.differences import Differences, StateFile

NOTHING_TO_DO = "All systems are synchronized - no action needed"
NOTHING_KNOWN = "Nothing is known yet: the first `archiverd run` or `archiverd once` looks at every run"
"""Recommendation where there is no journal: somebody who reads NOTHING_TO_DO goes back to bed."""

MANY_WAIT = 10
"""Fewest waiting runs that make a stage a bottleneck."""
LONG_SECONDS = 60.0
"""Shortest time that the waiting runs of a bottleneck take at the recent pace."""

LARGE_SHARE = 0.5
"""Share of the allowed memory above which memory use is high."""
LARGE_BYTES = 2 << 30
"""Bytes above which memory use is high, whatever is allowed."""


@dataclass(frozen=True, slots=True)
class Workload:
    """How busy a stage is."""

    stage: Stage
    workers: int
    """Runs it works on at once, by the configuration."""
    waiting: int
    in_hand: int
    durations: Durations | None
    """Times of its last runs; None if it has finished none."""

    @property
    def seconds(self) -> float | None:
        """Seconds that the waiting runs will take at the recent pace; None if the stage has finished no run."""
        return None if self.durations is None else self.waiting * self.durations.median / self.workers

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        durations = self.durations
        return {
            "stage": str(self.stage),
            "workers": self.workers,
            "waiting": self.waiting,
            "in_hand": self.in_hand,
            "runs_lately": 0 if durations is None else durations.runs,
            "since": None if durations is None else durations.since,
            "median_seconds": None if durations is None else durations.median,
            "p95_seconds": None if durations is None else durations.p95,
        }


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The facts that advice depends on."""

    daemon_running: bool
    """Whether a daemon runs, even one that does not answer."""
    daemon_remedy: str | None
    """Remedy for a daemon that cannot report its state; None if there is no such daemon."""
    has_journal: bool
    paused: bool
    migrating: bool
    """Whether UconDB is configured; without it a run is finished once it is in artdaqDB."""
    ranges: Mapping[State, Ranges]
    superseded: Collection[int]
    """Verified runs whose stop line came later; an operator decides whether UconDB gets it."""
    changed: Collection[int]
    """Verified runs whose directory is not what was archived."""
    reused: Collection[int]
    """Verified runs whose directory holds another run's record."""
    faults: Mapping[BlobFault, Collection[int]]
    """Verified runs by what is wrong with what UconDB holds of them."""
    standstill: Standstill | None
    """Why no run is proven again; None if runs are."""
    missing: Ranges
    """Runs whose directories are missing, perhaps because they are not mounted."""
    others_there: bool
    """Whether directories of other runs are there."""
    standings: Sequence[Standing]
    """Where the verified runs stand, as seen from each configured database."""
    causes: Sequence[Cause]
    holds: Sequence[Hold]
    workloads: Sequence[Workload]
    uploads_allowed: int | None
    """Concurrent uploads that archiverd allows now; None without a daemon."""
    uploads: int
    """Most concurrent uploads, by the configuration."""
    cpus: int
    rss_bytes: int
    rss_limit_bytes: int
    differences: Differences | None
    state_files: Sequence[StateFile]
    unreachable: Mapping[str, str]
    """Remedies by the names of the sources that were probed in vain."""


def advise(now: Circumstances) -> list[str]:
    """Return what to do, a sentence each, the most urgent first; NOTHING_TO_DO if that is nothing."""
    advice = [
        *_advise_on_daemon(now),
        *(f"Make {source} reachable: {remedy or 'see what it says'}" for source, remedy in now.unreachable.items()),
        *(f"{hold.backend} is {hold.health}: {hold.remedy or hold.cause}" for hold in now.holds),
        *_advise_on_destinations(now),
        *_advise_on_stages(now),
        *_advise_on_proofs(now),
        *_advise_on_troubled_runs(now),
        *_advise_on_differences(now.differences),
        *_advise_on_state_files(now),
        *advise_on_tuning(now),
    ]
    return advice or [NOTHING_TO_DO if now.has_journal else NOTHING_KNOWN]


def _advise_on_daemon(now: Circumstances) -> Iterator[str]:
    """Yield what to do about a daemon that cannot report its state; it may work on a journal that was removed."""
    if now.daemon_remedy is not None and not now.has_journal:
        yield (
            "Restart the daemon (`archiverd drain`, then start it): the journal is not at its place any more; it makes "
            "a new one and proves anew what is archived"
        )
    elif now.daemon_remedy is not None:
        yield f"See to the daemon, which cannot tell how it is: {now.daemon_remedy or '`archiverd check`'}"


def _advise_on_destinations(now: Circumstances) -> Iterator[str]:
    """Yield what to do about runs that were archived in other databases than the configured ones."""
    for one in now.standings:
        if one.elsewhere > one.accepted:
            runs = pluralise(one.elsewhere - one.accepted, "run")
            yield f"{'Decide' if one.wrong else 'Wait'}: {runs} not in this {one.side.label}: {advise_on(one)}"


def _advise_on_stages(now: Circumstances) -> Iterator[str]:
    """Yield which stage to run for runs that are not archived yet."""
    found = now.differences
    to_import = _waiting(now, Stage.IMPORT, () if found is None else found.not_imported)
    to_migrate = _waiting(now, Stage.MIGRATE, () if found is None else found.not_migrated) - to_import
    if to_import:
        yield f"Run IMPORTER: {_runs(to_import)} not in artdaqDB yet{_how_to_run(now, 'once --import-only')}"
    if to_migrate and now.migrating:
        how = _how_to_run(now, "once --migrate-only")
        if now.holds:
            how = f"; they wait for {now.holds[0].backend}, which is {now.holds[0].health}"
        yield f"Run MIGRATOR: {_runs(to_migrate)} not in UconDB yet{how}"


def _waiting(now: Circumstances, stage: Stage, others: Collection[int]) -> set[int]:
    """Return the runs that wait for a stage, retries included."""
    waiting = {run for state in UNDER_WAY[stage] for run in runset.numbers(now.ranges.get(state, []))} | set(others)
    retried = (cause.runs for cause in now.causes if cause.state is State.RETRY_WAIT and cause.stage is stage)
    set_aside = {run for cause in now.causes if cause.state in SET_ASIDE for run in cause.runs}
    return (waiting | {run for runs in retried for run in runs}) - set_aside


def _how_to_run(now: Circumstances, command: str) -> str:
    """Return the end of a sentence: how a stage is run, with ``command`` where no daemon runs."""
    if now.paused:
        return "; the daemon is paused: `archiverd resume`"
    if now.daemon_running:
        return "; the running daemon takes them up by itself"
    return f": `archiverd run`, or `archiverd {command}`"


def _advise_on_troubled_runs(now: Circumstances) -> Iterator[str]:
    """Yield what to do about runs that were set aside, that cannot be read, or that were superseded."""
    for cause in now.causes:
        if cause.state is State.OPEN:
            yield f"Look at: {_runs(cause.runs)} open and cannot be read: `archiverd why {cause.runs[-1]}` says why"
        if cause.state is State.QUARANTINED:
            what = f"{_runs(cause.runs)} quarantined: `archiverd why {cause.runs[-1]}` tells the cause"
            yield f"Mend: {what}; then `archiverd retry {cause.stage}`"
        elif cause.state is State.CONFLICT:
            how = "`archiverd release RUN --override` or `archiverd waive RUN --reason TEXT`"
            yield (
                f"Decide: {_runs(cause.runs)} in conflict: compare both (`archiverd export`), then "
                f"{address(how, cause.runs)}"
            )
    for runs, kind in ((now.reused, Discrepancy.REUSED), (now.changed, Discrepancy.CHANGED)):
        if runs:
            yield f"Decide: {_runs(runs)} {kind}: {kind.remedy(runs)}"
    if now.missing:
        told = describe_missing(set(runset.numbers(now.missing)), others=now.others_there)
        yield f"Look at the mount of the run records: {told}"
    if now.superseded:
        how = address("`archiverd release RUN --override` replaces that", now.superseded)
        yield f"Decide: {_runs(now.superseded)} superseded: artdaqDB has a newer version than UconDB: {how}"


def _advise_on_proofs(now: Circumstances) -> Iterator[str]:
    """Yield what to do about runs that UconDB does not give back as they were proven."""
    if now.standstill is not None:
        yield f"Look at UconDB: {now.standstill.why}: {now.standstill.remedy}"
    for fault, runs in now.faults.items():
        if now.standstill is None or now.standstill.fault is not fault:
            yield f"Mend: {_numbered(runs)}, {fault}: {Discrepancy(fault).remedy(runs)}"


def _advise_on_differences(found: Differences | None) -> Iterator[str]:
    """Yield what to do where the three sources do not agree."""
    if found is None:
        return
    for heading, runs, kind in (
        ("Upload again", found.lost_ucondb, Discrepancy.MISSING_UCONDB),
        ("Ask who removed them", found.lost_artdaqdb, Discrepancy.MISSING_ARTDAQDB),
        ("Orphaned runs", found.orphan_artdaqdb, Discrepancy.ORPHAN_ARTDAQDB),
        ("Orphaned runs", found.orphan_ucondb, Discrepancy.ORPHAN_UCONDB),
    ):
        if runs:
            yield f"{heading}: {_numbered(runs)}: {kind.remedy(runs)}"


def _advise_on_state_files(now: Circumstances) -> Iterator[str]:
    """Yield what to do about state files that do not agree with the journal."""
    for file in now.state_files:
        if file.in_step:
            continue
        recorded = file.recorded[0] if file.recorded else "nothing"
        problem = file.problem or f"says {recorded} and should say {file.contiguous}"
        how = "the daemon writes it anew by itself" if now.daemon_running else f"`archiverd recover {file.stage}`"
        yield f"Recover state: {file.name} {problem}: {how}"


def advise_on_tuning(now: Circumstances) -> Iterator[str]:
    """Yield which setting to change when archiverd is slow or uses much memory."""
    timed_out = next((one for one in now.causes if one.stage is Stage.MIGRATE and "timed out" in one.error), None)
    if timed_out is not None:
        yield f"Raise ucon_db.timeout_seconds: {_runs(timed_out.runs)} waiting after `{timed_out.error[:100]}`"
    if not now.holds and not now.paused and (slowest := _find_bottleneck(now.workloads)) is not None:
        yield _advise_on_speed(now, slowest)
    if now.rss_bytes > LARGE_BYTES or (now.rss_limit_bytes and now.rss_bytes > LARGE_SHARE * now.rss_limit_bytes):
        of = f" of {now.rss_limit_bytes // 1_000_000} MB" if now.rss_limit_bytes else ""
        size = f"{now.rss_bytes // 1_000_000} MB{of}"
        yield f"High memory: {size}: lower app.parallel_workers and app.batch_size, and restart"


def _find_bottleneck(workloads: Sequence[Workload]) -> Workload | None:
    """Return the slow stage whose waiting runs take longest; None if no stage is slow."""
    slow = [one for one in workloads if one.waiting >= MANY_WAIT and (one.seconds or 0.0) >= LONG_SECONDS]
    return max(slow, key=lambda one: one.seconds or 0.0, default=None)


def _advise_on_speed(now: Circumstances, slowest: Workload) -> str:
    """Return what makes a stage faster."""
    median = slowest.durations.median if slowest.durations is not None else 0.0
    head = f"Slow: {slowest.waiting} runs wait for {slowest.stage}, {median:.1f} s a run"
    if slowest.stage is Stage.IMPORT:
        if slowest.workers < now.cpus:
            return f"{head}: raise app.parallel_workers ({slowest.workers}; this machine has {now.cpus} CPUs)"
        return f"{head}: app.parallel_workers uses every CPU already: look at the disk or server of artdaqDB"
    if now.uploads_allowed is not None and now.uploads_allowed < now.uploads:
        return (
            f"{head}: UconDB is slow, so only {now.uploads_allowed} of ucon_db.max_concurrent_uploads ({now.uploads}) "
            "go at once: ask its administrators, look at the network"
        )
    return f"{head}: raise ucon_db.max_concurrent_uploads ({now.uploads})"


def _runs(runs: Collection[int]) -> str:
    """Return runs as the subject of a sentence: ``2 runs (7-8) are``, ``run 7 is``."""
    return f"{_numbered(runs)} {'is' if len(runs) == 1 else 'are'}"


def _numbered(runs: Collection[int]) -> str:
    """Return runs with their numbers: ``2 runs (7-8)``, ``run 7``."""
    return f"run {next(iter(runs))}" if len(runs) == 1 else f"{len(runs)} runs ({runset.show(runs, 3)})"
