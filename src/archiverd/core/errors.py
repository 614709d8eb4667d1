"""The error tree, in the words operators know from the runbook.

    ArchiverError                 anything an operator can meet; exit code 1
    ├── ConfigurationError        a setting is missing, unknown or impossible
    ├── LockExistsError           another instance holds the lock file
    ├── FclPreperationError       a run record's file cannot be turned into FHiCL (spelled so in the runbook)
    │   └── FhiclError            text that is not FHiCL: file, line, column
    ├── ArtdaqDBError             artdaqDB refused, failed or answered wrongly
    ├── UconDBError               UconDB refused, failed or could not be reached
    ├── BlobCreationError         the exported files cannot be packed into a blob
    ├── VerificationError         what UconDB holds is not what was sent
    └── ReportingError            a notification could not be sent

A class names the subject. An *instance* carries its retry class (a refused connection and a 403 are both UconDBError),
whom it blames, a remedy in one line, the run, and facts for the log's ``Context:`` line.
"""

from __future__ import annotations

import contextlib
import enum
import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Retry(enum.Enum):
    """What may be done about a failure."""

    TRANSIENT = "transient"
    """Try again later: the cause is outside and passes (network, busy server, full disk)."""
    PERMANENT = "permanent"
    """The same attempt would fail again: quarantine the run until somebody acts."""
    UNKNOWN = "unknown"
    """Nobody knows whether the effect happened: it is looked up before the next attempt."""
    CONFLICT = "conflict"
    """Other content is where ours belongs: nothing is overwritten, an operator must decide."""
    BUG = "bug"
    """Our own mistake: an unexpected exception; the run is quarantined with its traceback in the log."""


class Blame(enum.Enum):
    """Whose failure it is: one run's, or one that every run would meet."""

    RUN = "run"
    BACKEND = "backend"
    """The database or its server does not work: after several such failures in a row it is left alone and probed."""
    LOGIN = "login"
    """The server refuses our login: nothing is sent to it until a probe passes."""


class ArchiverError(Exception):
    """Anything an operator can meet; the message says what happened."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        retry: Retry = Retry.PERMANENT,
        blame: Blame = Blame.RUN,
        remedy: str = "",
        run: int | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        """Keep ``message`` greppable; ``remedy`` is one line an operator can follow; ``context`` holds no secrets."""
        super().__init__(message)
        self.message = message
        self.retry = retry
        self.blame = blame
        self.remedy = remedy
        self.run = run
        self.stage = ""
        self.context: dict[str, object] = dict(context or {})

    @property
    def name(self) -> str:
        """The class name as in log lines, e.g. ``UconDBError``."""
        return type(self).__name__

    def __str__(self) -> str:
        return self.message


@contextlib.contextmanager
def error_stage(stage: str) -> Iterator[None]:
    """Mark an ArchiverError that leaves the block as one of ``stage``, e.g. ``Import``, unless it has one already."""
    try:
        yield
    except ArchiverError as error:
        error.stage = error.stage or stage
        raise


class ConfigurationError(ArchiverError):
    """A setting is missing, unknown or impossible."""


class LockExistsError(ArchiverError):
    """Another instance holds the lock file."""


class FclPreperationError(ArchiverError):
    """A run record's file cannot be turned into FHiCL, or the schema for it is missing."""


class FhiclError(FclPreperationError):
    """Text that is not FHiCL; ``line`` and ``column`` count from 1 (0, 1 mean the end of the text)."""

    def __init__(self, message: str, *, file: str, line: int, column: int) -> None:
        """``message`` says what is wrong, without the position; ``str()`` gives ``file:line:column: message``."""
        super().__init__(message, context={"file": file, "line": line, "column": column})
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ArtdaqDBError(ArchiverError):
    """ArtdaqDB refused, failed or answered wrongly."""


class UconDBError(ArchiverError):
    """UconDB refused, failed or could not be reached."""


class BlobCreationError(ArchiverError):
    """The exported files cannot be packed into a blob."""


class VerificationError(ArchiverError):
    """What UconDB holds is not what was sent."""


class ReportingError(ArchiverError):
    """A notification could not be sent; archiving is never touched by it."""


def leaf(error: BaseException) -> BaseException:
    """Return the first leaf of an exception group, the cause that ended its siblings; anything else as it is."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def exit_code(error: BaseException) -> int:
    """Return the exit code of a process that ends with ``error``: 1 known, 2 unexpected, 130 interrupted."""
    cause = leaf(error)
    if isinstance(cause, ArchiverError):
        return cause.exit_code
    if isinstance(cause, KeyboardInterrupt):
        return 130
    known = isinstance(cause, PermissionError) or (isinstance(cause, OSError) and cause.errno == errno.ENOSPC)
    return 1 if known else 2
