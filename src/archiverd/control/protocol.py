"""The protocol of the control socket, common to both ends: the socket's path and the lines that cross it.

A client sends one request, a JSON object in one line: ``{"command": "drain", …arguments}``. The daemon answers with
any number of ``{"progress": …}`` lines, then with one ``{"ok": true, "result": …}`` or ``{"ok": false, "error": …}``,
and closes. An error has ``name``, ``message``, ``remedy``, ``context``, ``exit_code``, ``retry``, ``run`` and
``stage``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core import errors
from archiverd.core.errors import ArchiverError, FhiclError, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "archiverd.sock"
LONGEST_PATH = 107
"""Longest path in bytes that the kernel's ``sockaddr_un`` holds beside the closing zero (unix(7))."""
LONGEST_REQUEST = 64 * 1024
"""Longest line of a request in bytes, newline included."""
LONGEST_REPLY = 8 * 1024 * 1024
"""Longest line of a reply in bytes, newline included."""

_PLAIN = {name: found for name, found in vars(errors).items() if isinstance(found, type) and found is not FhiclError}


def choose_path(work_dir: Path, environment: Mapping[str, str], uid: int) -> Path:
    """Return where the daemon of ``work_dir``, an absolute path, listens.

    That is in ``work_dir``, or when the path is too long for the kernel, in the first of ``$RUNTIME_DIRECTORY``,
    ``$XDG_RUNTIME_DIR`` and ``/tmp/archiverd-UID`` that makes one short enough, under a name made of ``work_dir``.
    """
    direct = work_dir / NAME
    if _fits(direct):
        return direct
    short = f"archiverd-{hashlib.sha256(os.fsencode(work_dir)).hexdigest()[:16]}.sock"
    offered = [environment.get("RUNTIME_DIRECTORY", "").split(":")[0], environment.get("XDG_RUNTIME_DIR", "")]
    runtime = (Path(directory) / short for directory in offered if directory.startswith("/"))
    return next(filter(_fits, runtime), Path(f"/tmp/archiverd-{uid}") / short)  # noqa: S108 - its owner is checked


def find_path(work_dir: Path) -> Path:
    """Return where a client finds the daemon of ``work_dir``: a daemon that listens elsewhere leaves a link there.

    So client and daemon agree though systemd gave only one of them ``$RUNTIME_DIRECTORY``.
    """
    direct = work_dir.absolute() / NAME
    try:
        return Path(os.readlink(direct))
    except OSError:
        return direct


def to_line(message: Mapping[str, object]) -> bytes:
    """Return a message as the line that is sent. Raise TypeError or ValueError for what JSON cannot say."""
    return json.dumps(message).encode() + b"\n"


def from_line(line: bytes) -> dict[str, object]:
    """Return the JSON object in a line. Raise ValueError if there is none."""
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the text is wrong, not the caller
    return found


def from_error(error: ArchiverError) -> dict[str, object]:
    """Return an error as a reply carries it."""
    return {
        "name": error.name,
        "message": error.message,
        "remedy": error.remedy,
        "context": json.loads(json.dumps(error.context, default=str, skipkeys=True)),
        "exit_code": error.exit_code,
        "retry": error.retry.value,
        "run": error.run,
        "stage": error.stage,
    }


def to_error(carried: object) -> ArchiverError:
    """Return the error that a reply carries, of the class it names if that is one of ours.

    Raise ValueError, TypeError or LookupError if it carries none.
    """
    if not isinstance(carried, dict):
        raise ValueError("no error in a reply that is not ok")  # noqa: TRY004 - the text is wrong, not the caller
    name, message, context = str(carried["name"]), str(carried["message"]), carried["context"]
    if name == FhiclError.__name__:
        error: ArchiverError = FhiclError(
            message, file=str(context["file"]), line=int(context["line"]), column=int(context["column"])
        )
    else:
        kind = _PLAIN.get(name, ArchiverError)
        error = (kind if issubclass(kind, ArchiverError) else ArchiverError)(message, context=context)
    error.remedy = str(carried["remedy"])
    error.exit_code = int(carried["exit_code"])
    error.retry = Retry(carried["retry"])
    error.run = None if carried["run"] is None else int(carried["run"])
    error.stage = str(carried.get("stage", ""))
    return error


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_PATH
