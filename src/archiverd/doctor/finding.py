"""One line of the report."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Status(enum.StrEnum):
    """Result of a check."""

    OK = "ok"
    WARNING = "warning"
    """Archiving works; it should be seen to when there is time."""
    FAILED = "failed"
    """Archiving does not work, or will not for long."""
    SKIPPED = "skipped"
    """It could not be checked, or does not apply; ``message`` says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the name of the check, its result, what was seen, and what to do about it."""

    name: str
    status: Status
    message: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the line as JSON has it (docs/commands.md)."""
        return {"name": self.name, "status": str(self.status), "said": self.message, "remedy": self.remedy}


def ok(name: str, message: str) -> Finding:
    """Return the line for something that is as it should be."""
    return Finding(name, Status.OK, message)


def warning(name: str, message: str, remedy: str) -> Finding:
    """Return the line for something that does not hinder archiving now."""
    return Finding(name, Status.WARNING, message, remedy)


def failed(name: str, message: str, remedy: str) -> Finding:
    """Return the line for something that hinders archiving."""
    return Finding(name, Status.FAILED, message, remedy)


def skipped(name: str, message: str) -> Finding:
    """Return the line for something that could not be checked, or does not apply."""
    return Finding(name, Status.SKIPPED, message)
