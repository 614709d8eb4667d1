"""The vocabulary of discrepancies: complete, in one place, and its remedies can be followed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import archiverd
from archiverd.audit.anomalies import Anomaly, Discrepancy, address, describe_lost_source
from archiverd.cli import main
from archiverd.control.fields import MessageError

if TYPE_CHECKING:
    from collections.abc import Collection

SOURCES = Path(archiverd.__file__).parent
VOCABULARY = SOURCES / "audit" / "anomalies.py"


def existing_options(words: list[str]) -> set[str]:
    """Return the options of the command that ``words`` begin with; fail if there is none."""
    command: click.Command = main.cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"there is no command {' '.join(words)}"
        command = found
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("kind", Discrepancy)
def test_every_kind_has_a_fact_and_an_action(kind: Discrepancy) -> None:
    """A kind without words is an error of ours, found here and not by an operator."""
    assert kind.fact
    assert kind.action([])
    assert kind.remedy([]) == f"{kind.fact}: {kind.action([])}"


@pytest.mark.parametrize("kind", Discrepancy)
def test_no_words_of_a_kind_stand_anywhere_else(kind: Discrepancy) -> None:
    """Its fact and the first words of its action are in the vocabulary and in no other module."""
    start = " ".join(kind.action([]).split()[:6])
    for path in SOURCES.rglob("*.py"):
        written = re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
        assert path == VOCABULARY or kind.fact not in written, path
        assert path == VOCABULARY or kind.action([]) == "report it" or start not in written, path


@pytest.mark.parametrize("remedy", [*(kind.remedy([]) for kind in Discrepancy), describe_lost_source(7)])
def test_every_command_that_a_remedy_names_exists(remedy: str) -> None:
    """With its subcommand and its options."""
    for words in (command.split() for command in re.findall(r"`archiverd ([^`]*)`", remedy)):
        assert {word for word in words if word.startswith("--")} <= existing_options(words)


def test_an_anomaly_crosses_the_control_socket() -> None:
    """What JSON shows of it is enough to make it again; a kind that nobody knows is refused."""
    anomaly = Anomaly(7, Discrepancy.REUSED, "another run")
    assert Anomaly.from_json(anomaly.to_json()) == anomaly
    with pytest.raises(MessageError, match="state must be reused or"):
        Anomaly.from_json({**anomaly.to_json(), "state": "odd"})


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ((7,), "`rearchive 7` or `release 7`"),
        ((9, 7), "`rearchive 7 9` or `release 7` (likewise each of the others)"),
        (range(1, 12), "`rearchive 1` or `release 1` (likewise each of the others)"),
        ((), "`rearchive RUN` or `release RUN`"),
    ],
)
def test_a_remedy_names_the_runs_that_it_is_for(runs: Collection[int], told: str) -> None:
    """A command can be typed as it stands; where it takes one run, or there are many, the first is the example."""
    assert address("`rearchive RUN` or `release RUN`", runs) == told
    assert address("put it back", runs) == "put it back"


@pytest.mark.parametrize("kind", Discrepancy)
def test_no_remedy_of_a_known_run_says_run(kind: Discrepancy) -> None:
    """Neither for one nor for many."""
    for runs in ((7,), (7, 9), range(1, 99)):
        assert "RUN" not in kind.remedy(runs)
