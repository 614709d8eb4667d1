"""From what the driver or the server says to an error an operator can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import errors

from archiverd.artdaqdb.mongo.uri import without_secrets
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Blame, ConfigurationError, Retry

if TYPE_CHECKING:
    from bson.errors import BSONError

    from archiverd.artdaqdb.mongo.uri import Address

DUPLICATE_KEY = 11000
"""A document with this ``_id`` is there already."""
UNAUTHORIZED = 13
INDEXED_OTHERWISE = (85, 86)
"""There is such an index under another name, or with other options."""
_LOGIN = {UNAUTHORIZED, 18, 33, 334, 8000}
"""Not allowed, authentication failed, or its way is not known to the server."""
_FULL = 14031
_PASSING = {
    *(6, 7, 89, 9001),  # host unreachable or not found, network timeout, socket exception
    *(91, 189, 10058, 10107, 11600, 11602, 13435, 13436),  # shutting down, stepping down, not (yet) the primary
    *(24, 46, 50, 112, 146, 202, 262),  # lock held, write conflict, time or memory exceeded
    *(64, 79, 100),  # the write concern was not met in time or cannot be met now
    *(133, 134, 246, _FULL),  # no server fits, no majority snapshot, disk full
}
"""Codes of the server for what passes by itself (error_codes.yml of MongoDB)."""
_DETAIL_LIMIT = 500
_LOGIN_REMEDY = (
    "check user, password, authSource and roles (readWrite) of artdaq_db.database_uri; it is tried again by itself"
)
_REFUSED = "look the server's words up; the run waits in quarantine, `archiverd retry` tries it again"
_UNREACHABLE = (
    "it is tried again by itself; if it lasts, check artdaq_db.database_uri, the network and the MongoDB server"
)


def told(error: errors.PyMongoError | BSONError, purpose: str, address: Address, run: int | None) -> ArchiverError:
    """Return what an operator is told: ``purpose`` says what failed, as in ``Failed to get configurations``."""
    detail = without_secrets(_detail(error), address.secrets)
    if isinstance(error, errors.ConfigurationError):
        return ConfigurationError(
            f"Configuration validation failed: artdaq_db.database_uri: {detail}",
            remedy=f"correct the URI or its options: {address.shown}",
        )
    retry, blame, remedy = _judged(error)
    return ArtdaqDBError(
        f"{purpose}: {detail}",
        retry=retry,
        blame=blame,
        remedy=remedy,
        run=run,
        context={"database": address.shown, "codes": sorted(codes(error))},
    )


def codes(error: BaseException) -> set[int]:
    """Return the server's error codes; a bulk write has one for each document and each write concern."""
    if isinstance(error, errors.BulkWriteError):
        details = error.details or {}
        return {one.get("code", 0) for kind in ("writeErrors", "writeConcernErrors") for one in details.get(kind, ())}
    code = getattr(error, "code", None)
    return {code} if code else set()


def only_duplicates(error: BaseException) -> bool:
    """Tell whether the one thing a write met is that its documents were there already."""
    return codes(error) == {DUPLICATE_KEY}


def _judged(error: errors.PyMongoError | BSONError) -> tuple[Retry, Blame, str]:
    """Return how a failure may be retried, whose it is, and its remedy."""
    found = codes(error)
    if found & _LOGIN:
        return Retry.TRANSIENT, Blame.LOGIN, _LOGIN_REMEDY
    if _FULL in found:
        return Retry.TRANSIENT, Blame.BACKEND, "free space on the MongoDB server; the run is tried again by itself"
    passing = isinstance(error, errors.PyMongoError) and (
        error.timeout or error.has_error_label("RetryableWriteError") or isinstance(error, errors.ConnectionFailure)
    )
    if passing or found & _PASSING:
        return Retry.TRANSIENT, Blame.BACKEND, _UNREACHABLE
    return Retry.PERMANENT, Blame.RUN, _REFUSED


def _detail(error: BaseException) -> str:
    """Return what went wrong in a line; a bulk write's error hides it in its details."""
    text = str(error)
    if isinstance(error, errors.BulkWriteError):
        details = error.details or {}
        told_ = [
            one.get("errmsg", "") for kind in ("writeErrors", "writeConcernErrors") for one in details.get(kind, ())
        ]
        text = "; ".join(dict.fromkeys(told_)) or text
    text = " ".join(text.split(", Timeout:")[0].split(", full error:")[0].split())
    return text if len(text) <= _DETAIL_LIMIT else f"{text[:_DETAIL_LIMIT]}…"
