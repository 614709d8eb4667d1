"""A newcomer adds a converter and a notifier by the files that docs/extending.md names, and by no other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd import _fhicl
from archiverd.runrecord.blob import unpack
from tests.e2e.conftest import Site, bare_site
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["bare_site"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extending.md"
ADDITIONS = {"A converter": "hv_settings", "A notifier": "webhook"}
"""The page's sections with an example, and the example's name."""

CHECKS = {
    "A converter": ("tests/runrecord/test_registry.py", "tests/runrecord/test_converters.py"),
    "A notifier": ("tests/notify/test_registry.py", "tests/notify"),
}
"""What tries an addition, beside the tests of example and documentation."""

OWN_SOURCE_FIRST = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
"""
"""Takes away what an editable install imports archiverd by, so that $PYTHONPATH rules."""

HV_SETTINGS = "# channel volts\ncrate0_ch1\t1500.0\ncrate0_ch2 off\n"


@dataclass(frozen=True)
class Change:
    """What the page says of one file: its whole text, or lines to put in."""

    path: str
    language: str
    text: str

    def apply(self, root: Path) -> None:
        """Change the file below ``root``, or make it."""
        path = root / self.path
        if self.language != "diff":
            assert not path.exists(), f"{self.path} is there already"
            path.write_text(self.text)
            return
        now = path.read_text()
        for hunk in re.split(r"^@@\n", self.text, flags=re.MULTILINE):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
            after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
            assert f"\n{now}".count(f"\n{before}") == 1, f"the page's lines are not once in {self.path}:\n{before}"
            now = f"\n{now}".replace(f"\n{before}", f"\n{after}")[1:]
        path.write_text(now)


@cache
def changes(section: str) -> tuple[Change, ...]:
    """Return what a section of the page says, a file each, in its order."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = []
    for step in text.split("\n### ")[1:]:
        (path,) = re.findall(r"\A\d+\. `([^`]+)`", step)
        ((language, block),) = re.findall(r"^```(python|diff)\n(.*?)^```$", step, re.DOTALL | re.MULTILINE)
        found.append(Change(path, language, block))
    return tuple(found)


def copied(root: Path, wanted: Iterable[Change]) -> Path:
    """Copy the project to ``root``, the built engine in its place, and change it."""
    built = Path(_fhicl.__file__)
    unwanted = shutil.ignore_patterns("__pycache__", "*.so")
    for top in ("src", "tests", "docs"):
        shutil.copytree(ROOT / top, root / top, ignore=unwanted)
    for file in ("archiverd.toml.example", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, root / file)
    shutil.copy(built, root / "src" / "archiverd" / built.name)
    (root / "src" / "sitecustomize.py").write_text(OWN_SOURCE_FIRST)
    for change in wanted:
        change.apply(root)
    return root


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which archiverd is the copy."""
    return {**os.environ, "PYTHONPATH": str(root / "src")}


def checked(root: Path, section: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the copy's own tests that an addition is checked by, and ``more`` of them."""
    common = ("tests/packaging/test_example.py", "tests/docs/test_configuration.py", "tests/docs/test_docs.py")
    chosen = f"{ADDITIONS[section]} or registry or example or test_configuration"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", chosen]
    return subprocess.run(
        [*command, *CHECKS[section], *common, *more],
        cwd=root,
        env=environment(root),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


class Inbox(HTTPServer):
    """Takes posts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[dict[str, object]] = []


class Handler(BaseHTTPRequestHandler):
    """Notes what is posted."""

    def do_POST(self) -> None:
        assert isinstance(self.server, Inbox)
        self.server.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Return a server that runs while the test does."""
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_both_are_seen_wherever_such_things_are_seen(
    bare_site: Site, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real program shows them in its configuration and `check`, archives the file, and notifies of a failed run."""
    root = copied(tmp_path / "copy", [*changes("A converter"), *changes("A notifier")])
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    site = bare_site
    site.serve()
    url = f"http://127.0.0.1:{inbox.server_port}/hook"
    site.settings = f'[reporting.webhook]\nenabled = true\nurl = "{url}"\ntoken = "pl4nted-t0ken"\n'
    site.configure()
    site.config.write_text(site.config.read_text().replace("[artdaq_db]", '[artdaq_db]\nunmatched = "fail"'))
    site.make("--runs", "2", "--first", "7", "--profile", "demo", "--fcl", "dumped", "--crash", "0", "--gaps", "0")
    for run, file, text in ((7, "hv_settings.txt", HV_SETTINGS), (8, "broken01.fcl", "a: {\n")):
        directory = site.records / str(run)
        directory.chmod(0o755)
        (directory / file).write_text(text)

    shown = site.run("config", "show").stdout
    assert re.search(r"fhiclize_generate .*\bhv_settings\b", shown), shown
    assert re.search(rf"url += +\"?{url}", shown), shown
    assert "pl4nted" not in shown
    report = site.run("check").stdout
    assert re.search(r"^ok +notify webhook +reached; nothing was sent$", report, re.MULTILINE), report
    assert site.run("once").returncode == 1
    files = dict(unpack(site.blob(7)).files)
    assert files["hv_settings.fcl"] == b'\ncrate0_ch1: 1500.0 \n\ncrate0_ch2: "off" \n'
    assert [(post["topic"], post["runs"]) for post in inbox.posts] == [("Failures", [8])]


def test_every_file_that_the_page_names_exists() -> None:
    """But those that a newcomer makes: called after the addition, ``NAME``, or marked as new."""
    named = re.findall(r"`((?:src|tests|docs)/[^`\s]+)`(?! \(new\))", PAGE.read_text())
    made = {change.path for section in ADDITIONS for change in changes(section) if change.language != "diff"}
    assert [path for path in named if "NAME" not in path and path not in made and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("section", ADDITIONS)
def test_an_addition_passes_what_checks_it(section: str, tmp_path: Path) -> None:
    """With every file of the page the project's own tests and rules are content; the tests of the page among them."""
    root = copied(tmp_path, changes(section))
    done = checked(root, section, "tests/test_architecture.py")
    assert done.returncode == 0, done.stdout + done.stderr
    sources = [change.path for change in changes(section) if change.path.endswith(".py")]
    ruff = Path(sys.executable).parent / "ruff"
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run([ruff, *command, *sources], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("section", "forgotten"), [(section, change.path) for section in ADDITIONS for change in changes(section)]
)
def test_a_forgotten_file_is_noticed(section: str, forgotten: str, tmp_path: Path) -> None:
    """Whichever file of the page a newcomer leaves out, the project's own tests fail."""
    root = copied(tmp_path, [change for change in changes(section) if change.path != forgotten])
    done = checked(root, section)
    assert done.returncode != 0, done.stdout


def test_what_is_not_registered_is_not_seen(bare_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry is what makes an addition known: without it neither the configuration nor `check` shows it."""
    wanted = [*changes("A converter"), *changes("A notifier")]
    root = copied(tmp_path / "copy", [change for change in wanted if not change.path.endswith("/registry.py")])
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    assert "hv_settings" not in bare_site.run("config", "show").stdout
    report = bare_site.run("check").stdout
    assert "notify slack" in report
    assert "notify webhook" not in report
