"""The tools on another host, over ssh: files go and come as tar streams, nothing stays there.

ssh hands its arguments to a shell on the host, so each is quoted. The tools' environment goes in the stream and not
into the command: a ``database_uri`` may hold a password, and every user can see commands.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import shlex
import tarfile
from typing import TYPE_CHECKING

from archiverd.artdaqdb.tools.command import DOWNLOADER, LOADER, ProgramResult, environment, run_command
from archiverd.core.errors import ArtdaqDBError, Blame, ConfigurationError, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "ControlMaster": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "LogLevel": "ERROR",
}
"""ssh asks no question, trusts no unknown host, and notices a dead connection within a minute."""

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]{0,254}")

_PREPARE = """
set -eu
umask 077
there=$(mktemp -d "${TMPDIR:-/tmp}/archiverd.XXXXXXXX")
trap 'trap "" HUP INT TERM PIPE; rm -rf -- "$there"' EXIT
trap 'exit 143' HUP INT TERM PIPE
mkdir "$there/files"
head -c "$1" | tar -xf - -C "$there"
shift
. "$there/environment"
exec 3<&0
setsid "$@" -p "$there/files" </dev/null 3<&- >"$there/said" &
tool=$!
{ cat <&3; kill -s KILL -- "-$tool" "$tool"; } >/dev/null 2>&1 &
watch=$!
exec 3<&-
code=0
wait "$tool" 2>/dev/null || code=$?
kill "$watch" 2>/dev/null || :
"""
"""Unpack, run the tool, end it when our end of the stream closes (killed, cancelled, gone); remove everything."""

LOAD = _PREPARE + 'cat "$there/said"\nexit "$code"\n'
"""Run ``"$@" -p <files>`` on the files of the stream, whose length is the first argument."""
DOWNLOAD = _PREPARE + '[ "$code" = 0 ] || exit "$code"\ntar -cf - -C "$there" said files\n'
"""Run ``"$@" -p <empty directory>`` and give what it said and what is in the directory then, as a tar stream."""
READ = '[ -e "$1" ] || exit 44\nexec cat -- "$1"\n'
"""Give a file's content, or exit with `NO_FILE`."""
CHECK = 'for tool in "$@"; do command -v -- "$tool" >/dev/null || { echo "$tool" >&2; exit 127; }; done\n'
"""Exit with 127 if a program is not there."""
NO_FILE, NO_PROGRAM, SSH_FAILED = 44, 127, 255


class RemoteHost:
    """Runs the tools on ``host``; see `archiverd.artdaqdb.tools.host.Host`."""

    def __init__(
        self,
        host: str,
        directory: Path | None,
        variables: Mapping[str, str],
        seconds: float,
        ssh: Sequence[str] = ("ssh",),
        secrets: Sequence[str] = (),
    ) -> None:
        """Name the host as ssh knows it and the tools' directory on it (None: on its PATH).

        ``ssh`` is the client and its first options, ``secrets`` are hidden in standard error. Raise
        ConfigurationError if ``host`` could be taken for an option.
        """
        if not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"Configuration validation failed: artdaq_db.remote_host is not the name of a host: {host!r}",
                remedy="write host or user@host, as ssh takes it; port and key belong in ~/.ssh/config",
            )
        self._host = host
        self._directory = directory
        self._variables = {**variables, **({"LD_LIBRARY_PATH": str(directory)} if directory else {})}
        self._seconds = seconds
        self._secrets = tuple(secrets)
        self._ssh = [*ssh, *(word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}"))]

    async def check(self) -> None:
        """See ``Host.check``."""
        outcome = await self._run(CHECK, [self._program(tool) for tool in (LOADER, DOWNLOADER)])
        if outcome.code:
            raise self._unusable(outcome)

    async def load(self, words: Sequence[str], files: Mapping[str, bytes]) -> ProgramResult:
        """See ``Host.load``."""
        return self._of_tool(await self._run_with(LOAD, words, files))

    async def download(self, words: Sequence[str]) -> tuple[ProgramResult, Mapping[str, bytes]]:
        """See ``Host.download``."""
        outcome = self._of_tool(await self._run_with(DOWNLOAD, words, {}))
        if outcome.code:
            return outcome, {}
        try:
            members = await asyncio.to_thread(_unpack, outcome.stdout)
        except tarfile.TarError as error:
            raise self._unusable(outcome) from error
        files = {name.removeprefix("files/"): data for name, data in members.items() if name.startswith("files/")}
        return ProgramResult(0, members.get("said", b""), outcome.stderr), files

    async def read(self, path: Path) -> bytes | None:
        """See ``Host.read``."""
        outcome = await self._run(READ, [str(path)])
        if outcome.code == NO_FILE:
            return None
        if outcome.code:
            raise self._unusable(outcome)
        return outcome.stdout

    async def _run_with(self, script: str, words: Sequence[str], files: Mapping[str, bytes]) -> ProgramResult:
        """Run a script on a stream of ``files`` and the tools' environment."""
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self._variables.items())
        named = {"environment": exports.encode(), **{f"files/{name}": data for name, data in files.items()}}
        stream = await asyncio.to_thread(_pack, named)
        return await self._run(script, [str(len(stream)), self._program(words[0]), *words[1:]], stream)

    async def _run(self, script: str, arguments: Sequence[str], stdin: bytes | None = None) -> ProgramResult:
        """Run a script of ours with ``sh`` on the host, whatever the login shell is."""
        remote = shlex.join(["sh", "-c", script, "archiverd", *arguments])
        command = [*self._ssh, "-T", "--", self._host, remote]
        return await run_command(command, environment(os.environ, {}, ""), self._seconds, stdin, self._secrets)

    def _program(self, tool: str) -> str:
        return str(self._directory / tool) if self._directory else tool

    def _of_tool(self, outcome: ProgramResult) -> ProgramResult:
        """Return ``outcome`` if it is the tool's own. Raise ArtdaqDBError if ssh failed or there is no such program."""
        if outcome.code in (SSH_FAILED, NO_PROGRAM):
            raise self._unusable(outcome)
        return outcome

    def _unusable(self, outcome: ProgramResult) -> ArtdaqDBError:
        """Return the error for a host that cannot be used."""
        lines = outcome.stderr.strip().splitlines()
        message = lines[-1] if lines else f"exit code {outcome.code}"
        remedy = f"try `ssh -o BatchMode=yes {self._host} true` as the user archiverd runs as"
        if outcome.code == NO_PROGRAM:
            remedy = f"artdaq_db.conftoolp_dir must be the tools' directory on {self._host}"
        elif "Host key verification failed" in outcome.stderr:
            remedy = f"compare the key of {self._host} with its administrator's, then put it into ~/.ssh/known_hosts"
        return ArtdaqDBError(
            f"artdaqDB's tools on {self._host} cannot be used: {message}",
            retry=Retry.TRANSIENT,
            blame=Blame.BACKEND,
            remedy=remedy,
            context={"host": self._host, "exit_code": outcome.code},
        )


def _pack(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _unpack(stream: bytes) -> dict[str, bytes]:
    """Return the regular files of a tar archive by name; nothing is written. Raise TarError if it is none."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(stream), mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                found[member.name] = content.read()
    return found
