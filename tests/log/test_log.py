"""Log lines read as the runbook's greps expect them."""

from __future__ import annotations

import io
import json
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from archiverd import log
from archiverd.core.errors import ArtdaqDBError, Retry
from archiverd.log_rotation import Rotation
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER = Rotation(max_bytes=1 << 40, max_age_seconds=1e12, backups=5)


@pytest.fixture(autouse=True)
def _own_configuration() -> Iterator[None]:
    """Leave no logging configuration behind for other tests."""
    yield
    structlog.reset_defaults()


def console(level: str = "DEBUG") -> io.StringIO:
    """Configure readable lines into a buffer and return it."""
    out = io.StringIO()
    log.configure(level, "console", out)
    return out


def test_a_line_has_time_level_stage_run_and_message() -> None:
    """What people grep for stands in this order."""
    out = console()
    log.get("Import").info("imported", run=12345, entities=93)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    \[Import\] \[Run 12345\] imported entities=93\n", out.getvalue()
    )


def test_an_error_reads_as_in_the_runbook() -> None:
    """`[Stage] [Run N] ErrorName: message`, then its context, and at DEBUG `Exception raised`."""
    out = console()
    error = ArtdaqDBError("Configuration 7/x is already archived.", context={"run": 7}, remedy="look")
    log.failure(log.get("Import"), error, 7)
    first, second, third = out.getvalue().splitlines()
    assert first.endswith("ERROR   [Import] [Run 7] ArtdaqDBError: Configuration 7/x is already archived. (look)")
    assert second == "Context: {'run': 7}"
    assert "DEBUG   [Import] [Run 7] Exception raised: ArtdaqDBError(" in third


def test_a_passing_failure_is_a_warning() -> None:
    """What is tried again by itself does not cry ERROR."""
    out = console("INFO")
    log.failure(log.get("Migration"), ArtdaqDBError("busy", retry=Retry.TRANSIENT))
    assert "WARNING [Migration] ArtdaqDBError: busy" in out.getvalue()


def test_an_unexpected_error_has_the_banner_and_the_traceback() -> None:
    """A mistake of ours is CRITICAL, greppable by its banner and by its run, and its traceback follows."""
    out = console()
    try:
        {}["gone"]
    except KeyError as error:
        log.unexpected(log.get("Import"), error, 3)
    lines = [line[20:] for line in out.getvalue().splitlines()]
    begin = "CRITICAL [Import] [Run 3] "
    assert lines[1:5] == [
        f"{begin}UNEXPECTED ERROR SUMMARY",
        f"{begin}KeyError: 'gone'",
        begin + "=" * 70,
        f"{begin}Traceback (most recent call last):",
    ]
    assert lines[-2:] == [f"{begin}KeyError: 'gone'", "DEBUG   [Import] [Run 3] Exception raised: KeyError: 'gone'"]


def test_an_error_that_was_raised_shows_where_at_debug() -> None:
    """`grep -A 20 "Exception raised"` finds the traceback of an operator's error too."""
    out = console()
    with pytest.raises(ArtdaqDBError) as caught:
        raise ArtdaqDBError("busy")
    log.failure(log.get("Import"), caught.value, 7)
    after = out.getvalue().partition("Exception raised: ArtdaqDBError('busy')\n")[2].splitlines()
    assert after[0].endswith("DEBUG   [Import] [Run 7] Traceback (most recent call last):")
    assert "in test_an_error_that_was_raised_shows_where_at_debug" in after[1]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K\x1b[1G"])
def test_what_a_record_says_cannot_make_up_a_line(end: str) -> None:
    """Line ends and terminal escapes in messages, facts, contexts and tracebacks are shown, not obeyed."""
    out = console()
    forged = f"x{end}2026-01-01 00:00:00 ERROR   [Import] [Run 1] forged"
    log.get("Import").info(forged, run=5, name=forged)
    error = ArtdaqDBError(forged, context={"file": forged})
    log.failure(log.get("Import"), error, 5)
    with pytest.raises(ValueError, match="forged") as caught:
        raise ValueError(forged)
    log.unexpected(log.get("Import"), caught.value, 5)
    lines = out.getvalue().split("\n")[:-1]
    assert not [
        line for line in lines if not re.match(r"[-\d]{10} [:\d]{8} \w+ +\[Import\] \[Run 5\] |Context: {", line)
    ]
    assert out.getvalue().replace("\n", "").isprintable()


def test_levels_are_honoured() -> None:
    """Nothing below the level is written."""
    out = console("WARNING")
    log.get().info("quiet")
    log.get().warning("loud")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()


def test_a_hostile_message_does_not_fill_the_log() -> None:
    """A message without end is cut, and says so."""
    out = console()
    log.get().info("x" * 1_000_000)
    assert len(out.getvalue()) < log.LINE_LIMIT + 200
    assert "(1000000 characters)" in out.getvalue()


def test_json_is_one_object_a_line() -> None:
    """Machines get time, level, stage, run, message and the other facts."""
    out = io.StringIO()
    log.configure("INFO", "json", out)
    log.get("Import").info("two\nlines", run=5, bytes=7)
    shown = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    del shown["time"]
    assert shown == {"level": "info", "stage": "Import", "run": 5, "message": "two\nlines", "bytes": 7}


def test_the_journal_gets_native_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`journalctl ARCHIVERD_RUN=12345` finds a run's story; a message of several lines stays one entry."""
    address = str(tmp_path / "journal.sock")
    monkeypatch.setattr(log, "JOURNAL_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        journal.settimeout(DEADLINE_SECONDS)
        log.configure("INFO", "journal", io.StringIO())
        log.failure(log.get("Import"), ArtdaqDBError("bad", context={"a": 1}), 12345)
        sent = journal.recv(65536)
    assert b"PRIORITY=3\n" in sent
    assert b"ARCHIVERD_RUN=12345\n" in sent
    assert b"ARCHIVERD_STAGE=Import\n" in sent
    text = b"[Import] [Run 12345] ArtdaqDBError: bad\nContext: {'a': 1}"
    assert b"MESSAGE\n" + len(text).to_bytes(8, "little") + text + b"\n" in sent


def test_the_log_file_gets_everything_from_the_start(tmp_path: Path) -> None:
    """Lines from before the file was opened stand first; a quiet stream does not quieten the file."""
    out = io.StringIO()
    log.configure("INFO", "json", out, quiet=True)
    log.get().info("before")
    log.to_file(tmp_path / "archiver.log", NEVER)
    log.get("Import").info("after", run=5)
    log.get("Import").warning("loud", run=6)
    log.get(shown=False).error("for the file")
    log.get().debug("not at this level")
    said = [line[20:] for line in (tmp_path / "archiver.log").read_text().splitlines()]
    assert said == [
        "INFO    before",
        "INFO    [Import] [Run 5] after",
        "WARNING [Import] [Run 6] loud",
        "ERROR   for the file",
    ]
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["loud"]


def test_a_log_file_that_cannot_be_written_is_told_on_the_stream() -> None:
    """A full disk shows once where the other lines are, and nothing raises."""
    out = console("INFO")
    log.to_file(Path("/dev/full"), NEVER)
    log.get().info("one")
    log.get().info("two")
    said = [line[20:] for line in out.getvalue().splitlines()]
    assert said == [
        "WARNING Cannot write the log file: [Errno 28] No space left on device (archiving goes on, log lines get lost)",
        "INFO    one",
        "INFO    two",
    ]
