"""Completion of commands, options, states and run numbers in bash, zsh and fish; `archiverd completion` prints it.

A completion is asked for at every Tab: it is quick, and whatever goes wrong it only completes less.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from archiverd.core.machine import RETRIABLE, TABLE, Event, State
from archiverd.core.runset import LAST_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VARIABLE = "_ARCHIVERD_COMPLETE"
"""Set by the shell's function when it asks what could come next."""

MOST = 200
"""So many run numbers are offered, the newest; more of the number narrows them down."""

HELP = """Print the script that makes SHELL complete commands, options, states and run numbers.

\b
bash: eval "$(archiverd completion bash)"    in ~/.bashrc
zsh:  eval "$(archiverd completion zsh)"     in ~/.zshrc, after compinit
fish: archiverd completion fish > ~/.config/fish/completions/archiverd.fish
"""
"""No docstring: click wants a backspace before lines that it is to leave as they are."""

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
        from archiverd import config  # noqa: PLC0415 - lazily, for a quick --help
        from archiverd.config.paths import journal_in  # noqa: PLC0415
        from archiverd.journal.reader import reading  # noqa: PLC0415

        path = config.find_config(ctx.find_root().params.get("config"))
        work_dir = config.read_work_dir(path) or config.load(path, migrating=False).app.work_dir
        sql = (
            f"SELECT run, state FROM runs WHERE {self.condition} AND CAST(run AS TEXT) LIKE ? || '%' "  # noqa: S608 - ours
            "ORDER BY run DESC LIMIT ?"
        )
        with reading(journal_in(work_dir)) as db:
            for run, state in db.execute(sql, (incomplete if incomplete.isdecimal() else "", MOST)):
                yield CompletionItem(str(run), help=state)


def answer(cli: click.Group) -> int:
    """Answer the shell's question in the environment; return 0 and be silent whatever goes wrong."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            cli.main(prog_name="archiverd", complete_var=VARIABLE, standalone_mode=False)
        except (Exception, SystemExit):  # noqa: BLE001 - a prompt is no place for errors
            return 0
    return 0


@click.command(help=HELP, short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete our commands."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known to this version of click")
    # Not kind.source(): for bash that starts one to learn its version, and complains if there is none.
    script = ShellComplete.source(kind(context.find_root().command, {}, "archiverd", VARIABLE))
    sys.stdout.write(script)
