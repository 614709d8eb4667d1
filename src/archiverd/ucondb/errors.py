"""Failed exchanges as errors an operator can act on (ucondb_protocol.md section 9)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import Blame, Retry, UconDBError
from archiverd.core.wording import printable

if TYPE_CHECKING:
    from archiverd.ucondb.http import BrokenExchangeError, Reply

DETAIL_LIMIT = 300
"""Most characters of a server's page in an error; pages hold host names and a traceback (section 11, T18)."""

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
    """The purpose of a request: the first words of its errors, and the run it is for."""

    text: str
    run: int | None = None


INITIALIZE = Purpose("Failed to initialize UConDB client")
"""The troubleshooting guide spells it so."""
LIST = Purpose("Failed to list the runs in UconDB")


def uploading(key: str) -> Purpose:
    """Return the purpose of storing a run's blob."""
    return Purpose(f"Failed to upload blob for run {key}", _run(key))


def looking_up(key: str) -> Purpose:
    """Return the purpose of a look-up of a run."""
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

    A status that blames the request means that nothing was stored and a setting is wrong, never the run: transient, so
    that runs wait until it is corrected. Any other means trouble of the server: ``retry``, which is UNKNOWN if the
    request may have stored something all the same. In both cases every run would fail so.
    """
    error = _refused(purpose, reply, retry)
    error.blame = Blame.LOGIN if reply.status in (401, 403) else Blame.BACKEND
    return error


def _refused(purpose: Purpose, reply: Reply, retry: Retry) -> UconDBError:
    detail = detail_of(reply)
    text = f"{purpose.text}: {reply.status} {reply.reason}".rstrip()
    context: dict[str, object] = {"status": reply.status, "detail": detail}
    if blames_request(reply.status):
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


def impossible_reply(purpose: Purpose, problem: str, retry: Retry = Retry.TRANSIENT) -> UconDBError:
    """Return the error for a reply of status 200 whose content is impossible."""
    return UconDBError(f"{purpose.text}: {problem}", retry=retry, blame=Blame.BACKEND, remedy=_OUTSIDE, run=purpose.run)


def from_cache(purpose: Purpose, mark: str) -> UconDBError:
    """Return the error for a reply that a cache gave, with the header that betrays it."""
    return UconDBError(
        f"{purpose.text}: a cache on the way answered, not UconDB ({printable(mark[:80])})",
        retry=Retry.TRANSIENT,
        blame=Blame.BACKEND,
        remedy="let ucon_db.server_url lead past the proxy, or have it obey Cache-Control",
        run=purpose.run,
        context={"cache": mark[:80]},
    )


def _blames_folder(detail: str) -> bool:
    """Return whether the folder is unknown: a detail of 404 on put and listing, of 500 on reads (section 5)."""
    return detail.startswith("Folder ") or "has no attribute 'getObject'" in detail


def blames_request(status: int) -> bool:
    """Return whether a status blames the request: nothing was stored, and the same request would fail again.

    408 and 429 do not (a slow line, a busy front end), nor do 200, which was not the reply wanted, and 5xx.
    """
    return 300 <= status < 500 and status not in (408, 429)


def detail_of(reply: Reply) -> str:
    """Return the reason in a reply's body: an error page's headline, else the text; one line, at most DETAIL_LIMIT."""
    headline = _HEADLINE.search(reply.body)
    body = reply.body if headline is None else headline.group(1)
    text = " ".join(body[: 8 * DETAIL_LIMIT].decode("utf-8", "replace").split())
    text = "".join(letter for letter in text if letter.isprintable())
    return text if len(text) <= DETAIL_LIMIT else f"{text[:DETAIL_LIMIT]}…"


def _run(key: str) -> int | None:
    """Return a key as a run number, or None if it is not one."""
    return int(key) if key.isascii() and key.isdecimal() and len(key) < 19 else None
