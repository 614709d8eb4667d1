"""The commands that help and completion name without importing them, and what is imported when one is invoked."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from archiverd.cli.config import config
from archiverd.cli.lazy_group import LazyGroup
from archiverd.cli.main import cli
from archiverd.cli.shell_completion import VARIABLE
from tests.waiting import DEADLINE_SECONDS

WIDE = 200
"""More characters than any short help has, so that click cuts none."""

HEAVY = {"asyncio", "httpx", "pydantic", "sqlite3", "structlog", "rich"}
"""Packages that help and a quick `status` do without."""


assert isinstance(cli, LazyGroup)
assert isinstance(config, LazyGroup)
MODULES = {f"archiverd.cli.{name.replace('-', '_')}" for name in cli.short_helps}
"""The modules of the commands."""


def modules_after(*arguments: str, environment: dict[str, str] | None = None) -> set[str]:
    """Return the modules that a process has imported after it ran the command line with ``arguments``."""
    script = (
        "import atexit, sys; from archiverd.cli.main import main; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("group", [cli, config], ids=lambda group: str(group.name))
def test_the_table_has_each_commands_own_name_and_short_help(group: LazyGroup) -> None:
    """What help lists without an import is what the command says of itself."""
    context = click.Context(group)
    assert group.list_commands(context) == list(group.short_helps)
    for name, text in group.short_helps.items():
        command = group.get_command(context, name)
        assert command is not None
        assert (command.name, command.get_short_help_str(WIDE)) == (name, text)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_no_command(arguments: tuple[str, ...]) -> None:
    """Help lists the commands in the order of the table, and imports neither one of them nor what is heavy."""
    imported = modules_after(*arguments)
    assert imported & (HEAVY | MODULES) == set()


def test_help_lists_the_commands_in_the_order_of_the_table() -> None:
    """Reading comes first, then archiving, deciding, the daemon, and tools."""
    printed = CliRunner().invoke(cli, ["--help"]).output
    places = [printed.index(f"\n  {name} ") for name in cli.short_helps]
    assert places == sorted(places)


def test_a_command_imports_no_other() -> None:
    """`fhicl --help` imports that command's module and none of the others."""
    imported = modules_after("fhicl", "--help")
    assert imported & MODULES == {"archiverd.cli.fhicl"}


@pytest.mark.parametrize("words", ["why ", "waive ", "release ", "export ", "retry import "])
def test_a_run_number_completes_without_heavy_imports(words: str) -> None:
    """Somebody waits at every Tab: the journal is read, and nothing is imported that only the command needs."""
    line = f"archiverd {words}"
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()))}
    imported = modules_after(environment={**os.environ, **asked})
    assert "archiverd.cli.run_number" in imported
    assert imported & HEAVY == {"sqlite3"}


def test_a_name_that_is_no_command_is_none() -> None:
    """The name of another module of the package is no command."""
    assert cli.get_command(click.Context(cli), "main") is None
    assert cli.get_command(click.Context(cli), "ucondb_server") is None


def test_a_name_completes_without_an_import() -> None:
    """The commands and options that begin with what was typed, with their short help."""
    found = cli.shell_complete(click.Context(cli), "re")
    assert [item.value for item in found] == ["rearchive", "retry", "recover", "reconcile", "release", "resume"]
    assert found[-1].help == "Let a paused daemon go on."
    assert [item.value for item in cli.shell_complete(click.Context(cli), "--ver")] == ["--verbose", "--version"]
