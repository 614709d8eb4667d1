"""Messages to people, and the port ``Notifier`` that sends them."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import Protocol

from archiverd.core.wording import pluralise

TEXT_LIMIT = 1000
"""Most characters of a cause or remedy in a message; `archiverd why` prints all of them."""


class Topic(enum.StrEnum):
    """What a message is about; the value is the word in its heading, behind a stage or backend."""

    FAILED = "Failures"
    REPAIRED = "Repaired"
    OUTAGE = "Outage"
    OUTAGE_OVER = "Works Again"


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a message, with its cause if the runs of the message have different ones."""

    run: int
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message about runs of a stage that failed or were repaired, or about a backend. Times in epoch seconds."""

    topic: Topic
    subject: str
    """The stage (``Import``, ``Migration``), or the backend's name."""
    host: str
    at: float
    runs: tuple[RunLine, ...] = ()
    """Ascending."""
    cause: str = ""
    remedy: str = ""
    since: float | None = None
    """When the backend stopped working."""

    @property
    def summary(self) -> str:
        """What happened, in one sentence."""
        count = len(self.runs)
        since = clock_text(self.at if self.since is None else self.since)
        runs = pluralise(count, "run")
        match self.topic:
            case Topic.FAILED:
                return f"{runs} failed in the {self.subject.lower()} stage on {self.host}."
            case Topic.REPAIRED:
                have = "has" if count == 1 else "have"
                return f"{runs} that had failed in the {self.subject.lower()} stage {have} been archived and verified."
            case Topic.OUTAGE:
                return f"{self.subject} is away since {since}: nothing but probes is sent to it."
            case Topic.OUTAGE_OVER:
                return f"{self.subject} works again; it was away since {since}."

    @property
    def advice(self) -> str:
        """What to do next, in one sentence."""
        match self.topic:
            case Topic.FAILED:
                last = max(one.run for one in self.runs) if self.runs else "RUN"
                return (
                    f"`archiverd why {last}` tells a run's story; once the cause is mended "
                    f"`archiverd retry {_COMMANDS.get(self.subject, 'import')}` takes the runs up again."
                )
            case Topic.REPAIRED:
                return "Nothing is left to do for them."
            case Topic.OUTAGE:
                return "Runs are still imported, and wait; their uploads go on by themselves once it is back."
            case Topic.OUTAGE_OVER:
                return "The runs that waited are uploaded now."


_COMMANDS = {"Import": "import", "Migration": "migrate"}
"""The argument of `archiverd retry` for each stage."""


class Notifier(Protocol):
    """A way to reach people. Both methods end by themselves within half a minute, and raise ReportingError."""

    async def send(self, message: Message) -> None:
        """Send ``message``."""

    async def check(self) -> None:
        """Connect to the server and log in, without sending anything."""


def clock_text(at: float) -> str:
    """Return a time as messages show it: local, with its zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def one_line(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return ``text`` as one line of at most ``limit`` printable characters: errors quote run records."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= limit else f"{plain[: limit - 2]} …"
