"""docs/reference/contract.md names the commands, options and settings that there are."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from pydantic import BaseModel, SecretStr

from archiverd.config.models import Settings
from archiverd.config.section import Section
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONTRACT = (ROOT / "docs" / "reference" / "contract.md").read_text(encoding="utf-8")


def commands() -> dict[str, click.Command]:
    """Return every command by its words, those of groups too."""
    from archiverd.cli import main

    def below(group: click.Group, words: str = "") -> Iterator[tuple[str, click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from below(command, f"{words}{name} ")
            elif command is not None:
                yield f"{words}{name}", command

    return dict(below(main.cli))


def rows() -> dict[str, set[str]]:
    """Return the commands of the contract with the options that its table gives them."""
    found: dict[str, set[str]] = {}
    for cell in re.findall(r"^\| (`archiverd .*?) \| ", CONTRACT, re.MULTILINE):
        for text in re.findall(r"`archiverd ([^`]+)`", cell):
            words = text.split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
            found.setdefault(name, set()).update(re.findall(r"--[a-z-]+", text))
    return found


def test_the_contract_has_every_command_and_no_other() -> None:
    """Each command is a row of the table, and each row is a command; `retry import` and the like are arguments."""
    assert set(rows()) == set(commands())


def test_the_contract_has_every_option_and_no_other() -> None:
    """The options of a row are those of the command; all have `--help`, those that report `--json`."""
    for name, options in rows().items():
        there = {option for parameter in commands()[name].params for option in parameter.opts if option[:2] == "--"}
        assert options == there - {"--json", "--help"}, name


def test_the_contract_has_every_global_option() -> None:
    """The options before the command are named."""
    from archiverd.cli import main

    (line,) = re.findall(r"Global options: (.*?)\n?Data goes", CONTRACT, re.DOTALL)
    there = {option for parameter in main.cli.params for option in parameter.opts if option[:2] == "--"}
    assert set(re.findall(r"--[a-z-]+", line)) == there


def test_the_contract_has_the_launchers_flags() -> None:
    """`run_archiver.sh --help` names the flags of the contract, and no other."""
    (line,) = re.findall(r"the older tool's launcher: `(.*?)`", CONTRACT)
    done = subprocess.run(
        [ROOT / "run_archiver.sh", "--help"], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    assert set(re.findall(r"--[a-z-]+", line)) == set(re.findall(r"--[a-z-]+", done.stdout))


def sections(kind: type[BaseModel], name: str = "") -> dict[str, type[BaseModel]]:
    """Return the sections of the settings, inner ones too, by their names in the file."""
    found: dict[str, type[BaseModel]] = {}
    for key, settings in kind.model_fields.items():
        inner = settings.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            below = sections(inner, f"{name}{key}.")
            found |= below or {f"{name}{key}": inner}
    return found


def test_the_contract_has_every_section() -> None:
    """The table of the configuration has the sections that there are."""
    assert re.findall(r"^\| `\[([\w.]+)\]` \|", CONTRACT, re.MULTILINE) == list(sections(Settings))


@pytest.mark.parametrize("section", sections(Settings))
def test_the_contract_has_every_setting_with_its_default(section: str) -> None:
    """Keys and defaults of a section are those of the program, in its order."""
    (cell,) = re.findall(rf"^\| `\[{re.escape(section)}\]` \| (.*) \|$", CONTRACT, re.MULTILINE)
    named = re.findall(r"`(\w+)`(?: \((.*?)\)(?=[,:]|$))?", cell)
    fields = sections(Settings)[section].model_fields
    assert [key for key, _ in named] == list(fields)
    for key, shown in named:
        default = fields[key].default
        if fields[key].is_required():
            assert shown == "required", key
        elif shown and "required" not in shown:
            value = tomllib.loads(f"value = {shown}")["value"]
            assert value == (list(default) if isinstance(default, tuple) else default), key
        else:
            assert default is None or default == "" or isinstance(default, SecretStr), key
