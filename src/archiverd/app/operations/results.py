"""The results of operations, as commands print them and as they cross the control socket."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archiverd.audit.anomalies import Anomaly
from archiverd.control.fields import choice, each, fields_of, integer, optional, run_number, text
from archiverd.core.machine import Stage, State
from archiverd.core.runset import LAST_RUN
from archiverd.journal.rows import StuckRun
from archiverd.pipeline.operator_actions import SkippedRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archiverd.journal.rows import Hold, PassTotals
    from archiverd.process.shutdown import ShutdownReason


@dataclass(frozen=True, slots=True)
class HeldRuns:
    """How many runs a database holds, and how many of them were verified already."""

    runs: int
    verified: int

    @staticmethod
    def from_json(value: object) -> HeldRuns:
        """Return what JSON has of it. Raise MessageError if that is something else."""
        with fields_of(value, "a count of runs held") as fields:
            return HeldRuns(fields.take("runs", integer), fields.take("verified", integer))


@dataclass(frozen=True, slots=True)
class Outage:
    """Why UconDB is left alone, and what to do about it."""

    cause: str
    remedy: str

    @staticmethod
    def from_json(value: object) -> Outage:
        """Return what JSON has of it. Raise MessageError if that is something else."""
        with fields_of(value, "an outage") as fields:
            return Outage(fields.take("cause", text), fields.take("remedy", text))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Verified runs that are not known to be in one of the configured databases: numbers of runs."""

    name: str
    missing: int
    differing: int
    not_looked_up: int
    said: str
    """The same in words, with what to do."""

    @staticmethod
    def from_json(value: object) -> Elsewhere:
        """Return what JSON has of it. Raise MessageError if that is something else."""
        with fields_of(value, "runs elsewhere") as fields:
            return Elsewhere(
                fields.take("name", text),
                fields.take("missing", integer),
                fields.take("differing", integer),
                fields.take("not_looked_up", integer),
                fields.take("said", text),
            )


@dataclass(frozen=True, slots=True)
class PassScope:
    """What a pass is about, and what was found before its runs were taken up."""

    stages: frozenset[Stage] = frozenset(Stage)
    """The stages its runs go through."""
    runs: frozenset[int] | None = None
    """The runs it is confined to; None for all."""
    last: int = LAST_RUN
    """The greatest run number that it waits for."""
    anomalies: Sequence[Anomaly] = ()
    skipped: Sequence[SkippedRun] = ()
    """Those of its runs that are not taken up."""
    held: HeldRuns | None = None
    """What a database holds, where it was asked for that."""
    adopted: frozenset[int] = frozenset()
    """Runs that only artdaqDB knew of."""
    thorough: bool = False
    """Directories and databases are asked what became of verified runs."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What one pass did."""

    imported: int
    """Runs this pass imported, those verified since included."""
    verified: int
    """Runs verified by this pass."""
    open: int
    """Runs that have not ended yet."""
    failed: tuple[StuckRun, ...]
    """Runs that could not be archived, or wait for UconDB."""
    anomalies: tuple[Anomaly, ...]
    """Verified runs of which directory or databases hold something else now."""
    skipped: tuple[SkippedRun, ...]
    held: HeldRuns | None
    outage: Outage | None
    exit_code: int
    """0 if all is well, 130 if interrupted, else 1."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """Verified runs that are not known to be in the configured databases, if that was asked."""

    @staticmethod
    def of(
        scope: PassScope,
        totals: PassTotals,
        hold: Hold | None,
        stopped: ShutdownReason | None = None,
        elsewhere: Sequence[Elsewhere] = (),
    ) -> PassResult:
        """Return the result of a pass over ``scope`` from what became of its runs.

        ``hold`` is why UconDB is left alone, if it is; ``stopped`` why the pass ended before its time, if it did. The
        exit code is 1 for a run that failed, is anomalous, is not known or not where it should be, and for a lock file
        that was removed.
        """
        adopted = scope.adopted if scope.runs is None else scope.adopted & scope.runs
        wrong = totals.stuck or scope.anomalies or any(one.failed for one in scope.skipped)
        wrong = wrong or any(one.missing or one.differing for one in elsewhere)
        return PassResult(
            imported=totals.imported - len(adopted) if Stage.IMPORT in scope.stages else 0,
            verified=totals.verified if Stage.MIGRATE in scope.stages else 0,
            open=totals.open,
            failed=totals.stuck,
            anomalies=tuple(scope.anomalies),
            skipped=tuple(scope.skipped),
            held=scope.held,
            outage=None if hold is None else Outage(hold.cause, hold.remedy),
            exit_code=stopped.value if stopped is not None else 1 if wrong else 0,
            elsewhere=tuple(elsewhere),
        )

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (`once --json`)."""
        return {
            "version": 1,
            "imported": self.imported,
            "verified": self.verified,
            "open": self.open,
            "failed": [{"run": row.run, "state": str(row.state), "error": row.error} for row in self.failed],
            "amiss": [one.to_json() for one in self.anomalies],
            "skipped": [one.to_json() for one in self.skipped],
            "held": None if self.held is None else asdict(self.held),
            "hold": None if self.outage is None else asdict(self.outage),
            "exit_code": self.exit_code,
            "elsewhere": [asdict(one) for one in self.elsewhere],
        }

    @staticmethod
    def from_json(value: object) -> PassResult:
        """Return the result that ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "the result of a pass") as fields:
            fields.take("version", integer)
            return PassResult(
                imported=fields.take("imported", integer),
                verified=fields.take("verified", integer),
                open=fields.take("open", integer),
                failed=fields.take("failed", each(_stuck_run)),
                anomalies=fields.take("amiss", each(Anomaly.from_json)),
                skipped=fields.take("skipped", each(SkippedRun.from_json)),
                held=fields.take("held", optional(HeldRuns.from_json)),
                outage=fields.take("hold", optional(Outage.from_json)),
                exit_code=fields.take("exit_code", integer),
                elsewhere=fields.take("elsewhere", each(Elsewhere.from_json)),
            )


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator's decision made of a run."""

    run: int
    state: State

    def to_json(self) -> dict[str, object]:
        """Return it as the control socket carries it."""
        return {"run": self.run, "state": str(self.state)}

    @staticmethod
    def from_json(value: object) -> Decision:
        """Return the decision that ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "a decision") as fields:
            return Decision(fields.take("run", run_number), fields.take("state", choice(State)))


@dataclass(frozen=True, slots=True)
class WaivedDirectories:
    """The run directories that an operator takes as gone."""

    gone: tuple[int, ...]
    """Their runs, ascending."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (`waive --missing --json`)."""
        return {"gone": list(self.gone)}

    @staticmethod
    def from_json(value: object) -> WaivedDirectories:
        """Return what ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "what was waived") as fields:
            return WaivedDirectories(fields.take("gone", each(run_number)))


@dataclass(frozen=True, slots=True)
class Released:
    """What an operator's word about the destination did."""

    places: tuple[str, ...]
    """The databases that are configured."""
    imported: int
    """Runs that are imported again."""
    sent: int
    """Runs that are sent to UconDB."""
    not_looked_up: int
    """Runs that go there as soon as it is known that they are missing."""
    skipped_count: int
    skipped: tuple[SkippedRun, ...]
    """Those that artdaqDB lacks and that cannot be imported, the first hundred."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (`release --destination --json`)."""
        return {
            "places": list(self.places),
            "imported": self.imported,
            "sent": self.sent,
            "not_looked_up": self.not_looked_up,
            "skipped_count": self.skipped_count,
            "skipped": [one.to_json() for one in self.skipped],
        }

    @staticmethod
    def from_json(value: object) -> Released:
        """Return what ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "what was released") as fields:
            return Released(
                fields.take("places", each(text)),
                fields.take("imported", integer),
                fields.take("sent", integer),
                fields.take("not_looked_up", integer),
                fields.take("skipped_count", integer),
                fields.take("skipped", each(SkippedRun.from_json)),
            )


def _stuck_run(value: object) -> StuckRun:
    with fields_of(value, "a run that failed") as fields:
        return StuckRun(fields.take("run", run_number), fields.take("state", choice(State)), fields.take("error", text))
