"""A run number as a command's argument, completed from the journal.

A completion is asked for at every Tab: it is quick, and whatever goes wrong it only completes less.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from archiverd.cli.context import GlobalOptions
from archiverd.config.paths import journal_in
from archiverd.core.runset import LAST_RUN
from archiverd.journal.queries import select_candidates
from archiverd.journal.reader import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archiverd.journal.queries import Candidates

MOST = 200
"""Most run numbers offered, the newest; more digits narrow them down."""


class RunNumber(click.IntRange):
    """A run number; those of one kind that the journal knows complete it."""

    name = "run number"

    def __init__(self, kind: Candidates = "any") -> None:
        super().__init__(min=1, max=LAST_RUN)
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return the newest runs whose numbers begin so, their states as help."""
        given = ctx.params.get(param.name or "") or ()
        named = {str(run) for run in given} if isinstance(given, tuple) else set()
        with contextlib.suppress(Exception):  # no configuration, no journal: nothing to offer
            return [item for item in self._known(ctx, incomplete) if item.value not in named]
        return []

    def _known(self, ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
        options = GlobalOptions(ctx.find_root().params.get("config"), verbose=False, quiet=False, log_format="auto")
        with reading(journal_in(options.work_dir())) as db:
            digits = incomplete if incomplete.isdecimal() else ""
            for run, state in select_candidates(db, self.kind, digits, MOST):
                yield CompletionItem(str(run), help=state)
