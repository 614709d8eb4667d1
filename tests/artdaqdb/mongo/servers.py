"""Servers that speak the MongoDB protocol, each a process of its own on a port of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

FETCHED = Path(__file__).parents[3] / "build" / "mongo"
URI_VARIABLE = "ARCHIVERD_TEST_MONGODB_URI"
USER, PASSWORD = "archiverd", "p@ss:w/rd%"
LOGIN = "archiverd:p%40ss%3Aw%2Frd%25"


class Server:
    """A server process; it can be killed and started again on its port."""

    def __init__(self, command: Sequence[str], ready: str, environment: dict[str, str] | None = None) -> None:
        """Make ready to run ``command``, in which ``PORT`` stands for the port: 0 at first, then the one it got.

        ``ready`` is a pattern of the line that tells its port.
        """
        self._command, self._ready = command, re.compile(ready)
        self._environment = {**os.environ, **(environment or {})}
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._drain = threading.Thread()

    def start(self) -> None:
        """Start it; return when it listens."""
        self._process = subprocess.Popen(
            [word.replace("PORT", str(self.port)) for word in self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if match := self._ready.search(line):
                self.port = int(match[1])
                break
        else:
            self.kill()
            pytest.fail(f"{self._command[0]} did not start: {''.join(said)}")
        self._drain = threading.Thread(target=self._process.stdout.read)
        self._drain.start()

    def kill(self) -> None:
        """Kill it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._drain.ident is not None:
                self._drain.join()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP makes a server that takes connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(number)


def mongod(directory: Path) -> Server | None:
    """Return a mongod, if there is one on PATH."""
    program = shutil.which("mongod")
    if program is None:
        return None
    where = ("--dbpath", str(directory), "--bind_ip", "127.0.0.1", "--port", "PORT", "--nounixsocket")
    return Server([program, *where], r'"Waiting for connections".*"port":(\d+)')


def bson_server() -> Server | None:
    """Return mongo-java-server, if it was fetched; it holds any BSON without duplicate keys."""
    java, classes = shutil.which("java"), FETCHED / "java"
    if java is None or not (classes / "BsonServer.class").exists():
        return None
    return Server(
        [java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}/*:{classes}", "BsonServer"], r"^port (\d+)"
    )


def holds_duplicate_keys() -> bool:
    """Tell whether the server of the tests is MongoDB's own."""
    return URI_VARIABLE in os.environ or shutil.which("mongod") is not None


def ferretdb(directory: Path) -> Server | None:
    """Return FerretDB with a user for the database ``runs_db``, if it was fetched."""
    program = FETCHED / "ferretdb" / "ferretdb"
    if not program.exists():
        return None
    command = [
        str(program),
        "--handler=sqlite",
        f"--sqlite-url=file:{directory}/",
        f"--state-dir={directory}",
        "--listen-addr=127.0.0.1:PORT",
        "--debug-addr=-",
        "--test-enable-new-auth",
        "--setup-database=runs_db",
        f"--setup-username={USER}",
        f"--setup-password={PASSWORD}",
    ]
    return Server(command, r"Listening on TCP 127\.0\.0\.1:(\d+)", {"DO_NOT_TRACK": "1"})


def missing(what: str) -> None:
    """Skip the test, or fail it where a skip must not be."""
    reason = f"no {what}: run `make mongo-servers`"
    if os.environ.get("CI_REQUIRE_MONGO") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
