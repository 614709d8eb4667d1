"""A site as readers of the troubleshooting guide have it: config.yaml, run_archiver.sh, archiver.log."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from archiverd.core.machine import State
from tests.e2e.conftest import Site
from tests.runbook.front import Front
from tests.waiting import DEADLINE_SECONDS, NEVER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "run_archiver.sh"
UNPRIVILEGED = Path(__file__).with_name("unprivileged.py")
RUNS = ("--profile", "demo", "--fcl", "dumped", "--gaps", "0", "--crash", "0", "--no-chmod")


@dataclass
class Desk(Site):
    """One detector's archive, and what its operators type; everything archiverd says stands in archiver.log."""

    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def archiver_log(self) -> Path:
        return self.work / "archiver.log"

    @property
    def launcher_directory(self) -> Path:
        return LAUNCHER.parent

    def configure(self, **app: object) -> None:
        """Write config.yaml anew; ``app`` adds keys to its section."""
        self.edit("app", **app)

    def edit(self, section: str, **keys: object) -> None:
        """Change keys of a section of config.yaml, as with an editor; None takes one out."""
        self.changes.setdefault(section, {}).update(keys)
        sections: dict[str, Any] = {
            "app": {"work_dir": str(self.work), "retry_delay_seconds": 0.2, "drain_timeout_seconds": NEVER_SECONDS},
            "source_files": {"run_records_dir": str(self.records)},
            "watch": {"settle_seconds": 0.1},
            "artdaq_db": {"database_uri": f"filesystemdb://{self.root}/artdaqdb"},
            "ucon_db": {
                "server_url": self.url,
                "folder_name": "test01",
                "object_name": "configuration",
                "writer_user": "writer",
                "writer_password": self.password,
                "timeout_seconds": NEVER_SECONDS,
            },
        }
        for name, changed in self.changes.items():
            merged = {**sections.get(name, {}), **changed}
            sections[name] = {key: value for key, value in merged.items() if value is not None}
        generated = sections.pop("fhiclize_generate", {})
        self.config.write_text(yaml.safe_dump({**generated, **sections}, sort_keys=False))

    def archiver(self, *flags: str, unprivileged: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `./run_archiver.sh config.yaml` with ``flags`` to its end."""
        command = [*self._guarded(unprivileged), str(LAUNCHER), str(self.config), *flags]
        return self._finish(command, environment)

    def launch(self, *flags: str) -> subprocess.Popen[str]:
        """Start `./run_archiver.sh config.yaml`; its words go to the log, and the test may send it signals."""
        with (self.root / "daemon.log").open("a") as log:
            command = [str(LAUNCHER), str(self.config), *flags]
            process = subprocess.Popen(command, cwd=self.root, stdout=log, stderr=log, text=True)
        self.children.append(process)
        return process

    def serve_slowly(self, seconds: float = 0.5) -> None:
        """Let the server wait before each answer."""
        server = self.children[0]
        server.kill()
        server.wait()
        self.serve("--fault", f"latency={seconds}")

    def run(self, *command: str, unprivileged: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run an archiverd command to its end."""
        argv = [*self._guarded(unprivileged), sys.executable, "-m", "archiverd", "--config", str(self.config)]
        return self._finish([*argv, *command], environment)

    def typed(self, command: str, *, unprivileged: bool, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command line of plain words to its end."""
        return self._finish([*self._guarded(unprivileged), *command.split()], environment)

    def shell(self, script: str, **environment: str) -> str:
        """Run what the guide has people type, in the work directory; return what it prints."""
        done = self._finish(["bash", "-c", script], environment, cwd=self.work)
        return done.stdout + done.stderr

    def prove(self, *runs: int) -> None:
        """The runs are verified, and UconDB holds the very bytes (I1)."""
        rows = self.rows()
        assert {run: rows[run].state for run in runs} == dict.fromkeys(runs, State.VERIFIED)
        for run in runs:
            self.assert_proven(rows[run])

    def failed(self, name: str) -> list[int]:
        """Return what a failure log says."""
        return [int(line) for line in (self.work / name).read_text().split()]

    def one_run(self, run: int = 7) -> None:
        """Write one run's record."""
        self.make(*RUNS, "--runs", "1", "--first", str(run))

    def three_runs(self) -> None:
        """Write the records of runs 7 to 9."""
        self.make(*RUNS, "--runs", "3", "--first", "7")

    def break_run(self, run: int) -> None:
        """Put a file that is not FHiCL into a run's record, where none may be left out."""
        self.edit("artdaq_db", unmatched="fail")
        (self.records / str(run) / "broken01.fcl").write_text("a: 1\nb: { c: 2\n")

    def mend_run(self, run: int) -> None:
        """Mend that file."""
        (self.records / str(run) / "broken01.fcl").write_text("a: 1\nb: { c: 2 }\n")

    def _guarded(self, unprivileged: bool) -> list[str]:
        return [sys.executable, str(UNPRIVILEGED)] if unprivileged else []

    def _finish(
        self, command: list[str], environment: dict[str, str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        full = {**os.environ, "PATH": path, **self.environment, **environment}
        return subprocess.run(
            command,
            cwd=cwd or self.root,
            env=full,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )


@contextlib.contextmanager
def a_desk(root: Path) -> Iterator[Desk]:
    """Give a site whose UconDB server is away: nobody listens at its address."""
    desk = Desk(root)
    desk.records.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        desk.url = f"http://127.0.0.1:{free.getsockname()[1]}/inst/app"
    desk.configure()
    try:
        yield desk
    finally:
        desk.close()


@pytest.fixture
def lone_desk(tmp_path: Path) -> Iterator[Desk]:
    """A site whose UconDB server is away."""
    with a_desk(tmp_path) as desk:
        yield desk


@pytest.fixture(scope="module")
def kept_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with a server for tests of a module that only look."""
    with a_desk(tmp_path_factory.mktemp("desk")) as desk:
        desk.serve()
        desk.configure()
        yield desk


@pytest.fixture
def desk(lone_desk: Desk) -> Desk:
    """A site with a server."""
    lone_desk.serve()
    lone_desk.configure()
    return lone_desk


@pytest.fixture
def front(desk: Desk) -> Iterator[Front]:
    """A front end before the server, which the site goes through."""
    with Front(desk.url).running() as front:
        desk.edit("ucon_db", server_url=front.url)
        yield front
