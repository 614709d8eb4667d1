"""Completion in bash, zsh and fish: the answer to what the shell asks at a Tab."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

VARIABLE = "_ARCHIVERD_COMPLETE"
"""Set by the shell's function when it asks what could come next."""


def answer(cli: click.Group) -> int:
    """Answer the shell's question in the environment; return 0 and be silent whatever goes wrong."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            cli.main(prog_name="archiverd", complete_var=VARIABLE, standalone_mode=False)
        except (Exception, SystemExit):  # noqa: BLE001 - a prompt is no place for errors
            return 0
    return 0
