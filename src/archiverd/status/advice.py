"""What an operator should do, from how we stand: the recommendations of `status`, in the words of the runbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.audit.anomalies import Discrepancy
from archiverd.core import runset
from archiverd.core.machine import Stage, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from archiverd.journal.rows import Hold
    from archiverd.journal.summaries import Cause, Durations, Ranges
    from archiverd.status.differences import Differences, StateFile

NOTHING = "All systems are synchronized - no action needed"
UNKNOWN = "Nothing is known yet: the first `archiverd run` or `archiverd once` looks at every run"
"""Said instead where there is no journal: whoever reads NOTHING goes back to bed."""

MANY_WAIT = 10
"""A stage is held up if at least so many runs wait for it, and"""
LONG_SECONDS = 60.0
"""they will take at least so long at the pace of late."""

LARGE_SHARE = 0.5
LARGE_BYTES = 2 << 30
"""Memory is high above this share of what is allowed, or above so many bytes."""


@dataclass(frozen=True, slots=True)
class Workload:
    """How busy a stage is."""

    stage: Stage
    workers: int
    """How many runs it takes in hand at once, by the configuration."""
    waiting: int
    in_hand: int
    lately: Durations | None
    """How long it took for a run; None if it has taken none through."""

    @property
    def seconds(self) -> float | None:
        """How long what waits will take at the pace of late; None when that cannot be told."""
        return None if self.lately is None else self.waiting * self.lately.median / self.workers


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What advice hangs on."""

    running: bool
    """A daemon runs, or may: one that does not answer."""
    silence: str | None
    """What to do about a daemon that cannot tell how it is; None if there is none such."""
    known: bool
    """There is a journal to tell by."""
    paused: bool
    migrating: bool
    """UconDB is configured: without it a run has come as far as it shall when it is in artdaqDB."""
    ranges: Mapping[State, Ranges]
    superseded: Collection[int]
    """Verified runs whose stop line came later: whether UconDB gets it is for somebody to decide."""
    causes: Sequence[Cause]
    holds: Sequence[Hold]
    workloads: Sequence[Workload]
    uploads_allowed: int | None
    """How many uploads archiverd lets through at once now; None without a daemon."""
    uploads: int
    """How many it may at most."""
    cpus: int
    rss_bytes: int
    rss_limit_bytes: int
    differences: Differences | None
    state_files: Sequence[StateFile]
    untold: Mapping[str, str]
    """Sources that were asked and could not tell, and what to do about it."""


def advise(now: Circumstances) -> list[str]:
    """Return what to do, a sentence each, the most urgent first; NOTHING if that is nothing."""
    advice = [
        *_ask_daemon(now),
        *(f"Make {source} reachable: {remedy or 'see what it says'}" for source, remedy in now.untold.items()),
        *(f"{hold.backend} is {hold.health}: {hold.remedy or hold.cause}" for hold in now.holds),
        *_run_stages(now),
        *_mend(now),
        *_compare(now.differences),
        *_recover(now),
        *tune(now),
    ]
    return advice or [NOTHING if now.known else UNKNOWN]


def _ask_daemon(now: Circumstances) -> Iterator[str]:
    """Yield what is to be done about a daemon that cannot tell; one goes on for long with a journal that is gone."""
    if now.silence is not None and not now.known:
        yield (
            "Restart the daemon (`archiverd drain`, then start it): the journal is not at its place any more; it makes "
            "a new one and proves anew what is archived"
        )
    elif now.silence is not None:
        yield f"See to the daemon, which cannot tell how it is: {now.silence or '`archiverd check`'}"


def _run_stages(now: Circumstances) -> Iterator[str]:
    """Yield which stage is to be run for what is not archived yet."""
    found = now.differences
    to_import = _waiting(
        now, Stage.IMPORT, (State.QUEUED, State.IMPORTING), () if found is None else found.not_imported
    )
    states = (State.IMPORTED, State.UPLOADING, State.UPLOAD_UNKNOWN)
    to_migrate = _waiting(now, Stage.MIGRATE, states, () if found is None else found.not_migrated) - to_import
    if to_import:
        yield f"Run IMPORTER: {_runs(to_import)} not in artdaqDB yet{_how(now, 'once --import-only')}"
    if to_migrate and now.migrating:
        how = _how(now, "once --migrate-only")
        if now.holds:
            how = f"; they wait for {now.holds[0].backend}, which is {now.holds[0].health}"
        yield f"Run MIGRATOR: {_runs(to_migrate)} not in UconDB yet{how}"


def _waiting(now: Circumstances, stage: Stage, states: Collection[State], others: Collection[int]) -> set[int]:
    """Return the runs that wait for a stage, retries included."""
    waiting = {run for state in states for run in runset.numbers(now.ranges.get(state, []))} | set(others)
    retried = (cause.runs for cause in now.causes if cause.state is State.RETRY_WAIT and cause.stage is stage)
    set_aside = {run for cause in now.causes if cause.state in _SET_ASIDE for run in cause.runs}
    return (waiting | {run for runs in retried for run in runs}) - set_aside


_SET_ASIDE = (State.QUARANTINED, State.CONFLICT)


def _how(now: Circumstances, command: str) -> str:
    """Say how a stage is run."""
    if now.paused:
        return "; the daemon is paused: `archiverd resume`"
    if now.running:
        return "; the running daemon takes them up by itself"
    return f": `archiverd run`, or `archiverd {command}`"


def _mend(now: Circumstances) -> Iterator[str]:
    """Yield what is to be done about runs that were set aside, or cannot be looked at."""
    for cause in now.causes:
        if cause.state is State.OPEN:
            yield f"Look at: {_runs(cause.runs)} open and cannot be read: `archiverd why {cause.runs[-1]}` says why"
        if cause.state is State.QUARANTINED:
            what = f"{_runs(cause.runs)} quarantined: `archiverd why {cause.runs[-1]}` tells the cause"
            yield f"Mend: {what}; then `archiverd retry {cause.stage}`"
        elif cause.state is State.CONFLICT:
            yield (
                f"Decide: {_runs(cause.runs)} in conflict: compare both (`archiverd export`), then "
                "`archiverd release RUN --override` or `archiverd waive RUN --reason TEXT`"
            )
    if now.superseded:
        yield (
            f"Decide: {_runs(now.superseded)} superseded: the stop line came later; artdaqDB has it, UconDB's version "
            "has not: `archiverd release RUN --override` replaces that"
        )


def _compare(found: Differences | None) -> Iterator[str]:
    """Yield what is to be done where the three sources do not agree."""
    if found is None:
        return
    for heading, runs, kind in (
        ("Upload again", found.lost_ucondb, Discrepancy.MISSING_UCONDB),
        ("Ask who removed them", found.lost_artdaqdb, Discrepancy.MISSING_ARTDAQDB),
        ("Orphaned runs", found.orphan_artdaqdb, Discrepancy.ORPHAN_ARTDAQDB),
        ("Orphaned runs", found.orphan_ucondb, Discrepancy.ORPHAN_UCONDB),
    ):
        if runs:
            yield f"{heading}: {_numbered(runs)}: {kind.remedy}"


def _recover(now: Circumstances) -> Iterator[str]:
    """Yield what is to be done about state files that do not say what is so."""
    for file in now.state_files:
        if file.in_step:
            continue
        said = file.problem or f"says {file.said[0] if file.said else 'nothing'} and should say {file.contiguous}"
        how = "the daemon writes it anew by itself" if now.running else f"`archiverd recover {file.stage}`"
        yield f"Recover state: {file.name} {said}: {how}"


def tune(now: Circumstances) -> Iterator[str]:
    """Yield which setting to change when archiverd runs slowly, or uses much memory."""
    timed_out = next((one for one in now.causes if one.stage is Stage.MIGRATE and "timed out" in one.error), None)
    if timed_out is not None:
        yield f"Raise ucon_db.timeout_seconds: {_runs(timed_out.runs)} waiting after `{timed_out.error[:100]}`"
    if not now.holds and not now.paused and (slowest := _held_up(now.workloads)) is not None:
        yield _faster(now, slowest)
    if now.rss_bytes > LARGE_BYTES or (now.rss_limit_bytes and now.rss_bytes > LARGE_SHARE * now.rss_limit_bytes):
        of = f" of {now.rss_limit_bytes // 1_000_000} MB" if now.rss_limit_bytes else ""
        size = f"{now.rss_bytes // 1_000_000} MB{of}"
        yield f"High memory: {size}: lower app.parallel_workers and app.batch_size, and restart"


def _held_up(workloads: Sequence[Workload]) -> Workload | None:
    """Return the stage that holds things up, if any does: the one whose waiting runs take longest."""
    slow = [one for one in workloads if one.waiting >= MANY_WAIT and (one.seconds or 0.0) >= LONG_SECONDS]
    return max(slow, key=lambda one: one.seconds or 0.0, default=None)


def _faster(now: Circumstances, slowest: Workload) -> str:
    """Say what makes a stage faster."""
    median = slowest.lately.median if slowest.lately is not None else 0.0
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
