"""The events of a run's life as the journal records them: one constructor per event of the state machine.

A constructor takes exactly the columns its event changes, so a mistyped column or a wrong type is the type checker's
error. Nothing else in the program makes a `Transition` (``tests/test_architecture.py``). The state and the stage are
never among the changes: the machine sets those. Times are epoch seconds (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from archiverd.core.machine import Event, Stage
from archiverd.core.priority import Lane
from archiverd.core.proofs import BlobFault, next_proof_at
from archiverd.journal.rows import Differences

if TYPE_CHECKING:
    from archiverd.journal.rows import FileFate, RunRow


class RunChanges(TypedDict, total=False):
    """Columns of ``runs`` that a transition may set, with the types of `RunRow`."""

    lane: Lane
    dead: bool
    partition: int | None
    started: bool
    attempts: int
    due: float | None
    error: str
    remedy: str
    configuration: str
    packed_on: str
    blob_length: int | None
    blob_sha256: str
    puts: int
    validation: str
    start_line: str
    stop_line: str
    stopped_at: float | None
    ended_at: float | None
    imported_at: float | None
    verified_at: float | None
    superseded: bool
    override: bool
    listed: bool
    waits_for: str
    listing: str
    incomplete: bool
    no_end: bool
    validated: bool
    changed: Differences
    reused: str
    without: tuple[str, ...]
    blob_adler32: int | None
    blob_fault: BlobFault | None
    proven_at: float | None
    proofs: int
    checked_at: float | None
    recheck_at: float | None
    imported_to: int | None
    proven_to: int | None


@dataclass(frozen=True, slots=True)
class Transition:
    """One event of one run, the columns it changes beside the state, and a note for the run's story."""

    run: int
    event: Event
    note: str = ""
    changes: RunChanges = field(default_factory=RunChanges)
    files: tuple[FileFate, ...] | None = None
    """When given, replaces what is known of the run's files."""


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """What a run's record showed when its end was seen."""

    ended_at: float
    """When the end was seen."""
    stopped_at: float | None
    partition: int | None
    start_line: str | None
    stop_line: str | None
    listing: str = ""
    """Digest of the listing that the end was judged by."""


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """What an import read of a run's record."""

    files: tuple[FileFate, ...]
    listing: str = ""
    """Digest of the listing, the same before and after reading."""
    removed: tuple[str, ...] = ()
    """Files that were archived earlier and are not in the directory any more."""
    destination: int | None = None
    """Number of the artdaqDB that it is in now."""


@dataclass(frozen=True, slots=True)
class BlobIdentity:
    """The columns that identify a run's blob: its ``Packed on`` text, its length in bytes, its SHA-256 in hex.

    UconDB's own checksum too, the unsigned Adler-32.
    """

    packed_on: str
    length: int
    sha256: str
    adler32: int


def ended(run: int, end: RecordEnd) -> Transition:
    """Describe a run whose record is final."""
    return Transition(run, Event.ENDED, "", _end(end, dead=False))


def died(run: int, end: RecordEnd) -> Transition:
    """Describe a run that has no stop line and will get none."""
    return Transition(run, Event.DIED, "", _end(end, dead=True))


def passed_over(run: int, end: RecordEnd, *, dead: bool, rule: str) -> Transition:
    """Describe a run that the backfill rule leaves out; the story quotes the rule."""
    return Transition(run, Event.PASSED_OVER, rule, _end(end, dead=dead))


def double(run: int, other: int, now: float) -> Transition:
    """Describe a run whose directory is a link to that of another run: it is left out as its double."""
    return Transition(run, Event.PASSED_OVER, f"its directory is a link to that of run {other}", {"ended_at": now})


def import_begins(run: int) -> Transition:
    """Describe the intent of an import."""
    return Transition(run, Event.IMPORT_BEGINS)


def import_done(
    run: int,
    note: str,
    *,
    configuration: str,
    imported_at: float,
    stopped: bool,
    incomplete: bool,
    no_end: bool,
    read: ReadRecord,
) -> Transition:
    """Describe a run that is in artdaqDB; one whose record has a stop line (``stopped``) is not dead after all."""
    changes = _imported(configuration, imported_at, read)
    changes.update({"incomplete": incomplete, "no_end": no_end})
    if stopped:
        changes["dead"] = False
    return Transition(run, Event.IMPORT_DONE, note, changes, read.files)


def update_done(
    run: int, note: str, *, configuration: str, imported_at: float, incomplete: bool, read: ReadRecord
) -> Transition:
    """Describe an update that is in artdaqDB; ``dead`` and ``superseded`` stay set until UconDB has it."""
    changes = _imported(configuration, imported_at, read)
    changes["incomplete"] = incomplete
    return Transition(run, Event.UPDATE_DONE, note, changes, read.files)


def import_conflicts(run: int, *, error: str, remedy: str) -> Transition:
    """Describe a run whose number another run has in artdaqDB."""
    return Transition(run, Event.IMPORT_CONFLICTS, error, _conflict(error, remedy))


def upload_begins(run: int, blob: BlobIdentity, *, puts: int) -> Transition:
    """Describe the intent of put number ``puts``: what will be sent, durable before a byte of it is (I4)."""
    changes = _blob(blob)
    changes.update({"puts": puts, "due": None})
    return Transition(run, Event.UPLOAD_BEGINS, f"{blob.length} bytes, sha256 {blob.sha256}", changes)


def upload_proven(
    row: RunRow, blob: BlobIdentity, *, destination: int | None, verified_at: float, validation: str | None
) -> Transition:
    """Describe the proof: the blob was read back from the UconDB of the number ``destination``.

    ``validation`` says what is wrong with the blob; None if that was not asked. The proof uses up a release with
    override; what was proven of a superseded run is what artdaqDB has of it now.
    """
    changes: RunChanges = {**_FORGIVEN, **_blob(blob), "verified_at": verified_at, "proven_to": destination}
    changes.update({"validation": validation or "", "validated": validation is not None})
    again = next_proof_at(verified_at, verified_at)
    changes.update({"proven_at": verified_at, "checked_at": verified_at, "recheck_at": again, "proofs": 1})
    changes["blob_fault"] = None
    if row.override:
        changes["override"] = False
    if row.superseded:
        changes.update({"superseded": False, "dead": row.dead and not row.stop_line})
    return Transition(row.run, Event.UPLOAD_PROVEN, f"{blob.length} bytes read back, sha256 {blob.sha256}", changes)


def upload_unclear(run: int, *, error: str, remedy: str, attempts: int, due: float | None) -> Transition:
    """Describe a put that was sent with unknown outcome, to be looked up when ``due``, at once if that is None."""
    return Transition(run, Event.UPLOAD_UNCLEAR, error, _failure(error, remedy, attempts, due))


def upload_conflicts(run: int, *, error: str, remedy: str) -> Transition:
    """Describe a run under whose key UconDB holds other content."""
    return Transition(run, Event.UPLOAD_CONFLICTS, error, _conflict(error, remedy))


def failed_for_now(run: int, *, error: str, remedy: str, attempts: int, due: float) -> Transition:
    """Describe a transient failure, attempt number ``attempts``; tried again when ``due``."""
    return Transition(run, Event.FAILED_FOR_NOW, error, _failure(error, remedy, attempts, due))


def failed_for_good(run: int, *, error: str, remedy: str, attempts: int) -> Transition:
    """Describe a permanent failure, attempt number ``attempts``."""
    return Transition(run, Event.FAILED_FOR_GOOD, error, _failure(error, remedy, attempts, None))


def put_back(run: int, *, error: str, remedy: str) -> Transition:
    """Describe a failure of the backend, not of the run: nothing is counted against it."""
    return Transition(run, Event.PUT_BACK, error, {"error": error, "remedy": remedy, "due": None})


def unsettled(run: int, how: str) -> Transition:
    """Describe a run whose record is not the one that had ended, or not any more; ``how`` says so in its story."""
    changes: RunChanges = {
        **_FORGIVEN,
        "ended_at": None,
        "stopped_at": None,
        "dead": False,
        "started": False,
        "start_line": "",
        "stop_line": "",
        "listing": "",
    }
    return Transition(run, Event.UNSETTLED, how, changes)


def missing(run: int) -> Transition:
    """Describe a run whose proven version UconDB no longer has."""
    return Transition(run, Event.MISSING, "UconDB has no version under its key any more", _UNPROVEN)


def sent_on(run: int) -> Transition:
    """Describe a run that was proven elsewhere, and that an operator lets go to the UconDB that is configured now."""
    return Transition(
        run, Event.MISSING, "not in the UconDB that is configured now; released by an operator", _UNPROVEN
    )


def lost(run: int) -> Transition:
    """Describe a run that artdaqDB no longer has and that an operator wants imported again."""
    return Transition(run, Event.LOST, "artdaqDB has lost it; asked for by an operator", {**_FORGIVEN})


def late_stop(run: int, *, stop_line: str, stopped_at: float | None, listing: str) -> Transition:
    """Describe a run archived as dead whose stop line has come."""
    changes: RunChanges = {
        "superseded": True,
        "stop_line": stop_line,
        "stopped_at": stopped_at,
        "listing": listing,
        "due": None,
    }
    return Transition(run, Event.LATE_STOP, f"stopped {stop_line}", changes)


def rearchived(run: int, *, override: bool, stop_line: str, stopped_at: float | None, listing: str) -> Transition:
    """Describe a run whose changed directory an operator wants archived; with ``override`` in UconDB too."""
    changes: RunChanges = {**_FORGIVEN, "stop_line": stop_line, "stopped_at": stopped_at, "listing": listing}
    if override:
        changes.update(_REPLACED)
        changes["superseded"] = False
    else:
        changes["superseded"] = True
    return Transition(run, Event.REARCHIVED, "UconDB's version is to be replaced too" if override else "", changes)


def due(run: int) -> Transition:
    """Describe a retry whose wait is over."""
    return Transition(run, Event.DUE, "", {"due": None, "lane": Lane.RETRY})


def restarted(run: int) -> Transition:
    """Describe a run left in the middle of an effect, by an earlier process or a journal that could not be written."""
    return Transition(run, Event.RESTARTED, "its outcome was not written; taken up again")


def waived(run: int, reason: str) -> Transition:
    """Describe a run that an operator leaves out; ``reason`` is shown as its remedy."""
    return Transition(run, Event.WAIVED, reason, {"due": None, "error": "", "remedy": reason})


def reopened(run: int) -> Transition:
    """Describe a run waived before it ended that an operator puts back."""
    return Transition(run, Event.REOPENED, "", {**_FORGIVEN})


def released(run: int, without: tuple[str, ...] = ()) -> Transition:
    """Describe a run that an operator puts back to where it failed, as if it had never failed.

    Files of the names ``without``, if given, are left out of its archive.
    """
    if not without:
        return Transition(run, Event.RELEASED, "", {**_FORGIVEN})
    return Transition(run, Event.RELEASED, f"without {', '.join(without)}", {**_FORGIVEN, "without": without})


def released_to_replace(run: int) -> Transition:
    """Describe a run whose version in UconDB an operator wants replaced: its blob is made and sent anew."""
    changes: RunChanges = {**_FORGIVEN, **_REPLACED}
    return Transition(run, Event.RELEASED, "UconDB's version is to be replaced", changes)


def retried(run: int, stage: Stage, *, reopens: bool) -> Transition:
    """Describe a retry asked for by an operator; the run stays in the failure log of ``stage``.

    One that was waived before it ended ``reopens``, any other is released.
    """
    event = Event.REOPENED if reopens else Event.RELEASED
    return Transition(run, event, f"asked for by an operator ({stage})", {**_FORGIVEN, "listed": True})


_FORGIVEN: RunChanges = {"due": None, "attempts": 0, "error": "", "remedy": ""}
"""Columns of a run that has no failure any more."""
_UNPROVEN: RunChanges = {**_FORGIVEN, "verified_at": None, "proven_to": None, "blob_fault": None}
"""Columns of a run that UconDB does not have."""
_REPLACED: RunChanges = {"override": True, "packed_on": "", "blob_length": None, "blob_sha256": "", "puts": 0}
"""Columns of a run whose version in UconDB is to be replaced."""


def _end(end: RecordEnd, *, dead: bool) -> RunChanges:
    return {
        "ended_at": end.ended_at,
        "stopped_at": end.stopped_at,
        "partition": end.partition,
        "started": end.start_line is not None,
        "start_line": end.start_line or "",
        "stop_line": end.stop_line or "",
        "dead": dead,
        "listing": end.listing,
        "waits_for": "",
        "error": "",
        "remedy": "",
    }


def _imported(configuration: str, imported_at: float, read: ReadRecord) -> RunChanges:
    return {
        **_FORGIVEN,
        "configuration": configuration,
        "imported_at": imported_at,
        "imported_to": read.destination,
        "listing": read.listing,
        "changed": Differences(removed=read.removed),
        "reused": "",
    }


def _blob(blob: BlobIdentity) -> RunChanges:
    return {
        "packed_on": blob.packed_on,
        "blob_length": blob.length,
        "blob_sha256": blob.sha256,
        "blob_adler32": blob.adler32,
    }


def _failure(error: str, remedy: str, attempts: int, due: float | None) -> RunChanges:
    return {"attempts": attempts, "error": error, "remedy": remedy, "due": due}


def _conflict(error: str, remedy: str) -> RunChanges:
    return {"error": error, "remedy": remedy, "due": None, "override": False}
