"""Log lines read as the runbook's greps expect them."""

from __future__ import annotations

import io
import json
import re
import socket
from typing import TYPE_CHECKING

import pytest
import structlog

from archiverd import log
from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
    """A mistake of ours is greppable by its banner and carries its traceback."""
    out = console()
    try:
        {}["gone"]
    except KeyError as error:
        log.unexpected(log.get("Import"), error, 3)
    assert "UNEXPECTED ERROR SUMMARY\nKeyError: 'gone'" in out.getvalue()
    assert "Traceback (most recent call last)" in out.getvalue()


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
        journal.settimeout(5)
        log.configure("INFO", "journal", io.StringIO())
        log.failure(log.get("Import"), ArtdaqDBError("bad", context={"a": 1}), 12345)
        sent = journal.recv(65536)
    assert b"PRIORITY=3\n" in sent
    assert b"ARCHIVERD_RUN=12345\n" in sent
    assert b"ARCHIVERD_STAGE=Import\n" in sent
    text = b"[Import] [Run 12345] ArtdaqDBError: bad\nContext: {'a': 1}"
    assert b"MESSAGE\n" + len(text).to_bytes(8, "little") + text + b"\n" in sent
