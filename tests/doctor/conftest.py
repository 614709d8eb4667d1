"""An installation to be examined: real directories, a real UconDB server, and faults made on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w

from archiverd.doctor.checkup import examine_all
from archiverd.doctor.finding import Finding, Status
from archiverd.doctor.subject import read_subject
from tests.e2e.conftest import PASSWORD, Site
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PEMS = Path(__file__).parents[1] / "data" / "doctor"
Lines = dict[str, Finding]


@dataclass
class House:
    """What is examined: the configuration is written anew whenever it changes."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.root / "archiverd.toml"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def records(self) -> Path:
        return self.root / "run_records"

    @property
    def database(self) -> Path:
        return self.root / "artdaqdb"

    def change(self, section: str, **keys: object) -> None:
        """Set keys of a section; None takes one out."""
        held = self.settings.setdefault(section, {}) if section else self.settings
        held.update(keys)
        for key in [key for key, value in held.items() if value is None]:
            del held[key]
        self.path.write_text(tomli_w.dumps(self.settings))
        self.path.chmod(0o600)

    def add_run(self, run: int) -> Path:
        """Make a run directory of two files."""
        directory = self.records / str(run)
        directory.mkdir()
        for name in ("metadata.txt", "boot.txt"):
            (directory / name).write_text("Config name: demo\n")
        return directory

    async def look(self, *, migrating: bool = False) -> Lines:
        """Examine it here; return the lines by name."""
        findings = await examine_all(read_subject(str(self.path), migrating=migrating))
        assert len({one.name for one in findings}) == len(findings), "a name stands for two lines"
        return {one.name: one for one in findings}

    def run(self, *command: str, wrapped: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run an archiverd command to its end."""
        argv = [*wrapped, sys.executable, "-m", "archiverd", "--config", str(self.path), *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)

    def look_unprivileged(self) -> Lines:
        """Examine it as a user whom permissions stop; root is deprived of what lets it pass by them."""
        told = json.loads(self.run("check", "--import-only", "--json", wrapped=unprivileged()).stdout)
        findings = [Finding(one["name"], Status(one["status"]), one["said"], one["remedy"]) for one in told["checks"]]
        return {one.name: one for one in findings}


def unprivileged() -> tuple[str, ...]:
    """Return what a command is prefixed with so that permissions stop it."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("as root, permissions are only felt with setpriv")
    return (setpriv, "--bounding-set=-dac_override,-dac_read_search,-fowner")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An installation without UconDB, in which all is well."""
    made = House(tmp_path)
    made.records.mkdir()
    made.work.mkdir()
    made.add_run(7)
    made.change("app", work_dir=str(made.work))
    made.change("source_files", run_records_dir=str(made.records))
    made.change("artdaq_db", database_uri=f"filesystemdb://{made.database}")
    yield made
    for directory, names, files in os.walk(tmp_path):
        for name in (*names, *files):
            with contextlib.suppress(OSError):
                Path(directory, name).chmod(0o700)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The bundled UconDB server, with the folders test01 and pending01, and the user writer."""
    site = Site(tmp_path_factory.mktemp("ucondb"))
    site.serve("--folder", "pending01")
    yield site
    for child in site.children:
        child.kill()
        child.wait()


@pytest.fixture
def full_house(house: House, server: Site) -> House:
    """The same with UconDB."""
    keys = {"folder_name": "test01", "object_name": "configuration", "writer_user": "writer"}
    house.change("ucon_db", server_url=server.url, writer_password=PASSWORD, **keys)
    return house


@contextlib.asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any], pem: str | None = None
) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1, with TLS if a certificate is named; give the port."""
    context = None
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEMS / pem)
    tasks: set[asyncio.Task[Any]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    listener = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def relayed_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """Return what passes every exchange on to another port."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_pump(reader, downstream), _pump(upstream, writer))
        finally:
            downstream.close()

    return relay


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


def answering(
    answer: Callable[[str, str, bool], tuple[int, str, dict[str, str]]],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """Return an HTTP server: ``answer`` takes method, path, and whether a login came; gives status, body, headers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        status, body, headers = answer(method, path, "\r\nauthorization:" in head.lower())
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Forbidden' if status == 403 else 'Unauthorized'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body.encode())}", "Connection: close"]
        writer.write("\r\n".join([*lines, "", body]).encode())
        await writer.drain()

    return serve
