"""What `status` recommends, from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archiverd.audit.anomalies import Discrepancy
from archiverd.core.machine import Stage, State
from archiverd.core.proofs import BlobFault
from archiverd.journal.proofs import Standstill
from archiverd.journal.rows import Hold
from archiverd.journal.summaries import Cause, Durations
from archiverd.status.advice import NOTHING_KNOWN, NOTHING_TO_DO, Circumstances, Workload, advise
from archiverd.status.differences import Differences, StateFile

IDLE = Workload(Stage.IMPORT, workers=2, waiting=0, in_hand=0, durations=Durations(100, 3.0, 5.0, 0.0))
UPLOADS = Workload(Stage.MIGRATE, workers=2, waiting=0, in_hand=0, durations=Durations(100, 3.0, 5.0, 0.0))
WELL = Circumstances(
    daemon_running=True,
    daemon_remedy=None,
    has_journal=True,
    paused=False,
    migrating=True,
    changed=(),
    reused=(),
    missing=(),
    others_there=True,
    faults={},
    standstill=None,
    standings=(),
    superseded=(),
    ranges={State.VERIFIED: [(7, 9)], State.OPEN: [(10, 10)]},
    causes=(),
    holds=(),
    workloads=(IDLE, UPLOADS),
    uploads_allowed=2,
    uploads=2,
    cpus=8,
    rss_bytes=150_000_000,
    rss_limit_bytes=4_000_000_000,
    differences=None,
    state_files=(),
    unreachable={},
)
AGREED = Differences((), (), (), (), (), ())


def cause(state: State, error: str, *runs: int, stage: Stage = Stage.IMPORT) -> Cause:
    """Return a cause of trouble."""
    return Cause(state, stage, error, "", runs)


def test_nothing_to_do_is_said_in_the_words_people_know() -> None:
    """Verified and open runs call for nothing, asked or not."""
    assert advise(WELL) == [NOTHING_TO_DO] == ["All systems are synchronized - no action needed"]
    assert advise(replace(WELL, differences=AGREED, state_files=[StateFile(Stage.IMPORT, "x", (9, 9), "", 9)])) == [
        NOTHING_TO_DO
    ]


def test_an_open_run_that_cannot_be_read_is_to_be_looked_at() -> None:
    """It would stay open for ever, and a mount that timed out is not UconDB's fault."""
    error = "ArchiverError: Cannot read run directory: [Errno 110] Connection timed out"
    (told,) = advise(replace(WELL, causes=[cause(State.OPEN, error, 7)]))
    assert told == "Look at: run 7 is open and cannot be read: `archiverd why 7` says why"


def test_nothing_is_called_synchronized_that_nobody_could_tell() -> None:
    """Without a journal, or with a daemon that cannot tell, somebody is to look."""
    assert advise(replace(WELL, daemon_running=False, has_journal=False)) == [NOTHING_KNOWN]
    (told,) = advise(replace(WELL, has_journal=False, daemon_remedy="it is made by the first start"))
    assert told.startswith("Restart the daemon (`archiverd drain`, then start it): the journal is not at its place")
    assert advise(replace(WELL, daemon_remedy="see its log")) == [
        "See to the daemon, which cannot tell how it is: see its log"
    ]


@pytest.mark.parametrize(
    ("running", "paused", "how"),
    [
        (False, False, "`archiverd run`, or `archiverd once --import-only`"),
        (True, False, "the running daemon takes them up by itself"),
        (True, True, "the daemon is paused: `archiverd resume`"),
    ],
)
def test_runs_that_wait_call_for_the_importer(running: bool, paused: bool, how: str) -> None:
    """Queued ones, retries of the import, and directories without an artdaqDB entry; not those that were set aside."""
    (told, mend) = advise(
        replace(
            WELL,
            daemon_running=running,
            paused=paused,
            ranges={State.QUEUED: [(20, 21)], State.RETRY_WAIT: [(30, 30)], State.QUARANTINED: [(40, 40)]},
            causes=[cause(State.RETRY_WAIT, "x", 30), cause(State.QUARANTINED, "y", 40)],
            differences=replace(AGREED, not_imported=(20, 40, 50)),
        )
    )
    assert told.startswith("Run IMPORTER: 4 runs (20-21, 30, 50) are not in artdaqDB yet")
    assert told.endswith(how)
    assert mend == "Mend: run 40 is quarantined: `archiverd why 40` tells the cause; then `archiverd retry import`"


def test_runs_that_wait_for_ucondb_call_for_the_migrator() -> None:
    """A run that is not imported either is the importer's first; while UconDB is away there is nothing to type."""
    waiting = replace(
        WELL,
        daemon_running=False,
        ranges={State.IMPORTED: [(20, 21)], State.QUEUED: [(22, 22)]},
        differences=replace(AGREED, not_migrated=(5, 22), not_imported=(22,)),
    )
    importer, migrator = advise(waiting)
    assert importer.startswith("Run IMPORTER: run 22 is not in artdaqDB yet")
    assert migrator == (
        "Run MIGRATOR: 3 runs (5, 20-21) are not in UconDB yet: `archiverd run`, or `archiverd once --migrate-only`"
    )
    hold = Hold("UconDB", "away", 0.0, "UconDBError: x", "", 3, 10.0)
    away, _, told = advise(replace(waiting, holds=[hold]))
    assert away == "UconDB is away: UconDBError: x"
    assert told.endswith("; they wait for UconDB, which is away")


def test_without_ucondb_nothing_waits_for_it() -> None:
    """Nobody is told to run what would only say that it is not configured."""
    imported = replace(WELL, ranges={State.IMPORTED: [(20, 21)]}, differences=replace(AGREED, not_migrated=(5,)))
    assert len(advise(imported)) == 1
    assert advise(replace(imported, migrating=False)) == [NOTHING_TO_DO]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            {"changed": (7,)},
            "Decide: run 7 is changed: its directory is not what was archived: `archiverd rearchive 7`",
        ),
        ({"reused": (7,)}, "Decide: run 7 is reused: two runs cannot have one number"),
        ({"missing": ((7, 30),)}, "Look at the mount of the run records: 7-30: cannot tell what became of them"),
    ],
)
def test_directories_that_are_not_as_they_were_call_for_a_look(facts: dict[str, object], told: str) -> None:
    """All is not well while a directory holds something else, or nobody can tell."""
    (advice,) = advise(replace(WELL, **facts))  # type: ignore[arg-type]
    assert advice.startswith(told)


def test_a_superseded_run_calls_for_a_decision() -> None:
    """It is verified, and yet UconDB lacks its stop line until somebody decides."""
    (told,) = advise(replace(WELL, superseded=(7, 8)))
    assert told == (
        "Decide: 2 runs (7-8) are superseded: artdaqDB has a newer version than UconDB: "
        "`archiverd release 7 --override` replaces that (likewise each of the others)"
    )


@pytest.mark.parametrize(
    ("differences", "told"),
    [
        ({"lost_ucondb": (7,)}, f"Upload again: run 7: {Discrepancy.MISSING_UCONDB.remedy([7])}"),
        (
            {"lost_artdaqdb": (7, 8)},
            f"Ask who removed them: 2 runs (7-8): {Discrepancy.MISSING_ARTDAQDB.remedy([7, 8])}",
        ),
        ({"orphan_artdaqdb": (7,)}, f"Orphaned runs: run 7: {Discrepancy.ORPHAN_ARTDAQDB.remedy([7])}"),
        ({"orphan_ucondb": (7,)}, f"Orphaned runs: run 7: {Discrepancy.ORPHAN_UCONDB.remedy([7])}"),
    ],
)
def test_each_difference_has_its_remedy(differences: dict[str, tuple[int, ...]], told: str) -> None:
    """What is lost or orphaned is named, with what to do."""
    (sentence,) = advise(replace(WELL, differences=replace(AGREED, **differences)))
    assert sentence.startswith(told)


def test_a_conflict_calls_for_a_decision_and_an_unreachable_source_for_itself() -> None:
    """The most urgent comes first."""
    told = advise(replace(WELL, unreachable={"UconDB": "check x"}, causes=[cause(State.CONFLICT, "other content", 7)]))
    assert told[0] == "Make UconDB reachable: check x"
    assert told[1].startswith("Decide: run 7 is in conflict")


def test_a_state_file_that_is_out_of_step_is_recovered() -> None:
    """By the daemon if one runs, else by a command."""
    files = [StateFile(Stage.MIGRATE, "migrator_state.json", (3, 9), "", 9)]
    assert advise(replace(WELL, daemon_running=False, state_files=files)) == [
        "Recover state: migrator_state.json says 3 and should say 9: `archiverd recover migrate`"
    ]
    missing = [StateFile(Stage.IMPORT, "importer_state.json", None, "is missing", 9)]
    assert advise(replace(WELL, state_files=missing)) == [
        "Recover state: importer_state.json is missing: the daemon writes it anew by itself"
    ]


@pytest.mark.parametrize(
    ("importing", "uploading", "changed", "told"),
    [
        (500, 0, {}, "Slow: 500 runs wait for import, 3.0 s a run: raise app.parallel_workers (2; this machine has 8"),
        (
            500,
            0,
            {"cpus": 2},
            "Slow: 500 runs wait for import, 3.0 s a run: app.parallel_workers uses every CPU already",
        ),
        (20, 500, {}, "Slow: 500 runs wait for migrate, 3.0 s a run: raise ucon_db.max_concurrent_uploads (2)"),
        (0, 500, {"uploads_allowed": 1}, "only 1 of ucon_db.max_concurrent_uploads (2) go at once"),
        (0, 500, {"uploads_allowed": None}, "raise ucon_db.max_concurrent_uploads (2)"),
    ],
)
def test_what_runs_slowly_names_the_setting(importing: int, uploading: int, changed: dict[str, int], told: str) -> None:
    """The stage whose waiting runs take longest is told, with the setting that helps there."""
    work = (replace(IDLE, waiting=importing), replace(UPLOADS, waiting=uploading))
    (sentence,) = advise(replace(WELL, workloads=work, **changed))
    assert told in sentence


@pytest.mark.parametrize("changed", [{"paused": True}, {"holds": [Hold("UconDB", "away", 0.0, "x", "", 1, None)]}])
def test_what_is_held_on_purpose_is_not_called_slow(changed: dict[str, object]) -> None:
    """A pause and an outage have their own words; a short queue, and one soon through, have none."""
    told = advise(replace(WELL, workloads=(IDLE, replace(UPLOADS, waiting=500)), **changed))  # type: ignore[arg-type]
    assert told in ([NOTHING_TO_DO], ["UconDB is away: x"])
    for busy in (replace(IDLE, waiting=9), replace(IDLE, waiting=39), replace(IDLE, waiting=500, durations=None)):
        assert advise(replace(WELL, workloads=(busy, UPLOADS))) == [NOTHING_TO_DO]


def test_timeouts_name_their_setting() -> None:
    """Uploads that time out, e.g. of runs above 100 MB, call for more patience."""
    error = "UconDBError: Failed to upload blob for run N: Read timed out (read timeout=DEADLINE_SECONDS)"
    told = advise(replace(WELL, causes=[cause(State.UPLOAD_UNKNOWN, error, 7, stage=Stage.MIGRATE)]))
    assert told[-1].startswith("Raise ucon_db.timeout_seconds: run 7 is waiting after `UconDBError: Failed to upload")


@pytest.mark.parametrize(
    ("rss", "limit", "high"),
    [(2_100_000_000, 4_000_000_000, True), (1_900_000_000, 4_000_000_000, False), (2_200_000_000, 0, True)],
)
def test_high_memory_names_its_settings(rss: int, limit: int, high: bool) -> None:
    """More than half of what is allowed (MemoryMax, or the machine's), or more than 2 GiB, is too much."""
    told = advise(replace(WELL, rss_bytes=rss, rss_limit_bytes=limit))
    assert told[0].startswith("High memory: ") is high
    if high:
        assert "lower app.parallel_workers and app.batch_size" in told[0]


@pytest.mark.parametrize("fault", BlobFault)
def test_what_ucondb_does_not_give_back_is_to_be_mended(fault: BlobFault) -> None:
    """In the words of the comparison; never is all said to be well."""
    (told,) = advise(replace(WELL, faults={fault: [7]}))
    assert told == f"Mend: run 7, {fault}: {Discrepancy(fault).remedy([7])}"


def test_a_standstill_is_told_with_its_cause_once() -> None:
    """Not again for each run that showed it; other faults are."""
    halt = Standstill(1.0, BlobFault.MISSING, "3 verified runs in a row (7-9) are missing", "look", (7, 8, 9))
    told = advise(replace(WELL, standstill=halt, faults={BlobFault.MISSING: [7, 8, 9], BlobFault.DAMAGED: [10]}))
    assert told[0] == "Look at UconDB: 3 verified runs in a row (7-9) are missing: look"
    assert told[1].startswith("Mend: run 10, damaged: ")
    assert len(told) == 2
