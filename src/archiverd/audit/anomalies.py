"""The kinds of discrepancy between run records, artdaqDB, UconDB and the journal, and the remedy of each.

Every command that finds a discrepancy (`once`, `reconcile`, `status`, `export`, `recover`) names and explains it in
the words of this module.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.control.fields import choice, fields_of, run_number, text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from archiverd.journal.rows import RunRow


class Discrepancy(enum.StrEnum):
    """A kind of discrepancy. JSON shows its value (`reconcile --json`, `once --json`)."""

    REUSED = "reused"
    CHANGED = "changed"
    MISSING_ARTDAQDB = "missing_artdaqdb"
    DIFFERS_ARTDAQDB = "differs_artdaqdb"
    ELSEWHERE = "elsewhere"
    NOT_COMPARED = "not_compared"
    MISSING_UCONDB = "missing_ucondb"
    DAMAGED = "damaged"
    DIFFERS = "differs"
    UNPROVEN = "unproven"
    UNACCOUNTED = "unaccounted"
    UNSEEN = "unseen"
    ORPHAN_ARTDAQDB = "orphan_artdaqdb"
    ORPHAN_UCONDB = "orphan_ucondb"

    @property
    def fact(self) -> str:
        """What is so, without a subject: ``in artdaqDB, without a directory and not known``."""
        return _WORDS[self][0]

    def action(self, runs: Collection[int]) -> str:
        """Return what an operator can do about ``runs``; DEST stands for a directory."""
        return address(_WORDS[self][1], runs)

    def remedy(self, runs: Collection[int]) -> str:
        """Return fact and action in one line."""
        return f"{self.fact}: {self.action(runs)}"


def address(action: str, runs: Collection[int]) -> str:
    """Return what to do with the numbers of ``runs`` in the place of RUN in its commands.

    A command that takes several runs gets all of a few; any other, and where there are many, gets the first as an
    example.
    """
    numbers = sorted(runs)
    if not numbers or "RUN" not in action:
        return action
    few = numbers if len(numbers) <= _MOST_NAMED else numbers[:1]
    named = _OF_SEVERAL.sub(rf"\1 {' '.join(map(str, few))}", action)
    if len(few) == len(numbers) and "RUN" not in named:
        return named
    more = "" if len(numbers) == 1 else " (likewise each of the others)"
    return named.replace("RUN", str(numbers[0])) + more


_MOST_NAMED = 10
"""Most runs that are named in one command."""
_OF_SEVERAL = re.compile(r"(rearchive|retry import|retry migrate) RUN\b", re.ASCII)
"""Commands that take several runs."""

_WORDS: Mapping[Discrepancy, tuple[str, str]] = {
    Discrepancy.REUSED: (
        "two runs cannot have one number, and nothing was overwritten",
        (
            "rename the directory to a free run number and its run is archived under that, or put the archived run's "
            "directory back"
        ),
    ),
    Discrepancy.CHANGED: (
        "its directory is not what was archived",
        (
            "`archiverd rearchive RUN` puts what was added or edited into artdaqDB, with `--override` into UconDB too; "
            "`archiverd rearchive RUN --accept` lets what was archived stand"
        ),
    ),
    Discrepancy.MISSING_ARTDAQDB: (
        "imported before, not in artdaqDB any more",
        (
            "is it the right database? ask who removed it, and restore it, or let `archiverd retry import RUN` import "
            "it again from its directory, `archiverd release --destination` all of them; what UconDB holds of it stays "
            "as it is"
        ),
    ),
    Discrepancy.DIFFERS_ARTDAQDB: (
        "UconDB has the bytes that were proven, artdaqDB does not give them any more",
        (
            "its document is damaged or was changed; restore it from a backup (`archiverd artdaqdb check` names what "
            "is unsound); of one that was imported into another artdaqDB `archiverd rearchive RUN --accept` says that "
            "it may stay there"
        ),
    ),
    Discrepancy.ELSEWHERE: (
        "verified in another UconDB, folder or object than the configured one, which does not have it",
        (
            "put [ucon_db] right if it is wrong; else `archiverd release --destination` lets such runs go there, or "
            "`archiverd rearchive RUN --accept` says that it may stay where it is"
        ),
    ),
    Discrepancy.NOT_COMPARED: (
        "verified elsewhere, or before it was noted where; the configured UconDB has a version of it that was not read",
        (
            "the daemon compares such runs by itself, some ten a second, and every `archiverd once` and `archiverd "
            "reconcile` a thousand of them; `archiverd reconcile --deep` compares all now"
        ),
    ),
    Discrepancy.MISSING_UCONDB: (
        "verified before, not in UconDB any more",
        (
            "one or two are uploaded again by themselves, or by `archiverd once`; after three in a row nothing is, for "
            "UconDB may be a restored or a wrong one: look at ucon_db.server_url and folder_name, ask its "
            "administrators; `archiverd release RUN` uploads one all the same, `release --destination` all of them"
        ),
    ),
    Discrepancy.DAMAGED: (
        "what UconDB holds of it cannot be read any more",
        (
            "ask UconDB's administrators; `archiverd retry migrate RUN` reads it again, `archiverd release RUN "
            "--override` replaces it by what artdaqDB has"
        ),
    ),
    Discrepancy.DIFFERS: (
        "UconDB's bytes are not those that were proven",
        (
            "compare them with what `archiverd export RUN DEST --from artdaqdb` gives, and ask UconDB's administrators "
            "who stored them; `archiverd release RUN --override` replaces them by what artdaqDB has; of one that was "
            "proven in another place `archiverd rearchive RUN --accept` says that it may stay there"
        ),
    ),
    Discrepancy.UNPROVEN: (
        "the journal does not tell how it was verified",
        "`archiverd why RUN`, then report it with the journal",
    ),
    Discrepancy.UNACCOUNTED: (
        "its directory holds a file that was neither archived nor left out by name",
        "report it",
    ),
    Discrepancy.UNSEEN: (
        "has a directory and was not looked at yet",
        "`archiverd run` or `archiverd once` does",
    ),
    Discrepancy.ORPHAN_ARTDAQDB: (
        "in artdaqDB, without a directory and not known",
        "`archiverd recover import` takes it up",
    ),
    Discrepancy.ORPHAN_UCONDB: (
        "in UconDB only",
        (
            "uploaded by somebody else, or directory and artdaqDB's documents were lost; `archiverd export RUN DEST "
            "--from ucondb` reads it; put its directory back and it is archived and compared, or let UconDB's "
            "administrators remove what should not be there: archiverd leaves it alone"
        ),
    ),
}
"""Fact and action of each kind."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A discrepancy of one verified run."""

    run: int
    kind: Discrepancy
    error: str
    """What was found, in words; empty where the kind says it all."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it (docs/commands.md)."""
        return {"run": self.run, "state": str(self.kind), "error": self.error, "remedy": self.kind.remedy([self.run])}

    @staticmethod
    def from_json(value: object) -> Anomaly:
        """Return the anomaly that ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "an anomaly") as fields:
            fields.take("remedy", text)
            return Anomaly(
                fields.take("run", run_number), fields.take("state", choice(Discrepancy)), fields.take("error", text)
            )


def find_faulty(row: RunRow) -> Anomaly | None:
    """Return what is wrong with what UconDB holds of a verified run, by the last proof of it; None if nothing is."""
    return None if row.blob_fault is None else Anomaly(row.run, Discrepancy(row.blob_fault), row.error)


def describe_lost_source(run: int) -> str:
    """Say what to do about a run that artdaqDB has lost and whose directory is gone."""
    return (
        "artdaqDB has lost it and its directory is gone: put one of them back; "
        f"`archiverd export {run} DEST` writes what UconDB has of it"
    )
