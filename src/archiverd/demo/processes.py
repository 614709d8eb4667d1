"""The demo's child processes: `archiverd ucondb-server` and `archiverd run`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READY_SECONDS = 30.0
"""Seconds a process may take to start."""

STOP_SECONDS = 90.0
"""Seconds a process may take to stop."""

USER = "demo"
FOLDER = "run_records"
OBJECT = "configuration"


@dataclass(frozen=True, slots=True)
class DemoSite:
    """The directory of one demo, and the paths in it."""

    root: Path

    @property
    def records(self) -> Path:
        """The run-records directory."""
        return self.root / "run_records"

    @property
    def work_dir(self) -> Path:
        """The daemon's work directory."""
        return self.root / "work"

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.root / "archiverd.toml"

    @property
    def password(self) -> Path:
        """The file with the writer's password."""
        return self.root / "password"

    @property
    def daemon_log(self) -> Path:
        """The daemon's output."""
        return self.root / "archiverd.log"

    @property
    def server_log(self) -> Path:
        """The server's output."""
        return self.root / "ucondb-server.log"

    def make(self) -> None:
        """Create the directories and a password. Raise OSError."""
        for directory in (self.root, self.records, self.work_dir):
            directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(16))

    def configure(self, server_url: str) -> None:
        """Write the daemon's configuration."""
        self.config.write_text(
            f'[app]\nwork_dir = "{self.work_dir}"\n'
            f'[source_files]\nrun_records_dir = "{self.records}"\n'
            f'[artdaq_db]\ndatabase_uri = "filesystemdb://{self.root.absolute()}/artdaqdb"\n'
            f'[ucon_db]\nserver_url = "{server_url}"\nfolder_name = "{FOLDER}"\nobject_name = "{OBJECT}"\n'
            f'writer_user = "{USER}"\n'
        )


@contextlib.asynccontextmanager
async def ucondb_server(site: DemoSite) -> AsyncIterator[str]:
    """Run a UconDB server during the block; give its URL. Raise ArchiverError if it does not start."""
    command = [sys.executable, "-m", "archiverd", "ucondb-server"]
    command += ["--data", str(site.root / "ucondb"), "--listen", "127.0.0.1:0", "--instance", "demo_on_ucon"]
    command += ["--folder", FOLDER, "--user", USER, "--password-file", str(site.password)]
    with site.server_log.open("ab") as log:
        server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=log)
    try:
        yield await _listening(server, site.server_log)
    finally:
        await stop(server)


@contextlib.asynccontextmanager
async def daemon(site: DemoSite) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the daemon during the block; stop it with SIGINT."""
    command = [sys.executable, "-m", "archiverd", "--config", str(site.config), "--log-format", "console", "run"]
    environment = {**os.environ, "ARCHIVERD_UCON_DB__WRITER_PASSWORD": site.password.read_text()}
    with site.daemon_log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    try:
        yield process
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process) -> int:
    """Send SIGINT to ``process`` and wait; kill it after ``STOP_SECONDS``. Return its exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    try:
        return await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        return await process.wait()


async def _listening(server: asyncio.subprocess.Process, log: Path) -> str:
    """Return the URL from the server's first line."""
    if server.stdout is None:
        raise RuntimeError("the server's standard output is not a pipe")
    try:
        line = (await asyncio.wait_for(server.stdout.readline(), READY_SECONDS)).decode()
    except TimeoutError:
        line = ""
    before, _, url = line.strip().partition("listening on ")
    if before or not url:
        raise ArchiverError("The demo's UconDB server did not start", remedy=f"see {log}")
    return url
