"""From what went wrong on the wire to an error an operator can act on (ucondb_protocol.md section 9)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import Blame, Retry, UconDBError

if TYPE_CHECKING:
    from archiverd.ucondb.http import BrokenExchangeError, Reply

DETAIL_LIMIT = 300
"""Characters kept of a server's page: it echoes host names and a traceback (ucondb_protocol.md section 11, T18)."""

_HEADLINE = re.compile(rb"<h3>(.*?)</h3>", re.DOTALL)
_LOGIN = "check ucon_db.writer_user, writer_password and folder_name; it is tried again by itself"
_ADDRESS = "check ucon_db.server_url, folder_name and object_name; it is tried again by itself"
_FOLDER = "check ucon_db.folder_name (lower case), or ask the UconDB administrators to create the folder"
_OUTSIDE = "nothing to do now: it is tried again by itself; if it lasts, ask the UconDB administrators"
_NETWORK = "it is tried again by itself; if it lasts, check ucon_db.server_url, the network and the UconDB server"
_UNCLEAR = "nothing to do: archiverd looks it up and compares before it sends anything again"
_TOO_LATE = "; if it lasts, raise ucon_db.timeout_seconds"
_REMEDIES = {
    401: _LOGIN,
    403: _LOGIN,
    405: "the UconDB instance is read-only: ask its administrators, or correct ucon_db.server_url",
}


@dataclass(frozen=True, slots=True)
class Purpose:
    """What we were about when something failed: how its errors begin, and the run it is for."""

    text: str
    run: int | None = None


INITIALIZE = Purpose("Failed to initialize UConDB client")
"""Spelled so in the troubleshooting guide."""
LIST = Purpose("Failed to list the runs in UconDB")


def uploading(key: str) -> Purpose:
    """Return the purpose of storing a run's blob."""
    return Purpose(f"Failed to upload blob for run {key}", _run(key))


def looking_up(key: str) -> Purpose:
    """Return the purpose of looking a run up."""
    return Purpose(f"Failed to look up run {key} in UconDB", _run(key))


def reading_back(key: str) -> Purpose:
    """Return the purpose of reading a run's blob."""
    return Purpose(f"Failed to read run {key} back from UconDB", _run(key))


def unreachable(purpose: Purpose, broken: BrokenExchangeError, retry: Retry = Retry.TRANSIENT) -> UconDBError:
    """Return the error for an exchange that broke; ``retry`` is UNKNOWN if it may have stored something."""
    remedy = (_UNCLEAR if retry is Retry.UNKNOWN else _NETWORK) + (_TOO_LATE if broken.timed_out else "")
    return UconDBError(f"{purpose.text}: {broken}", retry=retry, blame=Blame.BACKEND, remedy=remedy, run=purpose.run)


def refused(purpose: Purpose, reply: Reply, retry: Retry = Retry.TRANSIENT) -> UconDBError:
    """Return the error for a reply that is not the one wanted; ``context["status"]`` is its HTTP status.

    A status that blames the request stored nothing and blames a setting, never the run: transient, so that runs wait
    until somebody has mended it. Any other says only that the server is in trouble: ``retry``, which is UNKNOWN if the
    request may have stored something all the same. Either way every run would meet it.
    """
    error = _refused(purpose, reply, retry)
    error.blame = Blame.LOGIN if reply.status in (401, 403) else Blame.BACKEND
    return error


def _refused(purpose: Purpose, reply: Reply, retry: Retry) -> UconDBError:
    detail = detail_of(reply)
    text = f"{purpose.text}: {reply.status} {reply.reason}".rstrip()
    context: dict[str, object] = {"status": reply.status, "detail": detail}
    if settled(reply.status):
        if reply.status not in (401, 403) and detail:
            text += f" ({detail})"
        remedy = _FOLDER if _blames_folder(detail) else _REMEDIES.get(reply.status, _ADDRESS)
        if reply.status == 401 and "www-authenticate" in reply.headers:
            remedy += "; if they are, a proxy may drop the Authorization header (mod_wsgi: WSGIPassAuthorization)"
        return UconDBError(text, retry=Retry.TRANSIENT, remedy=remedy, run=purpose.run, context=context)
    if detail:
        text += f": {detail}"
    if _blames_folder(detail):
        return UconDBError(text, retry=Retry.TRANSIENT, remedy=_FOLDER, run=purpose.run, context=context)
    remedy = _UNCLEAR if retry is Retry.UNKNOWN else _OUTSIDE
    return UconDBError(text, retry=retry, remedy=remedy, run=purpose.run, context=context)


def nonsense(purpose: Purpose, problem: str, retry: Retry = Retry.TRANSIENT) -> UconDBError:
    """Return the error for a reply with a good status and a content that cannot be."""
    return UconDBError(f"{purpose.text}: {problem}", retry=retry, blame=Blame.BACKEND, remedy=_OUTSIDE, run=purpose.run)


def _blames_folder(detail: str) -> bool:
    """Tell whether the folder is unknown: told by 404 on put and listing, by 500 on reads (section 5)."""
    return detail.startswith("Folder ") or "has no attribute 'getObject'" in detail


def settled(status: int) -> bool:
    """Tell whether a status blames the request, so that the same one would fail again and stored nothing.

    408 and 429 do not (a slow line, a busy front end), nor do 200, which was not the reply wanted, and 5xx.
    """
    return 300 <= status < 500 and status not in (408, 429)


def detail_of(reply: Reply) -> str:
    """Return why, as a reply's body says it: the headline of an error page, else the text; one line, cut."""
    headline = _HEADLINE.search(reply.body)
    body = reply.body if headline is None else headline.group(1)
    text = " ".join(body[: 8 * DETAIL_LIMIT].decode("utf-8", "replace").split())
    text = "".join(letter for letter in text if letter.isprintable())
    return text if len(text) <= DETAIL_LIMIT else f"{text[:DETAIL_LIMIT]}…"


def _run(key: str) -> int | None:
    """Return the run number a key stands for, or None for a key that is none."""
    return int(key) if key.isascii() and key.isdecimal() and len(key) < 19 else None
