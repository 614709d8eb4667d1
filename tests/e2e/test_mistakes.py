"""A mistake of archiverd's own, met while the daemon runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

ONE_RUN = ("--runs", "1", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--no-chmod")


def test_a_statement_the_journal_does_not_understand_ends_the_daemon_as_a_bug(site: Site) -> None:
    """Exit code 2 under the banner, with the traceback: nobody is sent to check a disk that is sound."""
    site.make(*ONE_RUN, "--first", "7")
    daemon = site.start("run")
    site.wait(lambda rows: {run: row.state for run, row in rows.items()} == {7: State.VERIFIED})
    with closing(sqlite3.connect(site.work / "journal.sqlite")) as db:
        db.execute("ALTER TABLE runs RENAME COLUMN seen_at TO first_seen_at")
    site.make(*ONE_RUN, "--first", "8")
    assert daemon.wait(DEADLINE_SECONDS) == 2
    assert "UNEXPECTED ERROR SUMMARY" in site.log
    assert "no column named seen_at" in site.log
    assert "check app.work_dir" not in site.log
