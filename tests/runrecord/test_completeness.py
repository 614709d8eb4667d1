"""When a run record is complete: every layout, every stage, every bad ending (run_records.md 2.4 to 2.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.runrecord.completeness import (
    Completeness,
    CompletionWaits,
    Stillness,
    TimeLines,
    describe_wait,
    judge,
    time_lines,
)
from archiverd.runrecord.listing import FileStatus
from archiverd.runrecord.snapshot import RecordSnapshot

NOW = 1_700_000_000.0
PATIENCE = CompletionWaits(settle=1.0, final_wait=600.0, abandon_after=1_209_600.0)
HEAD = b"Config name: demo\nComponent #0: a\n"
NEW_START = b"\nDAQInterface start time: Tue Nov 14 11:00:00 PM UTC 2023\n"
NEW_STOP = b"\nDAQInterface stop time: Tue Nov 14 11:30:00 PM UTC 2023\n"
OLD_START = b"\nStart time: Tue Nov 14 23:00:00 UTC 2023\n"
OLD_STOP = b"\nStop time: Tue Nov 14 23:30:00 UTC 2023\n"
TOTAL = b"\nTotal events: 5118\n"
C = Completeness


def look(
    metadata: bytes | None,
    *others: str,
    files: int = 0o444,
    directory: int = 0o555,
    meta_mode: int | None = None,
    age: float = 5.0,
) -> RecordSnapshot:
    """Return a snapshot whose last change is ``age`` seconds old; ``others`` are file names or ``name:mode``."""
    then = int((NOW - age) * 1e9)
    seen = []
    for other in ("boot.txt", "tpc01.fcl", *others):
        name, _, mode = other.partition(":")
        seen.append(FileStatus(name, int(mode, 8) if mode else files, 100, then, then))
    if metadata is not None:
        mode = files if meta_mode is None else meta_mode
        seen.append(FileStatus("metadata.txt", mode, len(metadata), then, then))
    files_seen = tuple(sorted(seen, key=lambda file: file.name))
    return RecordSnapshot(
        readable=True, mode=directory, ctime_ns=then, files=files_seen, metadata=metadata, partition=1
    )


def judged(sighting: RecordSnapshot, quiet: float | None = None, *, later_started: bool = False) -> Completeness:
    """Return the verdict on a record that has stood still for ``quiet`` seconds, by its files' times if None."""
    seconds = (NOW - sighting.changed if sighting.readable else 0.0) if quiet is None else quiet
    return judge(sighting, Stillness(seconds, seconds, seconds), PATIENCE, later_started=later_started)


MODERN = ("environment.txt", "ranks.txt", "settings.txt")
UNLOCKED = {"files": 0o644, "directory": 0o755}


@pytest.mark.parametrize(
    ("case", "sighting", "expected"),
    [
        ("empty directory", RecordSnapshot(readable=True, mode=0o755, ctime_ns=int(NOW * 1e9)), C.COPYING),
        ("unreadable", RecordSnapshot(readable=False), C.COPYING),
        ("copying: first file", look(None, "environment.txt:644", **UNLOCKED, age=0), C.COPYING),
        ("copying: some locked", look(HEAD, "ranks.txt:644", directory=0o755), C.COPYING),
        ("copying: all locked, directory open", look(HEAD, *MODERN, directory=0o755), C.COPYING),
        ("copied", look(HEAD, *MODERN), C.COPIED),
        ("copied, metadata being opened", look(HEAD, *MODERN, meta_mode=0o644), C.COPIED),
        ("copied, rc_info being written", look(HEAD, *MODERN, "rc_info_start.txt:644"), C.COPIED),
        ("start line being written", look(HEAD + NEW_START, *MODERN, meta_mode=0o644, age=0), C.COPIED),
        ("started", look(HEAD + NEW_START, *MODERN, age=0), C.STARTED),
        ("half a stop line", look(HEAD + NEW_START + NEW_STOP[:20], *MODERN, meta_mode=0o644, age=0), C.COPIED),
        ("half a stop line, quiet", look(HEAD + NEW_START + NEW_STOP[:20], *MODERN, meta_mode=0o644), C.STARTED),
        ("stop line, metadata not locked", look(HEAD + NEW_START + NEW_STOP, *MODERN, meta_mode=0o644), C.STOPPED),
        ("stop line, not settled", look(HEAD + NEW_START + NEW_STOP, *MODERN, age=0.5), C.STOPPED),
        ("final", look(HEAD + NEW_START + NEW_STOP, *MODERN), C.FINAL),
        ("rc_info_stop missing", look(HEAD + NEW_START + NEW_STOP, *MODERN, "rc_info_start.txt"), C.STOPPED),
        (
            "rc_info_stop there",
            look(HEAD + NEW_START + NEW_STOP, *MODERN, "rc_info_start.txt", "rc_info_stop.txt:644"),
            C.FINAL,
        ),
        (
            "rc_info_stop never came",
            look(HEAD + NEW_START + NEW_STOP, *MODERN, "rc_info_start.txt", age=600),
            C.FINAL,
        ),
        ("killed before the lock", look(HEAD + NEW_START + NEW_STOP, *MODERN, meta_mode=0o644, age=600), C.FINAL),
        ("CR LF", look((HEAD + NEW_START + NEW_STOP).replace(b"\n", b"\r\n"), *MODERN), C.FINAL),
        ("restored without modes", look(HEAD + NEW_START + NEW_STOP, *MODERN, **UNLOCKED), C.FINAL),
        ("restored without modes, running", look(HEAD + NEW_START, *MODERN, **UNLOCKED), C.STARTED),
        ("no metadata", look(None, *MODERN), C.COPIED),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_modern_layout(case: str, sighting: RecordSnapshot, expected: Completeness) -> None:
    """v3_06_01 and later lock what is done, so modes show how far the record is."""
    assert judged(sighting) is expected, case


@pytest.mark.parametrize(
    ("case", "sighting", "expected"),
    [
        ("young", look(HEAD, **UNLOCKED, age=0), C.COPYING),
        ("quiet", look(HEAD, **UNLOCKED), C.COPIED),
        ("started", look(HEAD + OLD_START, **UNLOCKED, age=0), C.STARTED),
        ("v3_05: final", look(HEAD + NEW_START + NEW_STOP, "ranks.txt", "settings.txt", **UNLOCKED), C.FINAL),
        ("v3_03: final", look(HEAD + OLD_START + OLD_STOP, "known_boardreaders_list.txt", **UNLOCKED), C.FINAL),
        ("v1: no total yet", look(HEAD + OLD_START + OLD_STOP, **UNLOCKED), C.STOPPED),
        ("v1: half a total", look(HEAD + OLD_START + OLD_STOP + b"\nTotal events: 5", **UNLOCKED), C.STOPPED),
        ("v1: final", look(HEAD + OLD_START + OLD_STOP + TOTAL, **UNLOCKED), C.FINAL),
        ("v1: not settled", look(HEAD + OLD_START + OLD_STOP + TOTAL, **UNLOCKED, age=0), C.STOPPED),
        ("v1: total never came", look(HEAD + OLD_START + OLD_STOP, **UNLOCKED, age=600), C.FINAL),
    ],
)
def test_older_layouts(case: str, sighting: RecordSnapshot, expected: Completeness) -> None:
    """Before v3_06_01 nothing is locked: only quiet shows it; before v3_00_05 `Total events` comes last."""
    assert judged(sighting) is expected, case


ENDINGS = [
    ("died while running", look(HEAD + NEW_START, *MODERN)),
    ("start failed", look(HEAD, *MODERN)),
    ("copy cut short", look(HEAD[:10], "environment.txt", directory=0o755)),
    ("copy cut short, older", look(HEAD[:10], **UNLOCKED)),
    ("killed inside the append", look(HEAD + NEW_START[:20], *MODERN, meta_mode=0o644)),
    ("no metadata", look(None, *MODERN)),
    ("metadata cut after its comments", look(b"Config name: x\n# comment\n", **UNLOCKED)),
]


@pytest.mark.parametrize(("case", "sighting"), ENDINGS, ids=[case for case, _ in ENDINGS])
def test_bad_endings(case: str, sighting: RecordSnapshot) -> None:
    """A run without a stop line is dead once a later run of its partition started, or after the long wait."""
    assert judged(sighting) not in (C.DEAD, C.FINAL, C.STOPPED), case
    assert judged(sighting, later_started=True) is C.DEAD
    assert judged(sighting, PATIENCE.abandon_after - 10) is not C.DEAD
    assert judged(sighting, PATIENCE.abandon_after) is C.DEAD


def test_a_later_run_does_not_kill_what_just_changed() -> None:
    """A record that changed within the settle time is not dead yet: its stop line may be on its way."""
    assert judged(look(HEAD + NEW_START, *MODERN, age=0.5), later_started=True) is C.STARTED


def test_a_later_run_ends_the_wait() -> None:
    """A stopped run waits for nothing more once a later run of its partition has started."""
    sighting = look(HEAD + NEW_START + NEW_STOP, *MODERN, "rc_info_start.txt")
    assert judged(sighting) is C.STOPPED
    assert judged(sighting, later_started=True) is C.FINAL


def test_unreadable_runs() -> None:
    """A record that cannot be read is dead when a later run started or after the long wait."""
    unreadable = RecordSnapshot(readable=False)
    assert judged(unreadable, 10.0) is C.COPYING
    assert judged(unreadable, 10.0, later_started=True) is C.DEAD
    assert judged(unreadable, PATIENCE.abandon_after) is C.DEAD


@pytest.mark.parametrize("metadata", [HEAD + NEW_START + NEW_STOP, HEAD + NEW_START])
@pytest.mark.parametrize("later", [False, True])
def test_two_looks_are_needed(metadata: bytes, later: bool) -> None:
    """However long nothing was appended, a record that was looked at once has not ended."""
    seen = look(metadata, *MODERN)
    once, twice = Stillness(0.0, 1e9, 10.0), Stillness(1.0, 1e9, 10.0)
    assert judge(seen, once, PATIENCE, later_started=later) not in (C.FINAL, C.DEAD)
    if later or metadata.endswith(NEW_STOP):
        assert judge(seen, twice, PATIENCE, later_started=later) in (C.FINAL, C.DEAD)


@pytest.mark.parametrize("lacking", [{"temporaries": (".tpc02.fcl.Xa3b5Z",)}, {"missing": ("tpc02.fcl",)}])
@pytest.mark.parametrize("later", [False, True])
def test_a_copy_that_is_under_way_is_waited_for(lacking: dict[str, tuple[str, ...]], later: bool) -> None:
    """Its temporary files, and files that the record names, hold it up, though for the final wait at most."""
    stopped = replace(look(HEAD + NEW_START + NEW_STOP, *MODERN), **lacking)
    running = replace(look(HEAD + NEW_START, *MODERN), **lacking)
    assert judged(stopped, 599.0, later_started=later) is C.STOPPED
    assert judged(stopped, 600.0, later_started=later) is C.FINAL
    assert judged(running, 599.0, later_started=later) is C.STARTED
    assert judged(running, 600.0, later_started=later) is (C.DEAD if later else C.STARTED)
    (name,) = next(iter(lacking.values()))
    assert name in describe_wait(stopped, Stillness(5.0, 5.0, 5.0), PATIENCE)


def test_promises_can_be_left_alone() -> None:
    """With `watch.promised_files = false` what is missing is not waited for."""
    sighting = replace(look(HEAD + NEW_START + NEW_STOP, *MODERN), missing=("tpc02.fcl",))
    assert judge(sighting, Stillness(5.0, 5.0, 5.0), replace(PATIENCE, promised=False)) is C.FINAL


@pytest.mark.parametrize(
    ("sighting", "words"),
    [
        (look(HEAD + NEW_START + NEW_STOP, *MODERN, meta_mode=0o644), "metadata.txt to be whole and read-only"),
        (look(HEAD + NEW_START + NEW_STOP, *MODERN, "rc_info_start.txt"), "rc_info_stop.txt"),
        (look(HEAD + OLD_START + OLD_STOP, files=0o644, directory=0o755), "this layout does not tell whether"),
        (look(HEAD + NEW_START, *MODERN), ""),
    ],
)
def test_what_a_record_waits_for_is_said(sighting: RecordSnapshot, words: str) -> None:
    """A record with its stop line says what it still lacks, and for how long that is waited for."""
    said = describe_wait(sighting, Stillness(5.0, 5.0, 5.0), PATIENCE)
    assert (words in said, "600 s" in said) == (True, bool(words))


def test_the_directory_counts_as_a_change() -> None:
    """A directory that just changed (rc_info_stop.txt is about to be written) is not settled."""
    sighting = replace(look(HEAD + NEW_START + NEW_STOP, *MODERN), ctime_ns=int(NOW * 1e9))
    assert judged(sighting) is C.STOPPED


@pytest.mark.parametrize(
    ("metadata", "lines"),
    [
        (None, TimeLines(None, None)),
        (HEAD, TimeLines(None, None)),
        (b"Start time: a\nStart time: b\nStop time: c\n", TimeLines("b", "c")),
        (b"DAQInterface start time:\ta \r\nDAQInterface stop time: b", TimeLines("a", None)),
        (b"the start time: a\nxStop time: b\n", TimeLines(None, None)),
        (b"start time: a\rstop time: \xe9\n", TimeLines("a", None)),
    ],
)
def test_time_lines(metadata: bytes | None, lines: TimeLines) -> None:
    """Only whole lines count, the last of each kind, and the text is kept."""
    assert time_lines(metadata) == lines


@given(st.binary(max_size=200), st.booleans(), st.floats(-1e3, 2e6))
def test_any_metadata(metadata: bytes, later: bool, age: float) -> None:
    """Any bytes get a verdict, and none of them is final without a complete stop line."""
    verdict = judged(look(metadata, *MODERN, age=age), later_started=later)
    assert verdict is not C.FINAL or time_lines(metadata).stopped is not None


def test_a_long_line_of_blanks_is_no_trap() -> None:
    """A line of a million blanks is read in one go."""
    assert time_lines(b"Stop time:" + b" " * 1_000_000 + b"x" + b" " * 1_000_000) == TimeLines(None, None)
