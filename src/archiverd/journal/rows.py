"""Rows of the journal and results of its queries, as values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archiverd.core.machine import Stage, State
from archiverd.core.priority import Lane
from archiverd.core.proofs import BlobFault

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class Differences:
    """How the directory of an archived run differs from what was archived: names of files, sorted."""

    added: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.added or self.edited or self.removed)

    def __str__(self) -> str:
        """Return them in words, without a subject: ``added a.fcl; edited boot.txt``."""
        parts = ((how, getattr(self, how)) for how in ("added", "edited", "removed"))
        return "; ".join(f"{how} {', '.join(names)}" for how, names in parts if names)

    @staticmethod
    def of(text: str) -> Differences:
        """Return what ``to_text`` made ``text`` of."""
        return Differences(**{how: tuple(names) for how, names in json.loads(text or "{}").items()})

    def to_text(self) -> str:
        """Return it as its column has it; empty if there is no difference."""
        return json.dumps(asdict(self)) if self else ""


_FLAGS = (
    "dead",
    "started",
    "superseded",
    "source_gone",
    "override",
    "listed",
    "incomplete",
    "no_end",
    "validated",
)
"""Columns of ``runs`` that are true or false."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as the journal has it. Times are epoch seconds (UTC), None until they happened."""

    run: int
    state: State
    stage: Stage
    lane: Lane
    dead: bool
    """It has no stop line; archived all the same."""
    partition: int | None
    """The DAQ partition it ran in; None if its record has none."""
    started: bool
    """Its record holds a start line."""
    attempts: int
    """Failed attempts in the present stage."""
    due: float | None
    error: str
    """Why it waits, was set aside or cannot be read: ``ErrorName: message``; empty if nothing is wrong."""
    remedy: str
    configuration: str
    packed_on: str
    """The blob's ``Packed on`` text, fixed before the first put so that a retry sends the same bytes."""
    blob_length: int | None
    blob_sha256: str
    puts: int
    """Number of puts intended; from the second on a look-up comes first."""
    validation: str
    """Problems and warnings of the blob's validation; empty if there are none."""
    start_line: str
    """When the run started, in its record's words; empty if it has no start line."""
    stop_line: str
    seen_at: float
    stopped_at: float | None
    """When metadata.txt got its stop line, by the file's modification time."""
    ended_at: float | None
    imported_at: float | None
    verified_at: float | None
    changed_at: float
    superseded: bool
    """Its stop line came after it was archived as dead: artdaqDB is up to date, UconDB's version is older."""
    source_gone: bool
    """Its directory is no longer there."""
    override: bool
    """An operator wants UconDB's version replaced."""
    listed: bool
    """It is in its stage's failure log."""
    waits_for: str
    """What an open run with a stop line waits for, in words; else empty."""
    listing: str
    """Digest of the listing that its record was judged by; empty if unknown."""
    incomplete: bool
    """Files that its record promises never came."""
    without: tuple[str, ...]
    """Files that an operator wants left out."""
    no_end: bool
    """Another program archived it without its end."""
    validated: bool
    """Its blob was validated; else an empty ``validation`` says nothing."""
    changed: Differences
    """How its directory differs from what was archived."""
    reused: str
    """The start line of another run whose record its directory holds; empty if it does not."""
    blob_adler32: int | None
    """Adler-32 of the blob, unsigned; None if the version that proved it did not note that."""
    blob_fault: BlobFault | None
    """What is wrong with what UconDB holds of a verified run; ``error`` says how."""
    proven_at: float | None
    """When UconDB gave back the proven bytes for the last time."""
    proofs: int
    """How often it did."""
    checked_at: float | None
    """When they were asked for last, whatever came of it."""
    recheck_at: float | None
    """When they are asked for again in the first week; None if only in turn."""
    imported_to: int | None
    """Number of the artdaqDB that it was imported into; None if unknown."""
    proven_to: int | None
    """Number of the UconDB that it was proven in; None if unknown."""

    @staticmethod
    def of(row: sqlite3.Row) -> RunRow:
        """Make a RunRow from a row of the table ``runs``."""
        facts = dict(row)
        facts["state"] = State(facts["state"])
        facts["stage"] = Stage(facts["stage"])
        facts["lane"] = Lane(facts["lane"])
        for flag in (
            "dead",
            "started",
            "superseded",
            "source_gone",
            "override",
            "listed",
            "incomplete",
            "no_end",
            "validated",
        ):
            facts[flag] = bool(facts[flag])
        facts["blob_fault"] = BlobFault(facts["blob_fault"]) if facts["blob_fault"] else None
        facts["changed"] = Differences.of(facts["changed"])
        facts["without"] = tuple(json.loads(facts["without"]))
        return RunRow(**facts)


@dataclass(frozen=True, slots=True)
class ObservedRecord:
    """What the record of an open run shows."""

    run: int
    partition: int | None = None
    """None, as for the lines, if the record does not have it now; then the earlier value stays."""
    start_line: str | None = None
    stop_line: str | None = None
    error: str = ""
    """Why it cannot be read: ``ErrorName: message``; empty if it can."""
    remedy: str = ""
    waits_for: str = ""
    """What it waits for if it has its stop line."""


@dataclass(frozen=True, slots=True)
class RecordLook:
    """The first look at which the record of an open run was as it is, by every clock there is."""

    run: int
    digest: str
    wall: float
    """Epoch seconds."""
    uptime: float
    """Seconds since the machine started: comparable while ``boot`` is the same."""
    boot: str
    """Which start of the machine that was."""
    jumped: float
    """Seconds that the wall clock had jumped ahead by then, in all."""
    newest: float
    """Newest change seen in the run-records directory, in epoch seconds by the file server's clock."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """How the wall clock stood to the one that never jumps, when last noted."""

    boot: str
    ahead: float
    """Wall clock less uptime, in seconds."""
    jumped: float
    """Seconds that the wall clock has jumped ahead, in all; less than zero if it was set back."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """What the comparison of a run's directory with what was archived found; see the columns of `RunRow`."""

    run: int
    changed: Differences
    reused: str = ""
    listing: str = ""
    """The digest of a listing whose files are what was archived; empty if they are not."""


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file of a verified run that was missing when its directory was compared, since when by the clocks there are."""

    name: str
    wall: float
    """Epoch seconds."""
    uptime: float
    """Seconds since the machine started: comparable while ``boot`` is the same."""
    boot: str
    """Which start of the machine that was; empty if unknown."""


@dataclass(frozen=True, slots=True)
class MissingDirectories:
    """Runs whose directories are missing all at once, as ``runset.pack`` writes them, since when in epoch seconds."""

    runs: str
    at: float


@dataclass(frozen=True, slots=True)
class FirstPhaseRow:
    """The first phase of a run, which is archived while it is running. ``due`` is in epoch seconds (UTC)."""

    run: int
    done: bool
    """Proven in the pending folder, or given up (then ``error`` says why)."""
    packed_on: str = ""
    blob_sha256: str = ""
    puts: int = 0
    attempts: int = 0
    due: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a backend is left alone for now. Times are epoch seconds (UTC)."""

    backend: str
    health: str
    """``away``, ``refused`` (our login), or ``trial`` (a probe passed; one run at a time is let through)."""
    since: float
    cause: str
    remedy: str
    probes: int
    """Probes that failed in a row."""
    probe_at: float | None
    """When the next one is due; None on trial."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """The rate at which runs get verified, and the runs on their way. Times are epoch seconds (UTC)."""

    waiting: int
    """Runs that have ended and are on their way, retries included."""
    per_second: float | None
    """Runs verified per second in the last ten minutes; None if fewer than two were."""
    last: float | None
    """When a run was last verified."""

    @property
    def seconds(self) -> float | None:
        """Seconds that the rest takes at this rate; None if there is no rate."""
        return self.waiting / self.per_second if self.per_second else None


@dataclass(frozen=True, slots=True)
class MigrationCounts:
    """The outcome of the runs that the migration had in hand in some period, by their state at its end."""

    successful: int
    failed: int
    """Runs that wait for a retry or were set aside."""
    last_successful_run: int | None
    """The run verified last, ever; None if there is none."""
    event: int
    """The last event counted; the next period begins after it."""


@dataclass(frozen=True, slots=True)
class StuckRun:
    """A run that is not archived; ``error`` says why, empty if nothing is wrong with it."""

    run: int
    state: State
    error: str


@dataclass(frozen=True, slots=True)
class PassTotals:
    """The outcome of a pass: what became of runs since it began, by their state at its end."""

    imported: int
    """Runs imported since then, those verified since included."""
    verified: int
    open: int
    """Runs that have not ended yet."""
    stuck: tuple[StuckRun, ...]
    """Ascending."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far a stage has come: the content of its state file."""

    last_contiguous_run: int
    """Every known run up to this one has been through the stage; 0 if the first has not."""
    last_attempted_run: int
    """The greatest run the stage has taken up; 0 if none."""


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One line of a run's story."""

    at: float
    event: str
    state: str
    note: str


@dataclass(frozen=True, slots=True)
class FileFate:
    """The fate of one file of a run record: archived as ``entity``, or left out for ``reason``."""

    name: str
    entity: str
    reason: str
    size: int | None = None
    """Bytes that were read; None if it was not read, or archived by an older version of this program."""
    sha256: str = ""
    """SHA-256 of these, in hex; empty for None."""


def legible(text: str) -> str:
    r"""Return ``text`` as SQLite can hold it: bytes of a file name that are not UTF-8 are written ``\xe9``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
