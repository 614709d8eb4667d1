"""A run number as a command's argument, completed from the journal.

A completion is asked for at every Tab: it is quick, and whatever goes wrong it only completes less.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from archiverd import config
from archiverd.config.paths import journal_in
from archiverd.core.machine import RETRIABLE, TABLE, Event, State
from archiverd.core.runset import LAST_RUN
from archiverd.journal.reader import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST = 200
"""So many run numbers are offered, the newest; more of the number narrows them down."""

ANY = "1"
ARCHIVED = "imported_at IS NOT NULL"


def _able(*events: Event) -> str:
    """Return the SQL condition for runs to which one of ``events`` can happen."""
    return _in(sorted({state for state, event in TABLE if event in events}))


def _in(states: Iterable[State]) -> str:
    """Return the SQL condition for runs in one of ``states``."""
    quoted = ", ".join(f"'{state}'" for state in states)
    return f"state IN ({quoted})"


FAILED = _in(RETRIABLE)
WAIVABLE = _able(Event.WAIVED)
RELEASABLE = f"{_able(Event.RELEASED, Event.REOPENED)} AND (state <> '{State.VERIFIED}' OR superseded)"


class RunNumber(click.IntRange):
    """A run number; those that the journal knows and ``condition`` (SQL over the table ``runs``) admits complete it."""

    name = "run number"

    def __init__(self, condition: str = ANY) -> None:
        super().__init__(min=1, max=LAST_RUN)
        self.condition = condition

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the newest runs whose numbers begin so, their states as help."""
        given = ctx.params.get(param.name or "") or ()
        named = {str(run) for run in given} if isinstance(given, tuple) else set()
        with contextlib.suppress(Exception):  # no configuration, no journal: nothing to offer
            return [item for item in self._known(ctx, incomplete) if item.value not in named]
        return []

    def _known(self, ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
        path = config.find_config(ctx.find_root().params.get("config"))
        work_dir = config.read_work_dir(path) or config.load(path, migrating=False).app.work_dir
        sql = (
            f"SELECT run, state FROM runs WHERE {self.condition} AND CAST(run AS TEXT) LIKE ? || '%' "  # noqa: S608 - ours
            "ORDER BY run DESC LIMIT ?"
        )
        with reading(journal_in(work_dir)) as db:
            for run, state in db.execute(sql, (incomplete if incomplete.isdecimal() else "", MOST)):
                yield CompletionItem(str(run), help=state)
