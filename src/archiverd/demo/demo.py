"""`archiverd demo`: real processes, made-up runs, live progress, a table at the end."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from archiverd.config.paths import journal_in
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import State
from archiverd.demo import processes, runs, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from archiverd.journal.rows import RunRow

FIRST_RUN = 12_000
CHECK_SECONDS = 0.25
"""Seconds between readings of the journal."""
PATIENCE_SECONDS = 60.0
"""Seconds to wait for everything to be verified after the last run was written."""


def play(*, runs: int, rate: float, keep: Path | None) -> int:
    """Run the demo; return 0 if every run is in its expected state.

    ``rate`` is in run starts a minute; ``keep`` is a directory to work in and to leave in place. Raise ArchiverError.
    """
    console = Console(stderr=True)
    with _place(keep) as site:
        result = asyncio.run(_play(site, runs, rate, console))
        _print_result(result, console)
        if result.exit_code and keep is None:
            console.print("To look closer: archiverd demo --keep DIR, then read DIR/archiverd.log")
    return result.exit_code


@contextlib.contextmanager
def _place(keep: Path | None) -> Iterator[processes.DemoSite]:
    """Give a directory to work in: ``keep``, or a temporary one."""
    if keep is not None:
        yield processes.DemoSite(keep.absolute())
        return
    root = Path(tempfile.mkdtemp(prefix="archiverd-demo-"))
    try:
        yield processes.DemoSite(root)
    finally:
        runs.remove_tree(root)


async def _play(site: processes.DemoSite, count: int, rate: float, console: Console) -> summary.Summary:
    """Start everything, play the runs, wait for their expected states, stop everything. Raise ArchiverError."""
    try:
        site.make()
    except OSError as error:
        raise ArchiverError(
            f"The demo cannot work in {site.root}: {error}", remedy="name a directory you may write to with --keep"
        ) from error
    plans = runs.plan(count, FIRST_RUN, seed=1, rate=rate)
    journal = journal_in(site.work_dir)
    async with processes.ucondb_server(site) as url:
        site.configure(url)
        console.print(f"UconDB server at {url}; run records in {site.records}")
        async with processes.daemon(site) as daemon:
            with _progress(console, len(plans)) as show:
                playing = asyncio.create_task(runs.play(plans, site.records))
                try:
                    await _follow(plans, journal, playing, daemon, show)
                    if daemon.returncode is not None:
                        raise ArchiverError(
                            f"The demo's daemon ended by itself with exit code {daemon.returncode}",
                            remedy=f"its last words: {_last_line(site.daemon_log)}",
                        )
                    if playing.done():
                        await playing
                finally:
                    playing.cancel()
    return summary.summarise(plans, summary.read_rows(journal), summary.left_out(journal))


async def _follow(
    plans: Sequence[runs.RunPlan],
    journal: Path,
    playing: asyncio.Task[None],
    daemon: asyncio.subprocess.Process,
    show: Callable[[Mapping[int, RunRow]], None],
) -> None:
    """Show progress until every run is in its expected state, time is over, or the daemon has ended."""
    loop = asyncio.get_running_loop()
    give_up: float | None = None
    while daemon.returncode is None:
        rows = await asyncio.to_thread(summary.read_rows, journal)
        show(rows)
        if playing.done():
            give_up = give_up or loop.time() + PATIENCE_SECONDS
            if all(summary.as_expected(plan, rows.get(plan.run)) for plan in plans) or loop.time() > give_up:
                return
        await asyncio.sleep(CHECK_SECONDS)


def _last_line(log: Path) -> str:
    """Return the last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "none"


@contextlib.contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[Mapping[int, RunRow]], None]]:
    """Show progress: bars on a terminal, a line for every change elsewhere."""
    if not console.is_terminal:
        yield _line_progress(console, total)
        return
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=total) for name in ("seen", "ended", "imported", "verified")}

        def show(rows: Mapping[int, RunRow]) -> None:
            for name, number in _counts(rows).items():
                progress.update(bars[name], completed=number)

        yield show


def _line_progress(console: Console, total: int) -> Callable[[Mapping[int, RunRow]], None]:
    """Return a progress that prints a line when a number has changed."""
    before: dict[str, int] = {}

    def show(rows: Mapping[int, RunRow]) -> None:
        nonlocal before
        counts = _counts(rows)
        if counts != before:
            console.print(", ".join(f"{name} {number}" for name, number in counts.items()) + f" of {total}")
            before = counts

    return show


def _counts(rows: Mapping[int, RunRow]) -> dict[str, int]:
    """Return how many runs have passed each step."""
    return {
        "seen": len(rows),
        "ended": sum(row.ended_at is not None for row in rows.values()),
        "imported": sum(row.imported_at is not None for row in rows.values()),
        "verified": sum(row.state is State.VERIFIED for row in rows.values()),
    }


def _print_result(result: summary.Summary, console: Console) -> None:
    """Print the table, and a line for every run with something to remark."""
    table = Table(title="archiverd demo")
    for heading in ("runs", "verified", "bytes", "stop→verified p50", "p99"):
        table.add_column(heading, justify="right")
    table.add_row(
        str(result.planned),
        str(result.verified),
        f"{result.bytes:,}",
        f"{result.p50:.2f} s",
        f"{result.p99:.2f} s",
    )
    console.print(table)
    for line in (*result.remarks, *result.wrong):
        console.print(line, highlight=False, soft_wrap=True)
