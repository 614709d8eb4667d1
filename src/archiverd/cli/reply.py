"""The reply of an operation, whether the daemon did it or the command itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    Reply = Mapping[str, object]
    """The JSON object that `--json` prints (docs/commands.md)."""


def print_reply(reply: Reply, as_json: bool, words: str) -> None:
    """Print a reply as JSON to standard output, or ``words`` for people to standard error."""
    if as_json:
        click.echo(json.dumps({"version": 1, **reply}))
    else:
        click.echo(words, err=True)
