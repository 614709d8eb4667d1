"""One program as a child process: arguments as a list, its own process group, a time limit, its output.

The group is killed as a whole at the time limit and when the caller is cancelled; no child outlives the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.artdaqdb.mongo.uri import CA_CERT, CLIENT_CERT, parse_uri, without_secrets
from archiverd.artdaqdb.mongo.uri import SCHEMES as MONGODB
from archiverd.core.errors import ArtdaqDBError, Blame, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST_OUTPUT = 256 << 20
"""Most bytes of standard output; a program that writes more is killed."""
LONGEST_COMPLAINT = 64 << 10
"""Most bytes kept of the end of standard error; the programs' result is its last line."""
LEAVE_SECONDS = 5.0
"""Longest wait for a killed program's last output."""
LOADER, DOWNLOADER = "bulkloader", "bulkdownloader"
_PIECE = 1 << 16
_WITHHELD = re.compile(
    rf"^ARCHIVERD_|^CREDENTIALS_DIRECTORY|^({CLIENT_CERT}|{CA_CERT})$|PASSW|SECRET|TOKEN", re.IGNORECASE
)
"""Names of variables that may hold or lead to our secrets (archiver.env's too), or are part of the URI."""


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended: exit code (128 + signal number if one killed it, as a shell has it), and its output."""

    code: int
    stdout: bytes
    stderr: str


def environment(inherited: Mapping[str, str], added: Mapping[str, str], library: str) -> dict[str, str]:
    """Return a program's environment: inherited without our secrets, ``added``, and its library directory first."""
    kept = {name: value for name, value in inherited.items() if not _WITHHELD.search(name)}
    paths = [path for path in (library, kept.get("LD_LIBRARY_PATH", "")) if path]
    return {**kept, **added, **({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})}


def complete(uri: str) -> tuple[str, tuple[str, ...]]:
    """Return a URI as programs on this host get it, and its secrets.

    The library would append a client's certificate with ``&`` to any URI of a MongoDB, also to one without options
    (B.1); so it is added here. Raise ConfigurationError, without the password, if it names no database.
    """
    if not uri.startswith(MONGODB):
        return uri, ()
    address = parse_uri(uri, os.environ)
    return address.uri, address.secrets


async def run_command(
    words: Sequence[str],
    variables: Mapping[str, str],
    seconds: float,
    stdin: bytes | None = None,
    secrets: Sequence[str] = (),
    inherited: Sequence[int] = (),
) -> ProgramResult:
    """Run a program to its end. ``stdin`` is written and the pipe then kept open until the program ends.

    ``secrets`` are hidden in its standard error; ``inherited`` are descriptors that it keeps open.

    Raise ArtdaqDBError if it cannot be started, takes longer than ``seconds``, or writes more than LONGEST_OUTPUT.
    """
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=none if stdin is None else pipe,
            stdout=pipe,
            stderr=pipe,
            env=dict(variables),
            start_new_session=True,
            pass_fds=tuple(inherited),
        )
    except OSError as error:
        raise ArtdaqDBError(
            f"Cannot run {words[0]}: {error.strerror}",
            retry=Retry.TRANSIENT,
            blame=Blame.BACKEND,
            remedy="check artdaq_db.conftoolp_dir: the program must be there and executable",
        ) from error
    try:
        async with asyncio.timeout(seconds):
            outcome = await _communicate(process, stdin)
            return replace(outcome, stderr=without_secrets(outcome.stderr, secrets))
    except BaseException as error:
        kill_group(process)
        if isinstance(error, TimeoutError):
            raise _timed_out(words[0], seconds) from None
        raise
    finally:
        await _reap(process)


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a program that leads its session, with all it started, also after it ended itself.

    After ``wait`` its process id may be reused, but not while a member of its group lives: if a process has the id
    again, none of the group is left.
    """
    if process.returncode is None or not Path(f"/proc/{process.pid}").exists():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


async def _communicate(process: asyncio.subprocess.Process, stdin: bytes | None) -> ProgramResult:
    """Feed the program, read both its outputs to their ends, and wait for it."""
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("the program's outputs are not pipes")
    try:
        async with asyncio.TaskGroup() as group:
            stdout = group.create_task(_read_all(process.stdout))
            stderr = group.create_task(_read_tail(process.stderr))
            if process.stdin is not None and stdin is not None:
                with contextlib.suppress(ConnectionError):  # it ended before it had read everything: see its exit code
                    process.stdin.write(stdin)
                    await process.stdin.drain()
    except* ArtdaqDBError as errors:
        raise errors.exceptions[0] from None
    code = await process.wait()
    return ProgramResult(code if code >= 0 else 128 - code, stdout.result(), stderr.result())


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    """Return all output. Raise ArtdaqDBError if it is longer than LONGEST_OUTPUT."""
    pieces, size = [], 0
    while piece := await stream.read(_PIECE):
        size += len(piece)
        if size > LONGEST_OUTPUT:
            raise ArtdaqDBError("A program of artdaqDB wrote without end and was killed", blame=Blame.BACKEND)
        pieces.append(piece)
    return b"".join(pieces)


async def _read_tail(stream: asyncio.StreamReader) -> str:
    """Return the end of the output."""
    kept = b""
    while piece := await stream.read(_PIECE):
        kept = (kept + piece)[-LONGEST_COMPLAINT:]
    return kept.decode(errors="replace")


async def _reap(process: asyncio.subprocess.Process) -> None:
    """Wait for a program that ended or was killed; a grandchild that keeps its pipes open is not waited for."""
    if process.stdin is not None:
        process.stdin.close()
    rest = [stream.read() for stream in (process.stdout, process.stderr) if stream is not None]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            await asyncio.gather(process.wait(), *rest)


def _timed_out(program: str, seconds: float) -> ArtdaqDBError:
    return ArtdaqDBError(
        f"{program} did not end within {seconds:g} s and was killed",
        retry=Retry.TRANSIENT,
        blame=Blame.BACKEND,
        remedy="see whether the database answers; artdaq_db.call_timeout_seconds is the limit",
    )
