"""Whether bulkloader and bulkdownloader succeeded, by their output (artdaqdb_format.md sections E.3 and E.4).

Their exit codes do not say: bulkdownloader ends with 0 though documents failed, and counts those as done; without a
single file bulkloader divides by zero. So their texts are read, and later the data.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archiverd.core.errors import ArtdaqDBError, Blame, Retry

if TYPE_CHECKING:
    from archiverd.artdaqdb.tools.command import ProgramResult

DIVIDED_BY_ZERO = 128 + 8
"""Exit code of SIGFPE, as a shell reports it."""

_LOADED = re.compile(rb"^Loaded ([0-9]+) files with ", re.MULTILINE)
_DOWNLOADED = re.compile(rb"^Downloaded ([0-9]+) files with ", re.MULTILINE)
_FAILED = re.compile(r"Failed to (?:load|export) [0-9]+ ?file\(s\)|^Failed loading file:", re.MULTILINE)
_NOTHING_THERE = ("No search filters were found.", "No results found for ")
_UNREACHABLE = ("No suitable servers found", "failed to create a client session", "Failed to resolve")
_REASON = re.compile(
    r"^(?:Failed loading file:.*|std::exception::what: (?!----).*|Process exited with exception: .*|Error: .*)$",
    re.MULTILINE,
)


def check_loaded(outcome: ProgramResult, count: int, run: int) -> None:
    """Raise ArtdaqDBError unless bulkloader says that it stored all ``count`` files."""
    reported = _LOADED.search(outcome.stdout)
    if outcome.code or _FAILED.search(outcome.stderr) or reported is None or int(reported[1]) != count:
        raise _failed("bulkloader", outcome, run)


def check_downloaded(outcome: ProgramResult, count: int, run: int) -> bool:
    """Return whether the configuration is in the database at all; ``count`` files were found written.

    Raise ArtdaqDBError unless bulkdownloader says that it wrote all of them, or that there is no such configuration.
    """
    if outcome.code and not count and any(text in outcome.stderr for text in _NOTHING_THERE):
        return False
    reported = _DOWNLOADED.search(outcome.stdout)
    if outcome.code or _FAILED.search(outcome.stderr) or reported is None or int(reported[1]) != count:
        raise _failed("bulkdownloader", outcome, run)
    return True


def _failed(tool: str, outcome: ProgramResult, run: int) -> ArtdaqDBError:
    """Return the error for a tool that did not do what it was asked for."""
    reasons = _REASON.findall(outcome.stderr)
    reason = " / ".join(reasons[:3]) or outcome.stderr.strip()[-300:] or outcome.stdout.decode(errors="replace")[:300]
    if outcome.code == DIVIDED_BY_ZERO:
        reason = "it found nothing to do and divided by zero (SIGFPE)"
    unreachable = any(text in outcome.stderr for text in _UNREACHABLE)
    return ArtdaqDBError(
        f"{tool} failed with exit code {outcome.code}: {reason or 'it said nothing'}",
        retry=Retry.TRANSIENT if unreachable else Retry.PERMANENT,
        blame=Blame.BACKEND if unreachable else Blame.RUN,
        remedy="see that the server named by artdaq_db.database_uri runs"
        if unreachable
        else f"what {tool} could not do stands above; `archiverd release {run}` tries again and adds what is missing",
        run=run,
        context={"exit_code": outcome.code},
    )
