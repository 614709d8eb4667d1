"""Planted passwords turn up nowhere: not in logs, errors, reports, the journal, work files or process lists."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State

from .conftest import PASSWORD

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from .conftest import Site

ONE_RUN = ("--runs", "1", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--first", "7", "--no-chmod")
WRONG = "pl4nted/Wr0ng:w0rd"
PEM = Path(__file__).parents[1] / "data" / "ucondb_client" / "tls.pem"
VARIABLE = "ARCHIVERD_UCON_DB__WRITER_PASSWORD"
REPORTS = (
    ("status",),
    ("status", "--json"),
    ("why", "7"),
    ("why", "7", "--json"),
    ("config", "show"),
    ("config", "show", "--json"),
)
PLANTED = ("archiverd.toml", "pw", "ucon_db_writer_password")
"""Files a password was put into on purpose."""


def traces(password: str) -> tuple[bytes, ...]:
    """Return the password and what is as good as it: the hash digest login keeps of it (RFC 2617, A1)."""
    first = hashlib.md5(f"writer:ucon_prd.test01:{password}".encode(), usedforsecurity=False)
    return password.encode(), first.hexdigest().encode()


def leaks(site: Site, password: str, *ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return where the password or its hash turns up: in what processes said, or in any file they wrote."""
    said = {" ".join(process.args): (process.stdout + process.stderr).encode() for process in ended}
    written = {
        str(path): path.read_bytes() for path in site.root.rglob("*") if path.is_file() and path.name not in PLANTED
    }
    return [where for where, text in (said | written).items() if any(trace in text for trace in traces(password))]


def plant(site: Site, way: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the password to archiverd in one of the ways it takes one."""
    site.password = password if way == "file" else ""
    site.configure(run_process_retries=0)
    if way == "environment":
        monkeypatch.setenv(VARIABLE, password)
    if way == "credential":
        directory = site.root / "credentials"
        directory.mkdir()
        (directory / "ucon_db_writer_password").write_text(password + "\n")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))


@pytest.mark.parametrize(("way", "log_format"), [("file", "console"), ("environment", "json"), ("credential", "json")])
def test_a_run_is_archived_without_a_word_of_the_password(
    site: Site, monkeypatch: pytest.MonkeyPatch, way: str, log_format: str
) -> None:
    """With all debug lines, from whatever source it comes, the password that logs in stays where it was put."""
    plant(site, way, PASSWORD, monkeypatch)
    site.make(*ONE_RUN)
    archived = site.run("-v", "--log-format", log_format, "once")
    assert (archived.returncode, site.rows()[7].state) == (0, State.VERIFIED)
    assert "verified in UconDB" in archived.stderr
    told = [archived, *[site.run(*report) for report in REPORTS]]
    assert leaks(site, PASSWORD, *told) == []
    assert len(leaks(site, "test01", *told)) >= 2, "the search does not find what is there"


@contextlib.contextmanager
def untrusted_server() -> Iterator[str]:
    """Run a TLS server whose certificate nobody vouches for; give its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener,))
        thread.start()
        try:
            yield "127.0.0.1:{}".format(*listener.getsockname()[1:])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _shake_hands(listener: ssl.SSLSocket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except ssl.SSLError:
            continue
        except OSError:
            return
        connection.close()


@pytest.fixture(params=["wrong password", "server down", "no TLS there", "untrusted TLS"])
def trouble(request: pytest.FixtureRequest, site: Site) -> Iterator[tuple[Site, str]]:
    """Give a site whose uploads cannot succeed, and words that tell why."""
    match request.param:
        case "server down":
            site.stop(site.children[0])
            yield site, "Connection refused"
        case "no TLS there":
            site.url = site.url.replace("http:", "https:")
            yield site, "TLS failed"
        case "untrusted TLS":
            with untrusted_server() as address:
                site.url = f"https://{address}/inst/app"
                yield site, "TLS certificate verification failed"
        case "wrong password":
            yield site, "401 Unauthorized"


def _held(site: Site, words: str) -> bool:
    return any(words in hold.cause for hold in site.holds())


def test_trouble_is_told_without_the_password(trouble: tuple[Site, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that cannot upload says why in every way it can, and the password in none, nor in the process list."""
    site, words = trouble
    plant(site, "environment", WRONG, monkeypatch)
    site.make(*ONE_RUN)
    daemon = site.start("-v", "--log-format", "json", "run")
    site.wait(lambda rows: 7 in rows and rows[7].imported_at is not None and _held(site, words))
    command_line = Path(f"/proc/{daemon.pid}/cmdline").read_bytes()
    told = [site.run(*report) for report in REPORTS]
    assert site.stop(daemon) == 130
    told.append(site.run("-v", "--log-format", "console", "once"))
    assert site.rows()[7].state is State.IMPORTED
    assert b"archiverd" in command_line
    assert not any(trace in command_line for trace in traces(WRONG))
    assert '"level": "debug"' in site.log
    assert words in told[REPORTS.index(("why", "7"))].stdout
    assert leaks(site, WRONG, *told) == []


@pytest.mark.parametrize(
    "line",
    [
        'writer_password = ["{}"]',
        'writer_password = "{}',
        'writer_pasword = "{}"',
        'writer_password = {{ value = "{}" }}',
        'writer_user = "writer\\"{}"',
        'server_url = "http://writer:{}@127.0.0.1:9/inst/app"',
        'server_url = "http://127.0.0.1:9/inst/app?password={}"',
        'server_url = ["http://writer:{}@127.0.0.1:9/inst/app"]',
    ],
)
def test_a_misspelt_configuration_is_refused_without_its_values(bare_site: Site, line: str) -> None:
    """An error about the lines with the login names the key, not what was written there."""
    config = bare_site.root / "archiverd.toml"
    key, _, _ = line.partition(" = ")
    kept = [text for text in config.read_text().splitlines() if not text.startswith(key)]
    config.write_text("\n".join([*kept, line.format(WRONG), ""]))
    ended = [bare_site.run("-v", *command) for command in (("config", "check"), ("once",), ("run",))]
    assert [process.returncode for process in ended] == [1, 1, 1]
    assert all("ConfigurationError" in process.stderr for process in ended)
    assert leaks(bare_site, WRONG, *ended) == []
