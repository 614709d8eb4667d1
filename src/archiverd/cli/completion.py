"""`archiverd completion`: the script with which bash, zsh and fish ask for completions at a Tab."""

from __future__ import annotations

import sys

import click
from click.shell_completion import ShellComplete, get_completion_class

from archiverd.cli.shell_completion import VARIABLE

HELP = """Print the script that makes SHELL complete commands, options, states and run numbers.

\b
bash: eval "$(archiverd completion bash)"    in ~/.bashrc
zsh:  eval "$(archiverd completion zsh)"     in ~/.zshrc, after compinit
fish: archiverd completion fish > ~/.config/fish/completions/archiverd.fish
"""
"""The command's help; no docstring, for the backspace keeps click from wrapping the lines below it."""


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
