"""What ``--json`` prints has exactly the keys in docs/commands.md."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiverd.cli import main
from archiverd.core.machine import State
from tests.e2e.conftest import PASSWORD, bare_site, site
from tests.e2e.test_operations import DEMO, THREE_RUNS, unstop
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Site

__all__ = ["bare_site", "site"]

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
HEADING = re.compile(r"^### (`[^\n]*--json`[^\n]*)\n(.*?)(?=^#)", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^\| (`.*?) \|", re.MULTILINE)
WITHOUT = {
    "run": "only logs",
    "demo": "is for people to watch",
    "ucondb-server": "is a server",
    "completion": "prints a script",
    "config migrate": "prints a configuration",
    "fhicl to-json": "prints a document",
    "fhicl from-json": "prints FHiCL",
}
"""Commands that report nothing."""


def expanded(path: str) -> list[str]:
    """Return the paths that ``a.{b,c}`` stands for."""
    match = re.fullmatch(r"(.*)\{(.*)\}(.*)", path)
    return [path] if match is None else [f"{match[1]}{name}{match[3]}" for name in match[2].split(",")]


def documented() -> dict[str, set[str]]:
    """Return, by command, the paths of every documented key."""
    found: dict[str, set[str]] = {}
    for heading, body in HEADING.findall(PAGE + "\n#"):
        paths = {one for cell in CELL.findall(body) for path in re.findall(r"`(.*?)`", cell) for one in expanded(path)}
        for command in re.findall(r"`(.*?) --json`", heading):
            found[command] = paths
    return found


@dataclass
class Shape:
    """The keys of one command's objects, against the documented ones."""

    documented: set[str]
    used: set[str] = field(default_factory=set)
    undocumented: set[str] = field(default_factory=set)

    def add(self, value: Any, path: str = "") -> None:
        """Record every key of ``value``; below a key that is documented as a whole nothing is recorded."""
        match = next(
            (one for one in self.documented if re.fullmatch(re.escape(one).replace(r"\*", r"[^.\[]+"), path)), None
        )
        if match is not None:
            self.used.add(match)
        elif isinstance(value, dict) and (value or not path):
            for key, inner in value.items():
                self.add(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list) and value:
            for inner in value:
                self.add(inner, f"{path}[]")
        elif value not in (None, [], {}) or not any(
            one.startswith((f"{path}.", f"{path}[]")) for one in self.documented
        ):
            self.undocumented.add(path)


class Recorder:
    """Runs commands and records the keys of what they print."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.shapes = {command: Shape(paths) for command, paths in documented().items()}

    def __call__(self, command: str, *arguments: str, of: str = "") -> dict[str, Any]:
        """Run a command with --json, record and return its object."""
        done = self.site.run(*command.split(), "--json", *arguments)
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert found.pop("version") == 1
        self.shapes[of or command].add(found)
        return found


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command by its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_every_reporting_command_has_json_and_is_documented() -> None:
    """A command either has --json and its keys in the page, or reports nothing."""
    having = {
        name for name, command in commands(main.cli) if any("--json" in parameter.opts for parameter in command.params)
    }
    assert {name for name, _ in commands(main.cli)} - having == set(WITHOUT)
    assert {command.partition(" --")[0] for command in documented()} | {
        "rearchive",
        "retry",
        "recover",
    } == having


def test_every_documented_key_is_there_and_no_other(site: Site) -> None:
    """A site with a bit of everything: trouble, an outage, a first phase, a frozen daemon, databases that differ."""
    site.children[0].terminate()
    site.children[0].wait()
    site.serve("--folder", "pending01", "--folder", "test02")
    site.settings = 'pending_folder_name = "pending01"\n'
    site.configure()
    config = site.root / "archiverd.toml"
    config.write_text(config.read_text().replace("[artdaq_db]", '[artdaq_db]\nunmatched = "fail"'))
    record = Recorder(site)
    site.make(*THREE_RUNS)
    unstop(site, 9)
    (site.records / "8" / "broken01.fcl").write_text("a: {")
    record("once --dry-run")
    (site.records / "01502").mkdir()
    assert record("once")["failed"][0]["run"] == 8
    assert record("retry", "import", "8", "12345678", of="once")["skipped"]
    record("recover", "migrate", of="once")
    reuse(site, 7)
    assert record("reconcile", "--deep")["states"]["reused"] == [7]
    assert record("once")["amiss"]
    assert record("status --compare-state", of="status")["causes"][0]["runs"] == [8]
    record("runs")
    for run in ("7", "8", "9"):
        record("why", run)
    assert record("export", "7", str(site.root / "out"))["proven"]
    record("config check")
    record("config show")
    record("check")
    record("artdaqdb check")
    broken = next((site.root / "artdaqdb" / "RunHistory").glob("*4*.json"))
    broken.write_text("{")
    assert record("artdaqdb check")["findings"]
    assert record("artdaqdb rebuild-index", "RunHistory")["left_out"]
    record("fhicl check", str(site.records / "8" / "broken01.fcl"))
    _unmounted(record)
    _elsewhere(record)
    _beside_a_daemon(record)
    record.shapes.pop("retry", None)
    assert {command: shape.undocumented for command, shape in record.shapes.items() if shape.undocumented} == {}
    missing = {
        command: shape.documented - shape.used
        for command, shape in record.shapes.items()
        if shape.documented - shape.used
    }
    assert missing == {}


def _unmounted(record: Recorder) -> None:
    """Run the command that ends the doubt about directories that are missing all at once."""
    records, away = record.site.records, record.site.root / "away"
    records.rename(away)
    records.mkdir()
    record("once")
    assert record("waive --missing", "--reason", "x")["gone"] == [7, 8, 9]
    records.rmdir()
    away.rename(records)
    record("once")


def _elsewhere(record: Recorder) -> None:
    """Run the commands that print all their keys only if other databases are configured than runs were archived in."""
    config = record.site.config
    before = config.read_text()
    config.write_text(before.replace('"test01"', '"test02"').replace("/artdaqdb", "/another"))
    assert record("once")["elsewhere"]
    assert record("release --destination")["skipped"]
    config.write_text(before)


def reuse(site: Site, run: int) -> None:
    """Let a run's directory hold the record of a run that started at another time."""
    metadata = site.records / str(run) / "metadata.txt"
    metadata.write_text(re.sub(r"(?m)(?<=start time: ).*", "Wed Jan  1 00:00:00 UTC 2020", metadata.read_text()))


def _beside_a_daemon(record: Recorder) -> None:
    """Run the commands that print all their keys only with a daemon, while UconDB is away."""
    site = record.site
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    record("pause")
    record("resume")
    site.children[1].kill()
    site.children[1].wait()
    site.make(*DEMO, "--runs", "4", "--crash", "0", "--first", "20")
    site.wait(lambda rows: 23 in rows and all(rows[run].state is State.IMPORTED for run in range(20, 24)))
    site.wait(lambda _: bool(site.holds()))
    record("status")
    record("status --probe", of="status")
    record("why", "23")
    record("once")
    record("waive", "--reason", "x", "8")
    record("release", "8")
    daemon.send_signal(signal.SIGSTOP)
    record("status")
    daemon.send_signal(signal.SIGCONT)
    record("drain")
    assert daemon.wait(DEADLINE_SECONDS) == 0
    assert PASSWORD not in site.log
