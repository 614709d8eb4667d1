"""The hold on a backend, as `status` and `why` print it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiverd.cli.wording import ago

if TYPE_CHECKING:
    from collections.abc import Mapping


def print_hold(hold: Mapping[str, Any], now: float) -> None:
    """Print why a backend is not called, since when, and the remedy; ``now`` in epoch seconds."""
    at = hold["probe_at"]
    next_probe = "" if at is None else f"; next probe in {ago(max(0.0, at - now))}"
    click.echo(f"{hold['backend']} is {hold['health']} for {ago(now - hold['since'])}: {hold['cause']}{next_probe}")
    if hold["remedy"]:
        click.echo(f"    {hold['remedy']}")
