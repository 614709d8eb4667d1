"""Somebody new, with nothing but README and `--help`: sets archiverd up, breaks it, and mends it with what it says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core.machine import State

if TYPE_CHECKING:
    import subprocess

    from tests.runbook.conftest import Desk

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PASSWORD = "ARCHIVERD_UCON_DB__WRITER_PASSWORD"


@dataclass
class Newcomer:
    """Types commands that README or `--help` name, in a shell that has the password."""

    desk: Desk
    password: str
    helped: dict[str, str] = field(default_factory=dict)
    """What was read of `--help`, by command."""

    def types(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type ``archiverd …``; every word that is no argument must have been read somewhere."""
        words = command.split()
        read = README + self._help("archiverd")
        assert words[1] in read, f"who would know of {words[1]}?"
        options = [word for word in words if word.startswith("--")]
        if options:
            read += self._help(f"archiverd {words[1]}")
        assert all(option in read for option in options), f"who would know of {options}?"
        return self._finish(command)

    def _help(self, command: str) -> str:
        """Read a command's help, once."""
        if command not in self.helped:
            self.helped[command] = self._finish(f"{command} --help").stdout
        return self.helped[command]

    def _finish(self, command: str) -> subprocess.CompletedProcess[str]:
        environment = {PASSWORD: self.password, "ARCHIVERD_CONFIG": str(self.desk.root / "archiverd.toml")}
        return self.desk.typed(command, unprivileged=True, **environment)

    def failing(self) -> dict[str, str]:
        """Return what `check` finds wrong, by line: what it says and what to do."""
        done = self.types("archiverd check --json")
        lines = [line for line in json.loads(done.stdout)["checks"] if line["status"] == "failed"]
        assert (done.returncode, bool(lines)) in ((0, False), (1, True))
        return {line["name"]: f"{line['said']}: {line['remedy']}" for line in lines}


def set_up(desk: Desk) -> Path:
    """Write the README's configuration with this site's values; return its path."""
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    values = {
        "work_dir": str(desk.work),
        "run_records_dir": str(desk.records),
        "database_uri": f"filesystemdb://{desk.root}/artdaqdb",
        "server_url": desk.url,
        "folder_name": "test01",
        "writer_user": "writer",
    }
    for key, value in values.items():
        block, found = re.subn(rf'(?m)^{key} = ".*"$', f'{key} = "{value}"', block)
        assert found == 1, key
    path = desk.root / "archiverd.toml"
    path.write_text(block)
    return path


def test_five_faults_and_what_archiverd_says(desk: Desk) -> None:
    """Each fault is seen, named and mended by what `config check`, `check`, `status` or `why` print; nothing else."""
    config = set_up(desk)
    user = Newcomer(desk, desk.password)
    assert user.types("archiverd config check").returncode == 0
    assert user.failing() == {}
    desk.one_run()
    assert user.types("archiverd once").returncode == 0
    desk.prove(7)

    # A slip of the pen.
    config.write_text(config.read_text().replace("folder_name", "foldername"))
    said = user.types("archiverd config check")
    assert said.returncode == 1
    meant = re.search(r"did you mean (\w+)\?", said.stderr)
    assert meant is not None
    config.write_text(config.read_text().replace("foldername", meant[1]))
    assert user.types("archiverd config check").returncode == 0

    # Another password.
    user.password = "not-the-one"
    desk.one_run(20)
    assert user.types("archiverd once").returncode == 1
    assert "writer_password" in user.types("archiverd why 20").stdout
    (wrong,) = user.failing().items()
    assert (wrong[0], "writer_password" in wrong[1]) == ("UconDB login", True)
    user.password = desk.password
    assert user.types("archiverd once").returncode == 0
    desk.prove(7, 20)

    # Run records that may not be read.
    desk.records.chmod(0)
    assert user.types("archiverd once").returncode == 1
    closed = user.failing()
    desk.records.chmod(0o755)
    assert any(str(desk.records) in words for words in closed.values())
    assert user.types("archiverd once").returncode == 0

    # A server that is down.
    server = desk.children[0]
    server.kill()
    server.wait()
    desk.one_run(30)
    assert user.types("archiverd once").returncode == 1
    told = user.types("archiverd status --probe")
    assert told.returncode == 1
    assert "Connection refused" in told.stdout + told.stderr
    assert [name for name in user.failing() if name.startswith("UconDB")] == ["UconDB port"]
    desk.serve()
    assert user.types("archiverd status --probe").returncode == 0
    assert user.types("archiverd once").returncode == 0
    assert user.failing() == {}
    desk.prove(7, 20, 30)

    # A number that was used twice.
    desk.lose_the_journal()
    metadata = desk.records / "20" / "metadata.txt"
    metadata.write_text(re.sub(r"(start time: ).*", r"\1Mon Jan  1 00:00:00 UTC 2001", metadata.read_text()))
    assert user.types("archiverd once").returncode == 1
    assert re.search(r"\b20\b", user.types("archiverd status").stdout)
    advice = re.search(r"`(archiverd waive 20 --reason) …`", user.types("archiverd why 20").stdout)
    assert advice is not None
    assert user.types(f"{advice[1]} cosmics").returncode == 0
    assert user.types("archiverd once").returncode == 0
    assert desk.rows()[20].state is State.WAIVED
    assert desk.versions() == {7: 1, 20: 1, 30: 1}
