"""Passes over the runs: `once`, `retry` and `recover`.

Here is what a pass does before its runs go through the stages, and how its result is made afterwards. In between the
driver lets the stages work: alone it runs them, the daemon waits for its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from archiverd import log
from archiverd.app.operations.results import Elsewhere, HeldRuns, PassResult, PassScope
from archiverd.app.state_file_sync import begin
from archiverd.audit import destination
from archiverd.audit.anomalies import Anomaly, Discrepancy
from archiverd.audit.directory_audit import make_audit
from archiverd.audit.proving import Prover, Verdict
from archiverd.audit.reconcile import numbered
from archiverd.audit.recovery import MissingRuns, adopt_archived, find_anomalies, find_missing, import_again
from archiverd.core.errors import ArtdaqDBError, UconDBError
from archiverd.core.machine import ON_THEIR_WAY, RETRIABLE, TROUBLE, Stage, State
from archiverd.journal.destinations import Found, Side
from archiverd.journal.state_files import TAGS
from archiverd.pipeline import operator_actions
from archiverd.pipeline.operator_actions import SkippedRun

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from archiverd.app.operations.requests import OnceRequest, RecoverRequest, RetryRequest
    from archiverd.app.wiring import Parts
    from archiverd.journal.rows import RunRow
    from archiverd.process.progress import Progress
    from archiverd.process.shutdown import ShutdownReason

ASKING = "asking artdaqDB and UconDB what they hold"


class PassDriver(Protocol):
    """What a pass needs of the process it runs in."""

    @property
    def parts(self) -> Parts:
        """The opened parts."""

    async def find_runs(self, on_progress: Progress) -> None:
        """Scan the run-records directory, and note new runs and which have ended.

        Wait for runs that ended just now to settle. Raise ArchiverError if it cannot be read.
        """

    async def find_late_stops(self) -> None:
        """Send runs archived as dead whose stop line has come on their way to artdaqDB again. Raise ArchiverError."""


async def prepare_once(driver: PassDriver, request: OnceRequest, on_progress: Progress) -> PassScope:
    """Find every run there is, make waiting retries due, and unless incremental ask what became of verified runs.

    Raise ArchiverError when the run-records directory cannot be read, ArtdaqDBError when artdaqDB does not answer.
    """
    parts = driver.parts
    if request.migrating:
        await _probe_if_shut(parts)
    await parts.journal.hasten()
    await driver.find_runs(on_progress)
    if request.importing:
        await driver.find_late_stops()
    adopted = await begin(parts)
    if request.incremental:
        return PassScope(request.stages, last=await parts.journal.last_run(), adopted=adopted)
    on_progress(0, 0, ASKING)
    adopted |= await adopt_archived(parts.journal, parts.artdaqdb)
    records = parts.settings.source_files.run_records_dir
    await make_audit(parts.journal, records).compare_recent()
    anomalies = await find_anomalies(parts.journal, parts.artdaqdb, records)
    if request.migrating:
        anomalies += await _find_missing(parts)
    last = await parts.journal.last_run()  # beside a daemon runs keep coming, and a pass must end
    return PassScope(request.stages, last=last, anomalies=anomalies, adopted=adopted, thorough=True)


async def _find_missing(parts: Parts) -> tuple[Anomaly, ...]:
    """Let the verified runs that UconDB has lost be uploaded again; return those that are not, for they are too many.

    A UconDB that is away or does not answer stops nothing.
    """
    if parts.migration is None or parts.migration.gate.failures:
        return ()
    try:
        return (await find_missing(parts.journal, parts.migration.ucondb)).withheld
    except UconDBError as error:
        log.failure(log.get("Migration"), error)
        return ()


async def prepare_retry(driver: PassDriver, request: RetryRequest, _: Progress) -> PassScope:
    """Take the requested runs up again; they go on through both stages. Raise ArchiverError.

    One that is verified is proven again now, if the migration is asked for.
    """
    parts = driver.parts
    await _probe_if_shut(parts)
    adopted = await begin(parts)
    chosen = request.runs or await parts.journal.listed(request.stage)
    answers = [await _take_up(parts, request.stage, run) for run in sorted(chosen)]
    await parts.journal.hasten(chosen)
    skipped = [one for one in answers if isinstance(one, SkippedRun)]
    anomalies = [one for one in answers if isinstance(one, Anomaly)]
    return PassScope(runs=chosen, anomalies=anomalies, skipped=skipped, adopted=adopted)


async def _take_up(parts: Parts, stage: Stage, run: int) -> SkippedRun | Anomaly | None:
    """Take up ``run`` again: from its directory, if ``stage`` is the import and artdaqDB has lost it.

    A verified one is proven again, if ``stage`` is the migration. Return why it is not taken up, None if it is.
    """
    if stage is Stage.IMPORT:
        records = parts.settings.source_files.run_records_dir
        answer = await import_again(parts.journal, parts.artdaqdb, records, run)
        if answer is not False:
            return None if answer is True else answer
    row = await parts.journal.get(run)
    if stage is Stage.MIGRATE and parts.migration is not None and row is not None and row.state is State.VERIFIED:
        if row.proven_to != parts.journal.here.ucondb:
            return await _prove_here(parts, run)
        return await _prove_again(Prover(parts.journal, parts.migration.ucondb, time.time), row)
    return await operator_actions.retry(parts.journal, run, stage, log.get(TAGS[stage]))


async def _prove_again(prover: Prover, row: RunRow) -> SkippedRun | Anomaly | None:
    """Prove a verified run again; return the result, None if it is on its way to UconDB again."""
    try:
        outcome = await prover.prove(row)
    except UconDBError as error:
        return SkippedRun(row.run, f"it is verified, and was not proven again: {error} ({error.remedy})", failed=True)
    if outcome.verdict is Verdict.PROVEN:
        return SkippedRun(row.run, f"it is verified, and was proven again just now: {outcome.why}")
    return outcome.anomaly


async def _prove_here(parts: Parts, run: int) -> SkippedRun | Anomaly | None:
    """Prove a run that was verified elsewhere in the configured UconDB, if that has it; return the result."""
    try:
        await parts.elsewhere.compare_proven([run])
    except (UconDBError, ArtdaqDBError) as error:
        return SkippedRun(
            run, f"it was verified elsewhere, and not looked up here: {error} ({error.remedy})", failed=True
        )
    elsewhere = await parts.journal.elsewhere(Side.UCONDB)
    if run not in elsewhere:
        return SkippedRun(run, "it was verified elsewhere, and was proven here just now")
    if elsewhere[run] is Found.DIFFERS:
        return Anomaly(run, Discrepancy.DIFFERS, (await parts.journal.differing(Side.UCONDB)).get(run, ""))
    if elsewhere[run] is None:
        return SkippedRun(run, "verified elsewhere, and the configured UconDB gives no reply for it", failed=True)
    return Anomaly(run, Discrepancy.ELSEWHERE, "")


async def prepare_recover(driver: PassDriver, request: RecoverRequest, on_progress: Progress) -> PassScope:
    """Note the runs that the database of the stage holds, and let those that are not verified go through it again.

    Those that are verified are left as they are; `reconcile` proves them again. Raise UconDBError or ArtdaqDBError when
    the database does not answer, ArchiverError when the run-records directory cannot be read.
    """
    parts, stage = driver.parts, request.stage
    if stage is Stage.MIGRATE:
        await _probe_if_shut(parts)
    await driver.find_runs(on_progress)
    adopted = await begin(parts)
    on_progress(0, 0, "asking the databases what they hold")
    adopted |= await adopt_archived(parts.journal, parts.artdaqdb)
    missing = MissingRuns()
    if stage is Stage.MIGRATE and parts.migration is not None:
        held = frozenset(numbered(await parts.migration.ucondb.list_keys()))
        missing = await find_missing(parts.journal, parts.migration.ucondb)
    else:
        held = frozenset(await parts.artdaqdb.list_runs())
    known = await parts.journal.known()
    verified = sum(known.get(run) is State.VERIFIED for run in held)
    logger = log.get(f"Recovery-{TAGS[stage]}")
    logger.info(f"{len(held)} runs are held", runs=len(held))
    for row in await parts.journal.in_state(*RETRIABLE):
        if row.run in held and row.stage is stage:
            await operator_actions.retry(parts.journal, row.run, stage, logger)
    return PassScope(
        frozenset({stage}),
        held | missing.sent,
        anomalies=missing.withheld,
        held=HeldRuns(len(held), verified),
        adopted=adopted,
    )


async def _probe_if_shut(parts: Parts) -> None:
    """Probe UconDB at once if it is left alone, rather than when its next probe is due."""
    if parts.migration is not None and parts.migration.gate.shut:
        await parts.migration.gate.probe()


async def count_left(parts: Parts, scope: PassScope) -> dict[State, int]:
    """Return how many runs the pass still waits for, by state: those in hand and near retries too."""
    by = time.time() + parts.settings.app.retry_delay_seconds
    left = await parts.journal.on_their_way(by, scope.runs, scope.last)
    return {state: runs for state, runs in left.items() if ON_THEIR_WAY[state] in scope.stages}


@dataclass(slots=True)
class PassProgress:
    """The progress of a pass; each stage of a run counts for itself."""

    stages: Collection[Stage]
    most: int = 0
    """The most stages that were left at a time."""

    def update(self, left: Mapping[State, int]) -> tuple[int, int, str]:
        """Return how many stages of how many are done while ``left`` are on their way, and what happens to these."""
        to_do = sum(number * self._stages_from(ON_THEIR_WAY[state]) for state, number in left.items())
        self.most = max(self.most, to_do)
        what = ", ".join(f"{left[state]} {state}" for state in State if state in left)
        return self.most - to_do, self.most, what

    def _stages_from(self, first: Stage) -> int:
        order = list(Stage)
        return sum(stage in self.stages for stage in order[order.index(first) :])


async def summarize(parts: Parts, begun: float, scope: PassScope, stopped: ShutdownReason | None = None) -> PassResult:
    """Return what became of the runs of a pass since ``begun``, in epoch seconds."""
    gate = None if parts.migration is None or Stage.MIGRATE not in scope.stages else parts.migration.gate
    shut = gate is not None and gate.shut
    totals = await parts.journal.outcome(begun, (*TROUBLE, State.IMPORTED) if shut else TROUBLE, scope.runs)
    hold = gate.hold if gate is not None and shut else None
    return PassResult.of(scope, totals, hold, stopped, await _find_elsewhere(parts) if scope.thorough else ())


async def _find_elsewhere(parts: Parts) -> list[Elsewhere]:
    """Return how many verified runs are not known to be in each configured database."""
    found = []
    for side, configured in destination.sides(destination.configured(parts.settings)):
        one = await parts.journal.standing(side, configured)
        if text := destination.describe(one):
            said = f"{text} ({destination.advise(one)})"
            found.append(Elsewhere(side.label, one.missing, one.differing, one.not_looked_up, said))
    return found
