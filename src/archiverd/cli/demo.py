"""`archiverd demo`: the whole job on made-up runs."""

from __future__ import annotations

from pathlib import Path

import click

from archiverd.demo import demo as show


@click.command(short_help="See the whole job run, on made-up runs.")
@click.option("--runs", default=20, show_default=True, type=click.IntRange(4, 10_000), help="How many runs to make.")
@click.option("--rate", default=60.0, show_default=True, type=click.FloatRange(1, 600), help="Run starts a minute.")
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path), help="Work in DIR and leave everything there.")
def demo(runs: int, rate: float, keep: Path | None) -> int:
    """See the whole job run: made-up but realistic runs, the real daemon, a real UconDB server."""
    return show.play(runs=runs, rate=rate, keep=keep)
