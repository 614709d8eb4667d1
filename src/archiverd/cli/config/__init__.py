"""`archiverd config`: is the configuration right, where does each value come from, and what was the older tool's."""

from __future__ import annotations

import click

from archiverd.cli.lazy_group import LazyGroup

COMMANDS = {
    "check": "Validate the configuration; exit 1 and say what is wrong.",
    "migrate": "Print the older tool's OLD.yaml as TOML; say on standard error what is different.",
    "show": "Print every setting; secrets are hidden.",
}
"""The short help of each command, in the order of `archiverd config --help`."""


@click.group(
    cls=LazyGroup,
    package="archiverd.cli.config",
    short_helps=COMMANDS,
    short_help="Check or show the configuration, or make one of the older tool's.",
)
def config() -> None:
    """Check or show the configuration, or make one of the older tool's."""
