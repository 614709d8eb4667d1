"""Can the notifiers and Carbon be reached? Archiving does without them, so the worst finding is a warning."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from archiverd.core.errors import ReportingError
from archiverd.doctor.examination import LONGEST_SECONDS, Examination
from archiverd.doctor.finding import Finding, ok, warning
from archiverd.notify.registry import DESTINATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from archiverd.config.models import Settings
    from archiverd.notify.registry import Checkable, Destination

SECONDS = 9.0
"""Longest wait for one of them."""


def examinations(settings: Settings) -> list[Examination]:
    """Return an examination of each destination of the registry."""
    return [
        Examination((_name(destination),), partial(_examine, destination, settings), LONGEST_SECONDS)
        for destination in DESTINATIONS
    ]


def _name(destination: Destination[Checkable]) -> str:
    return f"notify {destination.name}"


async def _examine(destination: Destination[Checkable], settings: Settings) -> AsyncGenerator[Finding]:
    """Yield what is found of one destination: a warning at worst."""
    name = _name(destination)
    adapter = destination.if_enabled(settings)
    if adapter is None:
        yield ok(name, "not enabled")
        return
    try:
        async with asyncio.timeout(SECONDS):
            await adapter.check()
    except TimeoutError:
        yield warning(name, f"no answer within {SECONDS:g} s", "see whether its server is up, and the network")
    except ReportingError as error:
        yield warning(name, str(error), error.remedy or f"see [{destination.section}] of the configuration")
    else:
        yield ok(name, destination.checked)
