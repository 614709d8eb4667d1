"""Every notifier there is, and Carbon. What lists them elsewhere reads this: docs/extending.md.

Carbon takes metrics and no messages, so it is no notifier. It stands here for what it shares with them: a section of
the configuration that can be enabled, keys that are required then, and a check of its server.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from archiverd.notify.carbon import CarbonSender

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.config.models import Settings
    from archiverd.config.reporting import OptionalSection
    from archiverd.notify.message import Notifier


class Checkable(Protocol):
    """What `archiverd check` can try."""

    async def check(self) -> None:
        """Connect to the server, and log in if there is a login, without sending anything. Raise ReportingError."""


T_co = TypeVar("T_co", bound=Checkable, covariant=True)


@dataclass(frozen=True, slots=True)
class Destination(Generic[T_co]):
    """Where messages or metrics can go."""

    name: str
    """As log, journal and `archiverd check` call it."""
    section: str
    """Its section of the configuration, an ``OptionalSection``, dotted: ``reporting.email``."""
    make: Callable[[Settings], T_co]
    """Makes the adapter; imports its library, so that nobody pays for one that is not enabled."""
    checked: str
    """What `archiverd check` prints once the adapter's ``check`` has passed."""

    def settings(self, settings: Settings) -> OptionalSection:
        """Return its section of ``settings``."""
        found: OptionalSection = attrgetter(self.section)(settings)
        return found

    def if_enabled(self, settings: Settings) -> T_co | None:
        """Return the adapter, or None unless it is enabled."""
        return self.make(settings) if self.settings(settings).enabled else None


def _email(settings: Settings) -> Notifier:
    from archiverd.notify.email import EmailNotifier  # noqa: PLC0415 - a heavy import

    return EmailNotifier(settings.reporting.email)


def _slack(settings: Settings) -> Notifier:
    from archiverd.notify.slack import SlackNotifier  # noqa: PLC0415 - a heavy import

    return SlackNotifier(settings.reporting.slack)


def _carbon(settings: Settings) -> CarbonSender:
    return CarbonSender(settings.carbon, clock=time.time, uniform=random.uniform)


NOTIFIERS: Final[tuple[Destination[Notifier], ...]] = (
    Destination("email", "reporting.email", _email, "reached, login taken; nothing was sent"),
    Destination("slack", "reporting.slack", _slack, "reached, login taken; nothing was sent"),
)

CARBON: Final = Destination("carbon", "carbon", _carbon, "reached; nothing was sent")

DESTINATIONS: Final[tuple[Destination[Checkable], ...]] = (*NOTIFIERS, CARBON)
"""In the order in which `archiverd check` tries them."""


def make_notifiers(settings: Settings) -> dict[str, Notifier]:
    """Return the notifiers that are enabled, by name."""
    made = {destination.name: destination.if_enabled(settings) for destination in NOTIFIERS}
    return {name: notifier for name, notifier in made.items() if notifier is not None}
