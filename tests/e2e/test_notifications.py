"""People are told: the real daemon, a real mail server, a real Carbon; and archiving does not wait for any of them."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from tests.notify.servers import PEM, Graphite, Mailbox, free_port
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS, wait_until, wait_until_async

if TYPE_CHECKING:
    import pytest

    from .conftest import Site

RUNS = ("--runs", "4", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0", "--first", "7")
PASSWORD = "pl4nted-mail-pw"


def tell_by_mail(site: Site, port: int, more: str = "") -> None:
    """Configure mail through ``port``, and runs with a broken file to fail."""
    site.settings = (
        '[reporting.email]\nenabled = true\nrecipient_email = "shift@example.org"\n'
        f'sender_email = "archiver@example.org"\nsmtp_host = "127.0.0.1"\nsmtp_port = {port}\n{more}'
    )
    site.configure()
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text().replace("[artdaq_db]", '[artdaq_db]\nunmatched = "fail"'))


def make(site: Site, *broken: int) -> None:
    """Write runs 7 to 10, some of them with a file that is not FHiCL."""
    site.make(*RUNS, "--no-chmod")
    for run in broken:
        (site.records / str(run) / "broken01.fcl").write_text("a: 1\nb: { c: 2\n")


def mend(site: Site, *runs: int) -> None:
    """Mend what was broken."""
    for run in runs:
        (site.records / str(run) / "broken01.fcl").write_text("a: 1\nb: { c: 2 }\n")


def listed(box: Mailbox, number: int) -> tuple[str, list[str]]:
    """Return what a mail's subject says, up to the host, and the runs it lists."""
    subject, lines = str(box.mails[number]["Subject"]), box.mails[number].get_content().splitlines()
    return subject.partition(" on ")[0], [line for line in lines if line.isdecimal()]


def test_runs_that_fail_make_one_mail_and_their_repair_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over STARTTLS and with a login; a restart tells nothing again, and the password stays where it was put."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    with Mailbox(tls=True, login=("archiver", PASSWORD)).serving() as box:
        tell_by_mail(site, box.port, f'smtp_use_tls = true\nsmtp_user = "archiver"\nsmtp_password = "{PASSWORD}"\n')
        make(site, 8, 9, 10)
        daemon = site.start("-v", "run")
        wait_until(lambda: len(box.mails) == 1)
        assert listed(box, 0) == ("Run Record Archiver Import Errors", ["8", "9", "10"])
        body = box.mails[0].get_content()
        assert "Cause: FhiclError: broken01.fcl:" in body
        assert "`archiverd retry import`" in body
        mend(site, 8, 9, 10)
        assert site.run("retry", "import").returncode == 0
        wait_until(lambda: len(box.mails) == 2)
        assert listed(box, 1) == ("Run Record Archiver Import Repaired", ["8", "9", "10"])
        assert site.stop(daemon) == 130
        daemon = site.start("run")
        wait_until(lambda: site.log.count("archiverd 0") == 2)
        assert site.stop(daemon) == 130
    assert len(box.mails) == 2
    assert box.sessions == [True, True]
    assert "[Report] told by email: 3 runs failed in the import stage" in site.log
    assert PASSWORD not in site.log
    assert PASSWORD.encode() not in b"".join(path.read_bytes() for path in site.work.glob("journal.sqlite*"))


def test_a_mail_server_that_is_silent_delays_neither_archiving_nor_the_end(site: Site) -> None:
    """One that accepts and says nothing: good runs are verified, the daemon drains, and the next pass tells."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        tell_by_mail(site, port)
        make(site, 8)
        site.constants = {
            "archiverd.notify.email.EmailNotifier.__init__.__kwdefaults__": {"seconds": NEVER_SECONDS, "tls": None}
        }
        daemon = site.start("run")
        silent.settimeout(DEADLINE_SECONDS)
        connection, _ = silent.accept()  # the daemon waits for a greeting now
        with connection:
            site.make(*RUNS[2:], "--no-chmod", "--runs", "1", "--first", "20")
            rows = site.wait(lambda rows: 20 in rows and rows[20].state is State.VERIFIED)
            site.assert_proven(rows[20])
            assert site.stop(daemon) == 130
    assert "Traceback" not in site.log
    box = Mailbox(port=port)
    with box.serving():
        assert site.run("once").returncode == 1
    assert [listed(box, number) for number in range(len(box.mails))] == [("Run Record Archiver Import Errors", ["8"])]


def test_a_mail_server_that_is_down_is_said_once_and_caught_up_with(site: Site) -> None:
    """Runs fail and are repaired meanwhile; once it is there people are told how things stand, not what they missed."""
    box = Mailbox(port=free_port())
    tell_by_mail(site, box.port)
    make(site, 8, 9)
    daemon = site.start("run")
    wait_until(lambda: "ReportingError: Cannot send mail" in site.log)
    site.wait(lambda rows: all(rows[run].state is State.VERIFIED for run in (7, 10) if run in rows) and 10 in rows)
    mend(site, 8)
    assert site.run("retry", "import", "8").returncode == 0
    with box.serving():
        wait_until(lambda: len(box.mails) == 1)
        assert listed(box, 0) == ("Run Record Archiver Import Errors", ["9"])
        assert site.stop(daemon) == 130
    assert site.log.count("[Report] ReportingError: Cannot send mail through") == 1
    assert "[Report] email works again" in site.log
    assert len(box.mails) == 1


def test_passes_tell_once_at_their_end(site: Site) -> None:
    """From cron: one mail a stage and cause, none for what was told before, one for the repair."""
    with Mailbox().serving() as box:
        tell_by_mail(site, box.port)
        make(site, 8, 9)
        for _ in range(2):
            assert site.run("once", "--incremental").returncode == 1
        assert [listed(box, n) for n in range(len(box.mails))] == [("Run Record Archiver Import Errors", ["8", "9"])]
        mend(site, 8, 9)
        assert site.run("retry", "import").returncode == 0
    assert listed(box, 1) == ("Run Record Archiver Import Repaired", ["8", "9"])
    assert len(box.mails) == 2


def test_an_outage_is_one_mail_not_one_a_run(site: Site) -> None:
    """Four runs wait for a UconDB that is away: one mail with cause and remedy, and one when it is over."""
    site.stop(site.children[0])
    with Mailbox().serving() as box:
        tell_by_mail(site, box.port)
        make(site)
        for _ in range(2):
            assert site.run("once", "--incremental").returncode == 1
        (outage,) = box.mails
        assert str(outage["Subject"]).startswith("Run Record Archiver UconDB Outage on ")
        body = outage.get_content()
        assert "UconDB is away since" in body
        assert "Connection refused" in body, body
        site.serve()
        assert site.run("once", "--incremental").returncode == 0
    assert str(box.mails[1]["Subject"]).startswith("Run Record Archiver UconDB Works Again on ")
    assert len(box.mails) == 2


async def test_figures_reach_carbon(site: Site) -> None:
    """Every database call's duration under the adapter's name, and what the migration did."""
    async with Graphite().serving() as server:
        site.settings = f'[carbon]\nenabled = true\nhost = "127.0.0.1"\nport = {server.port}\nmetric_prefix = "daq"\n'
        site.configure()
        make(site)
        ended = await asyncio.to_thread(site.run, "once")
        assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0)
        await wait_until_async(lambda: any("last_successful_run" in line for line in server.lines))
    found = {name: value for name, value, _ in map(str.split, server.lines)}
    calls = [line.split()[0] for line in server.lines]
    assert calls.count("daq.FileSystemDB.insert.duration_ms") == 4
    assert calls.count("daq.HttpUconDB.store.duration_ms") == 4
    assert found["daq.migrate.runs_processed"] == found["daq.migrate.runs_successful"] == "4"
    assert found["daq.migrate.runs_failed"] == "0"
    assert found["daq.migrate.last_successful_run"] in {"7", "8", "9", "10"}
