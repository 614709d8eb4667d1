"""Errors of the experiment's library, in the words of the troubleshooting guide, with their remedies."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from archiverd.core.errors import ArtdaqDBError, Blame, Retry

if TYPE_CHECKING:
    from collections.abc import Collection

_WHAT = re.compile(r"std::exception::what: (.*)", re.DOTALL)
_CATEGORY = re.compile(r"-{4} .*? (?:BEGIN|END)")
_LONGEST = 500
"""Most characters of the library's own text in a message."""
_PASSING = ("No suitable servers", "Failed to resolve", "socket", "timed out", "timeout")
"""Texts of the MongoDB driver for a server that cannot be reached (D.3)."""
NOTHING_THERE = ("No search filters were found", "No results found for", "No documents found")
"""Texts of failures that mean an empty result: composition of a FileSystemDB, of a MongoDB, and load (D.3)."""


def cannot_start(python: str, error: OSError) -> ArtdaqDBError:
    """Return the error for an interpreter that does not start."""
    return ArtdaqDBError(
        f"Cannot run {python} for conftoolp: {error.strerror}",
        retry=Retry.TRANSIENT,
        blame=Blame.BACKEND,
        remedy="artdaq_db.conftoolp_python must name the Python that the bundle was built for",
    )


def not_importable(raised: str, python: str) -> ArtdaqDBError:
    """Return the error for a library that cannot be imported; ``raised`` is what Python said."""
    if "No module named" in raised:
        remedy = "artdaq_db.conftoolp_dir must be the directory that holds conftoolp.py and _conftoolp.so"
    elif "cannot open shared object file" in raised:
        remedy = "put the missing library into artdaq_db.conftoolp_dir; `ldd _conftoolp.so` there names all it needs"
    else:
        remedy = f"`{python} -c 'import conftoolp'` in artdaq_db.conftoolp_dir must work: was it built for this Python?"
    return ArtdaqDBError(
        f"{raised}; ImportError: Failed to import 'conftoolp'. Ensure artdaq_database env is set up.",
        retry=Retry.TRANSIENT,
        blame=Blame.BACKEND,
        remedy=remedy,
        context={"python": python},
    )


def crashed(function: str, code: int, complaint: str) -> ArtdaqDBError:
    """Return the error for a worker that ended in a call, with ``code`` as in `subprocess`."""
    how = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
    return ArtdaqDBError(
        f"conftoolp {how} in {function}: {_last_line(complaint)}",
        retry=Retry.TRANSIENT,
        remedy="it is restarted and the run tried again; if one run always ends so, its files are what to look at",
        context={"stderr": complaint[-_LONGEST:]},
    )


def out_of_memory(function: str, limit: int) -> ArtdaqDBError:
    """Return the error for a call that wanted more memory than a worker may have."""
    return ArtdaqDBError(
        f"conftoolp ran out of memory in {function}: a worker may have {limit >> 20} MB",
        retry=Retry.TRANSIENT,
        remedy="it is restarted and the run tried again; the limit is half the machine's memory, shared by the workers",
        context={"limit_bytes": limit},
    )


def no_answer(function: str, what: str) -> ArtdaqDBError:
    """Return the error for bytes that are not an answer: something else wrote to the worker's pipe."""
    return ArtdaqDBError(
        f"conftoolp gave no answer to {function} but {what}, and was killed",
        retry=Retry.TRANSIENT,
        remedy="it is restarted and the run tried again; if it lasts, the bundle writes where it should not",
    )


def hung(function: str, seconds: float) -> ArtdaqDBError:
    """Return the error for a call that did not return in time."""
    return ArtdaqDBError(
        f"conftoolp did not return from {function} within {seconds:g} s and was killed",
        retry=Retry.TRANSIENT,
        blame=Blame.BACKEND,
        remedy="see whether the database answers; artdaq_db.call_timeout_seconds is the limit",
    )


def function_raised(function: str, raised: str) -> ArtdaqDBError:
    """Return the error for a function that raised instead of returning."""
    return ArtdaqDBError(
        f"conftoolp.{function} raised {raised}",
        blame=Blame.BACKEND,
        remedy="the bundle in artdaq_db.conftoolp_dir is another than archiverd knows; compare its version",
    )


def refused(function: str, text: str, run: int | None) -> ArtdaqDBError:
    """Return the error for a function that returned False with ``text``."""
    what = message_of(text)
    passing = any(word in what for word in _PASSING)
    corrupt = "SearchIndex is corrupt" in what
    begin = "Failed to store" if function == "write_document" else "Failed to get configurations"
    return ArtdaqDBError(
        f"{begin}: conftoolp.{function}: {what}",
        retry=Retry.TRANSIENT if passing else Retry.PERMANENT,
        blame=Blame.BACKEND if passing or corrupt else Blame.RUN,
        remedy="another writer was interrupted: stop archiverd, then `archiverd artdaqdb rebuild-index <collection>`"
        if corrupt
        else "see whether the database of artdaq_db.database_uri is there and answers",
        run=run,
    )


def wrong_answer(function: str, what: str, run: int | None) -> ArtdaqDBError:
    """Return the error for an answer that does not fit the question."""
    return ArtdaqDBError(
        f"conftoolp.{function} answered wrongly: {what}",
        remedy="look at this run with conftool.py; another program may have changed it meanwhile",
        run=run,
    )


def not_as_meant(version: str, why: str, run: int, entities: Collection[str]) -> ArtdaqDBError:
    """Return the error for a version that does not hold what was stored in it."""
    return ArtdaqDBError(
        f"What artdaqDB holds of {version} is not what was stored: {why}",
        remedy=f"another program stores this run too; compare, then `archiverd retry import {run}`",
        run=run,
        context={"entities": list(entities)},
    )


def closing() -> ArtdaqDBError:
    """Return the error for a call while the database is being closed."""
    return ArtdaqDBError("artdaqDB is being closed", retry=Retry.TRANSIENT, remedy="it goes on after the next start")


def message_of(text: str) -> str:
    """Return the library's message without stack trace and frame lines, on one line."""
    found = _WHAT.search(text)
    words = _CATEGORY.sub(" ", found[1] if found else text)
    return " ".join(words.split())[:_LONGEST]


def _last_line(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    return lines[-1][:_LONGEST] if lines else "it said nothing"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
