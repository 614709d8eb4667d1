"""Errors of the driver or the server as errors that an operator can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import errors

from archiverd.artdaqdb.mongo.uri import without_secrets
from archiverd.core.errors import ArchiverError, ArtdaqDBError, Blame, ConfigurationError, Retry

if TYPE_CHECKING:
    from bson.errors import BSONError

    from archiverd.artdaqdb.mongo.uri import Address

DUPLICATE_KEY = 11000
"""Error code: a document with this ``_id`` exists."""
UNAUTHORIZED = 13
INDEXED_OTHERWISE = (85, 86)
"""Error codes: such an index exists under another name, or with other options."""
_LOGIN = {UNAUTHORIZED, 18, 33, 334, 8000}
"""Error codes: not allowed, authentication failed, or its mechanism is unknown."""
_FULL = 14031
_PASSING = {
    *(6, 7, 89, 9001),  # host unreachable or not found, network timeout, socket exception
    *(91, 189, 10058, 10107, 11600, 11602, 13435, 13436),  # shutting down, stepping down, not (yet) the primary
    *(24, 46, 50, 112, 146, 202, 262),  # lock held, write conflict, time or memory exceeded
    *(64, 79, 100),  # the write concern was not met in time or cannot be met now
    *(133, 134, 246, _FULL),  # no server fits, no majority snapshot, disk full
}
"""Error codes of temporary conditions (error_codes.yml of MongoDB)."""
_DETAIL_LIMIT = 500
_LOGIN_REMEDY = (
    "check user, password, authSource and roles (readWrite) of artdaq_db.database_uri; it is tried again by itself"
)
_REFUSED = "look the server's words up; the run waits in quarantine, `archiverd retry` tries it again"
_UNREACHABLE = (
    "it is tried again by itself; if it lasts, check artdaq_db.database_uri, the network and the MongoDB server"
)


def to_archiver_error(
    error: errors.PyMongoError | BSONError, purpose: str, address: Address, run: int | None
) -> ArchiverError:
    """Return the error for an operator; ``purpose`` says what failed, such as ``Failed to get configurations``."""
    detail = without_secrets(_detail(error), address.secrets)
    if isinstance(error, errors.ConfigurationError):
        return ConfigurationError(
            f"Configuration validation failed: artdaq_db.database_uri: {detail}",
            remedy=f"correct the URI or its options: {address.shown}",
        )
    retry, blame, remedy = _classify(error)
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
    """Return whether a write failed only because its documents exist already."""
    return codes(error) == {DUPLICATE_KEY}


def _classify(error: errors.PyMongoError | BSONError) -> tuple[Retry, Blame, str]:
    """Return retry class, blame and remedy of a failure."""
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
    """Return the error's message in one line; that of a bulk write is in its details."""
    text = str(error)
    if isinstance(error, errors.BulkWriteError):
        details = error.details or {}
        messages = [
            one.get("errmsg", "") for kind in ("writeErrors", "writeConcernErrors") for one in details.get(kind, ())
        ]
        text = "; ".join(dict.fromkeys(messages)) or text
    text = " ".join(text.split(", Timeout:")[0].split(", full error:")[0].split())
    return text if len(text) <= _DETAIL_LIMIT else f"{text[:_DETAIL_LIMIT]}…"
