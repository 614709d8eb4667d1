"""Who is told: can mail, Slack and Carbon be reached? Archiving does without them, so nothing here fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from archiverd.core.errors import ReportingError
from archiverd.doctor.examination import LONGEST_SECONDS, Examination
from archiverd.doctor.finding import Finding, ok, warning
from archiverd.notify.notifications import make_carbon, make_notifiers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from archiverd.config import Settings

KINDS = ("email", "slack", "carbon")
"""As the ways to tell are called, by themselves and in the configuration."""
SECONDS = 9.0


class Way(Protocol):
    """What all of them can."""

    name: str

    async def check(self) -> None:
        """Prove that the server is there and takes our login, without sending anything. Raise ReportingError."""


def examinations(settings: Settings) -> list[Examination]:
    """Return what there is to look at."""
    ways: dict[str, Way] = {way.name: way for way in make_notifiers(settings)}
    carbon = make_carbon(settings)
    if carbon is not None:
        ways[carbon.name] = carbon
    return [Examination((f"notify {kind}",), _look(kind, ways.get(kind)), LONGEST_SECONDS) for kind in KINDS]


def _look(kind: str, way: Way | None) -> Callable[[], AsyncGenerator[Finding]]:
    name = f"notify {kind}"

    async def look() -> AsyncGenerator[Finding]:
        if way is None:
            yield ok(name, "not enabled")
            return
        try:
            async with asyncio.timeout(SECONDS):
                await way.check()
        except TimeoutError:
            yield warning(name, f"no answer within {SECONDS:g} s", "see whether its server is up, and the network")
        except ReportingError as error:
            yield warning(name, str(error), error.remedy or f"see [{_SECTIONS[kind]}] of the configuration")
        else:
            yield ok(
                name, "reached, login taken; nothing was sent" if kind != "carbon" else "reached; nothing was sent"
            )

    return look


_SECTIONS = {"email": "reporting.email", "slack": "reporting.slack", "carbon": "carbon"}
