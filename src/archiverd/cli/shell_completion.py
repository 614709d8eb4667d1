"""Completion in bash, zsh and fish: the answer to the shell's question at a Tab."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

VARIABLE = "_ARCHIVERD_COMPLETE"
"""The environment variable that the shell's function sets when it asks for completions."""


def answer(cli: click.Group) -> int:
    """Print the completions that the environment asks for. Return 0 and print no error, whatever goes wrong."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            cli.main(prog_name="archiverd", complete_var=VARIABLE, standalone_mode=False)
        except (Exception, SystemExit):  # noqa: BLE001 - a prompt is no place for errors
            return 0
    return 0
