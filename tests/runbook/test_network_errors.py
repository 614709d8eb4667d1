"""Network errors: the daemon waits for what is away and goes on by itself."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core.machine import State
from tests.runbook.front import Front
from tests.waiting import NEVER_SECONDS

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk

CERTIFICATE = Path(__file__).parents[1] / "data" / "ucondb_client" / "tls.pem"


def test_a_name_that_is_not_known_and_a_certificate_that_is_not_trusted(desk: Desk) -> None:
    """Each is told as what it is; `ca_file` does what `curl -k` was for, and checks the certificate."""
    desk.one_run()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    with Front(desk.url, tls).running() as front:
        desk.edit("ucon_db", server_url="http://ucondb.invalid:9443/inst/app")
        said = desk.archiver()
        assert (said.returncode, "the server's name cannot be resolved" in said.stderr) == (1, True)
        desk.edit("ucon_db", server_url=front.url)
        said = desk.archiver()
        assert (said.returncode, "TLS certificate verification failed" in said.stderr) == (1, True)
        desk.edit("ucon_db", ca_file=str(CERTIFICATE))
        assert desk.archiver().returncode == 0
    desk.prove(7)


def test_a_server_that_goes_away_and_comes_back(desk: Desk) -> None:
    """`Connection refused` stands in the log and in `status`; the daemon goes on by itself when the server is back."""
    desk.edit("app", run_process_retries=0)
    daemon = desk.start("run")
    desk.one_run()
    desk.wait(lambda rows: 7 in rows and rows[7].state is State.VERIFIED)
    server = desk.children[0]
    server.kill()
    server.wait()
    desk.one_run(20)
    desk.wait(lambda rows: 20 in rows and bool(rows[20].imported_at) and bool(desk.holds()))
    told = desk.run("status").stdout
    assert re.search(r"UconDB is away .*Connection refused; next probe in", told)
    assert "Connection refused" in desk.log
    desk.serve()
    desk.wait(lambda rows: rows[20].state is State.VERIFIED)
    assert desk.stop(daemon) == 130
    assert "UconDB works again" in desk.log
    desk.prove(7, 20)


def test_a_server_that_answers_too_late(desk: Desk, front: Front) -> None:
    """Told with the seconds that were waited; with a longer `ucon_db.timeout_seconds` the run goes through."""
    desk.one_run()
    desk.edit("app", run_process_retries=0)
    desk.edit("ucon_db", timeout_seconds=4)
    front.storing_seconds = 8.0
    said = desk.archiver()
    assert said.returncode == 1
    assert re.search(r"\[Migration\] \[Run 7\] UconDBError: .*Read timed out \(read timeout=4\)", said.stderr)
    assert "ucon_db.timeout_seconds" in said.stderr
    desk.edit("ucon_db", timeout_seconds=NEVER_SECONDS)
    assert desk.archiver().returncode == 0
    desk.prove(7)
    assert desk.versions() == {7: 1}


def test_a_blob_that_comes_back_another(desk: Desk, front: Front) -> None:
    """Both sums are told and nothing is overwritten; read rightly it is proven, and a wrong one can be replaced."""
    desk.one_run()
    front.corrupts = True
    said = desk.archiver()
    assert said.returncode == 1
    assert "[Migration] [Run 7] VerificationError: MD5 mismatch between generated and downloaded blobs" in said.stderr
    assert re.search(r"Context: \{'generated_md5': '[0-9a-f]{32}', 'downloaded_md5': '[0-9a-f]{32}'", said.stderr)
    assert desk.failed("migrate_failures.log") == [7]
    front.corrupts = False
    assert desk.archiver("--retry-failed-migrate").returncode == 0
    desk.prove(7)
    assert desk.versions() == {7: 1}
