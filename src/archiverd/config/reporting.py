"""``[reporting.*]`` and ``[carbon]``: who is notified of failed runs, and where metrics go."""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

from pydantic import SecretStr

from archiverd.config.section import Port, Section

_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+|[\w .'()-]*<[^\s<>@]+@[^\s<>@]+>")
"""``name@host`` or ``Name <name@host>``."""


class Malformed(NamedTuple):
    """What is wrong with values that are not missing."""

    keys: tuple[str, ...]
    problem: str
    """Follows "Configuration validation failed: "."""
    form: str
    """What the values should look like."""


class OptionalSection(Section):
    """A section that demands something only where ``enabled`` is true."""

    required: ClassVar[tuple[str, ...]]
    """Keys that must not be blank then."""

    enabled: bool = False

    def missing(self) -> list[str]:
        """Return the required keys that are blank."""
        return [key for key in self.required if not _text(getattr(self, key)).strip()]

    def malformed(self) -> Malformed | None:
        """Return what is wrong with values that are there; None if nothing."""
        return None


class Email(OptionalSection):
    """``[reporting.email]``: failed runs reported by mail."""

    required: ClassVar = ("recipient_email", "sender_email", "smtp_host")

    recipient_email: str = ""
    """One address, or several with commas."""
    sender_email: str = ""
    smtp_host: str = ""
    smtp_port: Port = 25
    smtp_use_tls: bool = False
    """STARTTLS before anything else is sent."""
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")

    def missing(self) -> list[str]:
        """Return the required keys that are blank, the password among them where there is a user."""
        password = ["smtp_password"] if self.smtp_user and not _text(self.smtp_password).strip() else []
        return [*super().missing(), *password]

    def malformed(self) -> Malformed | None:
        """Return what is wrong with the addresses; None if nothing."""
        addresses = (*filter(str.strip, self.recipient_email.split(",")), self.sender_email)
        if all(one.isascii() and _ADDRESS.fullmatch(one.strip()) for one in addresses):
            return None
        return Malformed(
            ("recipient_email", "sender_email"),
            "recipient_email and sender_email must be addresses, with commas between",
            "name@example.org, other@example.org",
        )


class Slack(OptionalSection):
    """``[reporting.slack]``: failed runs reported in a Slack channel."""

    required: ClassVar = ("bot_token", "channel")

    bot_token: SecretStr = SecretStr("")
    """Of an app with the scope chat:write."""
    channel: str = ""
    mention_users: str = ""
    """Slack's ids of people, with commas, e.g. ``U1,U2``."""


class Reporting(Section):
    """``[reporting]``: a section for each notifier (``notify/registry.py``), under its name."""

    email: Email = Email()
    slack: Slack = Slack()


class Carbon(OptionalSection):
    """``[carbon]``: metrics for Graphite, as plaintext lines over TCP."""

    required: ClassVar = ("host",)

    host: str = ""
    port: Port = 2003
    metric_prefix: str = ""


def _text(value: object) -> str:
    """Return a setting as text, a secret's own."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
