"""Everything for real: server and daemon as processes, run records written live, real signals."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest

from archiverd.core.machine import State
from archiverd.journal.queries import select_holds, select_states
from archiverd.journal.reader import is_there, reading
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archiverd.journal.rows import Hold, RunRow

MAKER = Path(__file__).parents[1] / "tools" / "make_run_records.py"
WITH_CONSTANTS = Path(__file__).with_name("with_constants.py")
PASSWORD = "e2e-secret-pw"


@dataclass
class Site:
    """One detector's archive: directories, a UconDB server, a daemon."""

    root: Path
    url: str = ""
    password: str = PASSWORD
    settings: str = ""
    served: bool = False
    constants: dict[str, object] = field(default_factory=dict)
    """Constants of archiverd that processes started from now on have other values of."""
    before: list[str] = field(default_factory=list)
    """Words before each command: a program that runs it with fewer rights."""
    launcher: list[str] = field(default_factory=list)
    """A script, with its arguments, that runs the commands started from now on in the place of archiverd."""
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def records(self) -> Path:
        return self.root / "run_records"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def config(self) -> Path:
        return self.root / "archiverd.toml"

    @property
    def log(self) -> str:
        return (self.root / "daemon.log").read_text()

    def configure(self, **app: object) -> None:
        """Write the configuration; ``app`` adds keys to [app]. No limit is reached unless a test sets it."""
        keys = {"retry_delay_seconds": 0.2, "drain_timeout_seconds": NEVER_SECONDS, **app}
        extra = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        timeout = "" if "timeout_seconds" in self.settings else f"timeout_seconds = {NEVER_SECONDS}\n"
        self.config.write_text(
            f'[app]\nwork_dir = "{self.work}"\n{extra}'
            f'[source_files]\nrun_records_dir = "{self.records}"\n'
            f'[artdaq_db]\ndatabase_uri = "filesystemdb://{self.root}/artdaqdb"\n'
            f'[ucon_db]\nserver_url = "{self.url}"\nfolder_name = "test01"\nobject_name = "configuration"\n'
            f'writer_user = "writer"\nwriter_password = "{self.password}"\n{timeout}{self.settings}'
        )

    def serve(self, *options: str) -> subprocess.Popen[str]:
        """Start the bundled UconDB server; one started again has the same address."""
        (self.root / "pw").write_text(PASSWORD + "\n")
        listen = urlsplit(self.url).netloc if self.served else "127.0.0.1:0"
        command = ["ucondb-server", "--data", str(self.root / "ucondb"), "--listen", listen, *options]
        command += ["--instance", "inst", "--folder", "test01", "--user", "writer"]
        server = self._start(*command, "--password-file", str(self.root / "pw"), stdout=subprocess.PIPE)
        assert server.stdout is not None
        self.url = server.stdout.readline().removeprefix("listening on ").strip()
        self.served = True
        server.stdout.close()
        return server

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start an archiverd command with this site's configuration; its words go to the log."""
        return self._start("--config", str(self.config), *command)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run an archiverd command to its end."""
        argv = [*self.before, sys.executable, "-m", "archiverd", "--config", str(self.config), *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)

    def make(self, *arguments: str, live: bool = False) -> subprocess.Popen[str]:
        """Write run records with the tests' maker; in batch mode waits for its end."""
        argv = [sys.executable, str(MAKER), str(self.records), "--manifest", str(self.root / "manifest"), *arguments]
        maker = subprocess.Popen(argv, text=True)
        self.children.append(maker)
        if not live:
            assert maker.wait(DEADLINE_SECONDS) == 0
        return maker

    def planned(self) -> dict[int, dict[str, object]]:
        """Return what the maker says of each run it has finished."""
        lines = (self.root / "manifest").read_text().splitlines()
        return {facts["run"]: facts for facts in map(json.loads, lines)}

    def rows(self) -> dict[int, RunRow]:
        """Return what the journal says of each run."""
        path = self.work / "journal.sqlite"
        if not is_there(path):
            return {}
        with reading(path) as db:
            return {row.run: row for row in select_states(db, list(State))}

    def holds(self) -> list[Hold]:
        """Return why backends are left alone, as the journal says."""
        with reading(self.work / "journal.sqlite") as db:
            return select_holds(db)

    def wait(self, done: Callable[[dict[int, RunRow]], bool]) -> dict[int, RunRow]:
        """Wait until the journal's rows satisfy ``done``; return them."""
        rows: dict[int, RunRow] = {}

        def is_done() -> bool:
            rows.clear()
            rows.update(self.rows())
            return done(rows)

        wait_until(is_done, lambda: {run: (row.state, row.error) for run, row in rows.items()})
        return rows

    def wait_for_log(self, text: str) -> None:
        """Wait until a process of this site has logged ``text``."""
        wait_until(lambda: text in self.log, lambda: self.log)

    def freeze(self) -> None:
        """Stop the server: it takes connections and requests, and answers nothing."""
        self.children[0].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.children[0].send_signal(signal.SIGCONT)

    def wait_for_unanswered_request(self) -> None:
        """Wait until a frozen server has a request that it does not answer: who sent it waits for the server now."""
        wait_until(lambda: unread_bytes(urlsplit(self.url).port or 0), lambda: self.log)

    def stop(self, process: subprocess.Popen[str], number: int = signal.SIGINT) -> int:
        """Send a signal, once the process has its handlers, and return the exit code."""
        wait_until(lambda: process.poll() is not None or catches(process.pid, signal.SIGTERM))
        process.send_signal(number)
        return process.wait(DEADLINE_SECONDS)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the server without our own client: status and body."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=DEADLINE_SECONDS)
        connection.request("GET", parts.path + path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def versions(self, folder: str = "test01") -> dict[int, int]:
        """Return how many versions UconDB holds under each run's key."""
        status, body = self.get(f"/versions?folder={folder}&object=configuration&tv=1e12")
        if status == 404:
            return {}
        assert status == 200
        counts: dict[int, int] = {}
        for version in json.loads(body):
            counts[int(version["key"])] = counts.get(int(version["key"]), 0) + 1
        return counts

    def blob(self, run: int) -> bytes:
        """Return the bytes UconDB holds under a run's key."""
        status, body = self.get(f"/data/test01/configuration?key={quote(str(run))}")
        assert status == 200
        return body

    def assert_proven(self, row: RunRow) -> None:
        """What UconDB holds is byte for byte what the journal says was verified (I1)."""
        body = self.blob(row.run)
        assert (len(body), hashlib.sha256(body).hexdigest()) == (row.blob_length, row.blob_sha256)
        assert body.startswith(f"Start of Record\nRun Number: {row.run}\nPacked on {row.packed_on}\n".encode())
        assert body.endswith(f"\nEnd of Record\nRun Number: {row.run}\nPacked on {row.packed_on}\n".encode())

    def lose_the_journal(self) -> None:
        """Remove the journal, as a damaged disk would."""
        for left in self.work.glob("journal.sqlite*"):
            left.unlink()

    def close(self) -> None:
        """End whatever still runs."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        for directory, _, _ in os.walk(self.records):
            Path(directory).chmod(0o700)

    def _start(self, *command: str, stdout: int | None = None) -> subprocess.Popen[str]:
        with (self.root / "daemon.log").open("a") as log:
            program = [str(WITH_CONSTANTS), json.dumps(self.constants)] if self.constants else ["-m", "archiverd"]
            argv = [*self.before, sys.executable, *(self.launcher or program), *command]
            process = subprocess.Popen(argv, stdout=stdout or log, stderr=log, stdin=subprocess.DEVNULL, text=True)
        self.children.append(process)
        return process


def catches(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal: while Python starts it has none of ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(mask >> (number - 1) & 1)


def unread_bytes(port: int) -> int:
    """Return how many bytes on connections to a local port its listener has not read (proc_net_tcp(5))."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[1].rpartition(":")[2], 16) == port and words[3] == "01":  # established
            total += int(words[4].partition(":")[2], 16)
    return total


@pytest.fixture
def bare_site(tmp_path: Path) -> Iterator[Site]:
    """A site without a server."""
    site = Site(tmp_path)
    site.records.mkdir()
    site.configure()
    yield site
    site.close()


@pytest.fixture
def site(bare_site: Site) -> Site:
    """A site with a server."""
    bare_site.serve()
    bare_site.configure()
    return bare_site
