"""`archiverd ucondb-server`: the bundled UconDB server."""

from __future__ import annotations

from pathlib import Path

import click

from archiverd.core.errors import ConfigurationError
from archiverd.ucondb_server import ServerOptions, serve

LAST_PORT = 65_535


@click.command("ucondb-server", short_help="Serve a small UconDB, for tests and staging.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Directory that holds the store.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--instance", default="ucon", show_default=True, help="First part of the URL: /INSTANCE/app.")
@click.option("--folder", "folders", multiple=True, help="A folder to create at start; may be repeated.")
@click.option("--user", required=True, help="Who may write.")
@click.option("--password-file", required=True, type=click.Path(path_type=Path), help="File with that user's password.")
@click.option("--faithful", is_flag=True, help="Add the real listener's awkwardness.")
@click.option("--fault", metavar="SPEC", help="Misbehave for drills, e.g. latency=0.2,error=0.1.")
def ucondb_server(
    data: Path,
    listen: str,
    instance: str,
    folders: tuple[str, ...],
    user: str,
    password_file: Path,
    faithful: bool,
    fault: str | None,
) -> int:
    """Serve a small UconDB, for demos, tests and staging; its statuses and bodies are the real server's."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > LAST_PORT:
        raise ConfigurationError(f"--listen {listen} is not HOST:PORT", remedy="e.g. 127.0.0.1:8080; port 0 is any")
    try:
        password = password_file.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read the password file {password_file}: {error.strerror}",
            remedy="name a file whose first line is the password of --user",
        ) from error
    options = ServerOptions(
        data=data,
        host=host.strip("[]"),
        port=int(port),
        instance=instance,
        folders=folders,
        user=user,
        password=password,
        faithful=faithful,
        fault=fault,
    )
    code = serve(options)
    if code:
        click.echo(
            "Remedy: change what the line above names; `archiverd ucondb-server --help` tells the options", err=True
        )
    return code
