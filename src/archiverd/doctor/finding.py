"""What one line of the report says."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Status(enum.StrEnum):
    """How one thing is."""

    OK = "ok"
    WARNING = "warning"
    """Archiving works; somebody should look at it when there is time."""
    FAILED = "failed"
    """Archiving does not work, or will not for long."""
    SKIPPED = "skipped"
    """It could not be looked at, or does not apply; ``said`` tells why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the thing's name, how it is, what was seen, and what to do about it."""

    name: str
    status: Status
    said: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the line as JSON has it (docs/commands.md)."""
        return {"name": self.name, "status": str(self.status), "said": self.said, "remedy": self.remedy}


def ok(name: str, said: str) -> Finding:
    """Return the line for something that is as it should be."""
    return Finding(name, Status.OK, said)


def warning(name: str, said: str, remedy: str) -> Finding:
    """Return the line for something that does not hinder archiving now."""
    return Finding(name, Status.WARNING, said, remedy)


def failed(name: str, said: str, remedy: str) -> Finding:
    """Return the line for something that hinders archiving."""
    return Finding(name, Status.FAILED, said, remedy)


def skipped(name: str, said: str) -> Finding:
    """Return the line for something that could not be looked at, or does not apply."""
    return Finding(name, Status.SKIPPED, said)
