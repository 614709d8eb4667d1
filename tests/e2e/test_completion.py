"""Completion as a shell asks for it, and errors as somebody meets them who mistypes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import Event
from archiverd.core.priority import Lane
from archiverd.journal.journal import Journal
from archiverd.journal.transitions import Transition
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

BIN = Path(sys.executable).parent
SHELLS = ("bash", "zsh", "fish")

TOO_GREAT = "99999999999999999999"
"""No run number: SQLite could not hold it."""


def environment(**variables: str) -> dict[str, str]:
    """Return the environment in which ``archiverd`` is found."""
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **variables}


async def fill(path: Path) -> None:
    """Make a journal: 101 verified, 102 quarantined, 103 waived, 104 open, 210 queued."""
    journal = Journal(path, clock=time.time)
    await journal.open()
    await journal.see([101, 102, 103, 104, 210], Lane.FRESH)
    await journal.record(*(Transition(run, Event.ENDED) for run in (101, 102, 103, 210)))
    await journal.record(
        Transition(101, Event.IMPORT_BEGINS), Transition(102, Event.IMPORT_BEGINS), Transition(103, Event.WAIVED)
    )
    await journal.record(
        Transition(101, Event.IMPORT_DONE, "", {"imported_at": 1.0}), Transition(102, Event.FAILED_FOR_GOOD)
    )
    await journal.record(Transition(101, Event.UPLOAD_BEGINS))
    await journal.record(Transition(101, Event.UPLOAD_PROVEN, "", {"verified_at": 1.0}))
    await journal.close()


def complete(site: Site, *words: str) -> list[str]:
    """Return what bash offers for the last of ``words``, through the script that archiverd prints."""
    script = (
        'eval "$(archiverd completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_archiverd_completion archiverd "${COMP_WORDS[COMP_CWORD]}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "--norc", "-c", script, "bash", "archiverd", "-c", str(site.root / "archiverd.toml"), *words]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("why", ""), ["210", "104", "103", "102", "101"]),
        (("why", "21"), ["210"]),
        (("why", "9"), []),
        (("retry", "import", ""), ["102"]),
        (("retry", "import", "102", ""), []),
        (("waive", ""), ["210", "104", "102"]),
        (("release", ""), ["103", "102"]),
        (("export", ""), ["101"]),
        (("runs", "--state", "q"), ["queued", "quarantined"]),
        (("sta",), ["status"]),
        (("status", "--co"), ["--compare-state"]),
        (("export", "101", "x", "--from", ""), ["artdaqdb", "ucondb"]),
    ],
)
def test_bash_completes(bare_site: Site, words: tuple[str, ...], offered: list[str]) -> None:
    """Commands, options, states, and for each command the runs that it can be used with, the newest first."""
    bare_site.work.mkdir()
    asyncio.run(fill(bare_site.work / "journal.sqlite"))
    assert complete(bare_site, *words) == offered


@pytest.mark.parametrize("broken", ["no journal", "damaged journal", "no configuration", "wrong configuration"])
def test_completion_never_makes_noise(bare_site: Site, broken: str) -> None:
    """Whatever is missing or damaged, a Tab offers no run numbers and prints nothing."""
    config = bare_site.root / "archiverd.toml"
    if broken == "damaged journal":
        bare_site.work.mkdir()
        (bare_site.work / "journal.sqlite").write_bytes(b"not a database" * 1000)
    elif broken == "no configuration":
        config.unlink()
    elif broken == "wrong configuration":
        config.write_text("[app\n")
    assert complete(bare_site, "why", "") == []
    assert "status" in complete(bare_site, "no-such-command", "")
    assert complete(bare_site, "stat") == ["status"]


def test_the_help_says_where_each_script_goes() -> None:
    """A line for each shell, as it is to be typed."""
    told = subprocess.run([BIN / "archiverd", "completion", "--help"], capture_output=True, text=True, check=True)
    lines = [line for line in told.stdout.splitlines() if line.endswith(("bashrc", "compinit", ".fish"))]
    assert [line.split()[0] for line in lines] == [f"{shell}:" for shell in SHELLS]
    assert "\\b" not in told.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_of_the_shells(shell: str) -> None:
    """Each shell gets its own script, which that shell (where there is one) can read, and asks archiverd at a Tab."""
    done = subprocess.run(
        [BIN / "archiverd", "completion", shell], capture_output=True, text=True, check=True, timeout=DEADLINE_SECONDS
    )
    assert done.stderr == ""
    assert f"_ARCHIVERD_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        check = subprocess.run(
            [shell, "-n"], input=done.stdout, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
        assert (check.returncode, check.stderr) == (0, "")
    word = "stat" if shell == "fish" else "1"  # fish tells the word, the others its place
    asked = environment(_ARCHIVERD_COMPLETE=f"{shell}_complete", COMP_WORDS="archiverd stat", COMP_CWORD=word)
    answer = subprocess.run(
        [BIN / "archiverd"], env=asked, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    assert "status" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("stauts",), ("No such command 'stauts'. Did you mean 'status'?", "`archiverd --help` tells")),
        (("config", "chek"), ("Did you mean 'check'?", "`archiverd config --help` tells")),
        (("status", "--prob"), ("No such option '--prob'. Did you mean '--probe'?", "`archiverd status --help` tells")),
        (("why", "x1"), ("'x1' is not a valid run number", "`archiverd why --help` tells")),
        (("why", "0"), ("0 is not in the range 1<=x<=999999999999999999", "`archiverd why --help` tells")),
        (("why", TOO_GREAT), (f"{TOO_GREAT} is not in the range", "`archiverd why --help` tells")),
        (("release", TOO_GREAT), (f"{TOO_GREAT} is not in the range", "`archiverd release --help` tells")),
        (("waive", TOO_GREAT, "--reason", "x"), (f"{TOO_GREAT} is not in the range", "`archiverd waive --help` tells")),
        (("retry", "import", "101", TOO_GREAT), (f"{TOO_GREAT} is not in the range", "`archiverd retry --help` tells")),
        (("export", TOO_GREAT, "there"), (f"{TOO_GREAT} is not in the range", "`archiverd export --help` tells")),
        (("why",), ("Missing argument 'RUN'", "`archiverd why --help` tells")),
        (("runs", "--state", "done"), ("'done' is not one of 'open', 'queued'", "`archiverd runs --help` tells")),
        (("why", "999"), ("run 999 is not known", "5 runs are known, 101 to 210; a directory made just now")),
        (("runs",), ("", "")),
    ],
)
def test_a_mistake_is_met_with_help(bare_site: Site, arguments: tuple[str, ...], words: tuple[str, str]) -> None:
    """The nearest command or option, what was wrong, exit 1, and as the last line what to do."""
    bare_site.work.mkdir()
    asyncio.run(fill(bare_site.work / "journal.sqlite"))
    done = bare_site.run(*arguments)
    said, remedy = words
    assert done.returncode == (1 if said else 0)
    assert said in done.stderr
    if remedy:
        assert done.stderr.splitlines()[-1].startswith("Remedy: ")
        assert remedy in done.stderr.splitlines()[-1]


def test_without_a_configuration_it_is_said_what_to_do(tmp_path: Path) -> None:
    """Where it was looked for, and how to name one."""
    variables = {name: value for name, value in os.environ.items() if name != "ARCHIVERD_CONFIG"}
    command = [sys.executable, "-m", "archiverd", "status"]
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 1
    assert "ConfigurationError: No configuration file: looked for ./archiverd.toml and" in done.stderr
    assert "Remedy: name one with --config FILE or $ARCHIVERD_CONFIG; archiverd.toml.example is a start" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ucondb-server", "--listen", "nowhere"), "--listen nowhere is not HOST:PORT"),
        (("ucondb-server", "--listen", "127.0.0.1:65536"), "--listen 127.0.0.1:65536 is not HOST:PORT"),
        (("ucondb-server", "--fault", "nonsense=1"), "fault 'nonsense' is not one of latency, error"),
        (("ucondb-server", "--password-file", "/nowhere"), "Cannot read the password file /nowhere"),
        (("demo", "--keep", "/proc/nowhere"), "The demo cannot work in /proc/nowhere"),
        (("fhicl", "check", "/nowhere"), "Cannot read /nowhere"),
        (("drain",), "No daemon listens at"),
        (("waive", "7", "--reason", "x"), "There is no journal at"),
        (("artdaqdb", "check"), "There is no artdaqDB at"),
    ],
)
def test_whatever_is_refused_has_a_remedy(bare_site: Site, arguments: tuple[str, ...], words: str) -> None:
    """Servers, demo, tools, commands without a daemon: exit 1, no traceback, and as the last line what to do."""
    (bare_site.root / "pw").write_text("pw\n")
    words_of_server = (
        "--data",
        str(bare_site.root / "d"),
        "--user",
        "u",
        "--password-file",
        str(bare_site.root / "pw"),
    )
    more = words_of_server if arguments[0] == "ucondb-server" else ()
    done = bare_site.run(arguments[0], *more, *arguments[1:])
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert done.stderr.splitlines()[-1].startswith("Remedy: ")
