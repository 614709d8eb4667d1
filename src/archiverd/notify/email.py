"""Messages by mail, through an SMTP server, with TLS and a login where configured."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, getaddresses, make_msgid
from typing import TYPE_CHECKING

import aiosmtplib

from archiverd import log
from archiverd.core.errors import ReportingError, Retry
from archiverd.detached import connect_tcp, run_detached
from archiverd.notify.message import Message, Topic, clock_text, one_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from archiverd.config.reporting import Email

RUNS_LISTED = 500
"""Most runs listed in one mail, one a line."""

IMPLICIT_TLS_PORT = 465
"""The port where TLS comes before SMTP (RFC 8314), so that STARTTLS is not used."""

_POLICY = policy.SMTP.clone(max_line_length=900, cte_type="7bit")
"""SMTP takes lines of 998 characters; an unfolded subject is found by filters."""

_SUBJECTS = {Topic.FAILED: "Errors"}
"""The word for a topic in a subject, where it is not the topic's own."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts to which a password may go in the clear."""

_log = log.get("Report")


class EmailNotifier:
    """Sends each message as one mail to all recipients."""

    def __init__(self, settings: Email, *, seconds: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        """``seconds`` limits a step of the server, twice that a whole session; ``tls`` replaces the system's rules."""
        self._settings = settings
        self._seconds = seconds
        self._implicit = settings.smtp_port == IMPLICIT_TLS_PORT
        secured = self._implicit or settings.smtp_use_tls
        self._tls = (tls or ssl.create_default_context()) if secured else None
        if settings.smtp_user and not secured and settings.smtp_host not in _LOCAL:
            _log.warning("the password for the mail server goes there in the clear: set reporting.email.smtp_use_tls")

    async def send(self, message: Message) -> None:
        """See ``Notifier.send``. A refused recipient is logged if another one is accepted."""
        sender, recipients = addresses(self._settings.sender_email), addresses(self._settings.recipient_email)
        mail = compose(message, self._settings.sender_email, recipients)
        with self._problems():
            async with self._session() as server:
                refused, _ = await server.sendmail(sender[0], recipients, mail.as_bytes())
        for address, (code, text) in refused.items():
            reason = f"The mail server refused the recipient {address}: {code} {one_line(text, 200)}"
            log.failure(_log, ReportingError(reason, remedy="correct reporting.email.recipient_email"))

    async def check(self) -> None:
        """See ``Notifier.check``."""
        with self._problems():
            async with self._session() as server:
                await server.noop()

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """Connect, secure the connection and log in, as configured; disconnect at the end."""
        s = self._settings
        async with asyncio.timeout(2 * self._seconds):
            server = aiosmtplib.SMTP(
                hostname=s.smtp_host,
                local_hostname=await self._own_name(),
                sock=await connect_tcp(s.smtp_host, s.smtp_port, self._seconds),
                timeout=self._seconds,
                use_tls=self._implicit,
                start_tls=s.smtp_use_tls and not self._implicit,
                tls_context=self._tls,
            )
            async with server:
                if s.smtp_user:
                    await server.login(s.smtp_user, s.smtp_password.get_secret_value())
                yield server

    async def _own_name(self) -> str:
        """Return this host's full name, or its short one if no name server knows it."""
        with contextlib.suppress(OSError):
            return await run_detached(socket.getfqdn, self._seconds / 2)
        return socket.gethostname()

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        """Raise ReportingError for any error of a mail server."""
        try:
            yield
        except (aiosmtplib.SMTPException, OSError) as error:
            server = f"{self._settings.smtp_host}:{self._settings.smtp_port}"
            text, retry, remedy = _explained(error)
            raise ReportingError(
                f"Cannot send mail through {server}: {text}", retry=retry, remedy=remedy, context={"server": server}
            ) from error


def addresses(given: str) -> list[str]:
    """Return the bare addresses in a setting, which may have several with names, separated by commas."""
    return [address for _, address in getaddresses([given]) if address]


def compose(message: Message, sender: str, recipients: list[str]) -> EmailMessage:
    """Return ``message`` as a mail."""
    mail = EmailMessage(_POLICY)
    mail["Subject"] = " ".join(
        (
            "Run Record Archiver",
            message.subject,
            _SUBJECTS.get(message.topic, message.topic),
            f"on {message.host} at {clock_text(message.at)}",
        )
    )
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = formatdate(message.at, localtime=True)
    mail["Message-ID"] = make_msgid(domain=message.host)
    mail["Auto-Submitted"] = "auto-generated"  # no out-of-office replies (RFC 3834)
    mail.set_content("\n".join(_body(message)))
    return mail


def _body(message: Message) -> Iterator[str]:
    yield from (message.summary, "")
    if message.cause:
        yield f"Cause: {one_line(message.cause)}"
    if message.remedy:
        yield f"What to do: {one_line(message.remedy)}"
    if message.cause or message.remedy:
        yield ""
    if message.runs:
        yield "Failed runs:" if message.topic is Topic.FAILED else "Runs:"
        for line in message.runs[:RUNS_LISTED]:
            yield f"{line.run}: {one_line(line.cause, 300)}" if line.cause else str(line.run)
        if len(message.runs) > RUNS_LISTED:
            yield f"and {len(message.runs) - RUNS_LISTED} more: see `archiverd status`"
        yield ""
    yield message.advice


def _explained(error: aiosmtplib.SMTPException | OSError) -> tuple[str, Retry, str]:
    """Return text, retry class and remedy for an error; nothing that a server may have echoed of the login."""
    reach = "check reporting.email.smtp_host and smtp_port, and whether the mail server runs"
    cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else None
    found = str(cause or error), Retry.TRANSIENT, reach
    match error:
        case aiosmtplib.SMTPResponseException():
            found = _answered(error)
        case aiosmtplib.SMTPRecipientsRefused():
            refused = "; ".join(f"{one.recipient}: {one.code} {one_line(one.message, 200)}" for one in error.recipients)
            found = f"recipients refused: {refused}", Retry.PERMANENT, "correct reporting.email.recipient_email"
        case ssl.SSLCertVerificationError():
            remedy = "smtp_host must be the name in the server's certificate, and its authority known to this system"
            found = f"TLS certificate verification failed: {error.verify_message}", Retry.PERMANENT, remedy
        case ssl.SSLError():
            remedy = "check reporting.email.smtp_use_tls and smtp_port"
            found = f"TLS failed: {error.reason or error}", Retry.PERMANENT, remedy
        case TimeoutError():
            found = "timed out", Retry.TRANSIENT, reach
        case aiosmtplib.SMTPException() if not isinstance(error, OSError):
            remedy = "check reporting.email.smtp_use_tls, smtp_user and smtp_port"
            found = one_line(error.message, 200), Retry.PERMANENT, remedy
    return found


def _answered(error: aiosmtplib.SMTPResponseException) -> tuple[str, Retry, str]:
    """As ``_explained``, for an answer of the server."""
    text = f"{error.code} {one_line(error.message, 200)}"
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            text, remedy = (
                f"the login was refused ({error.code})",
                "correct reporting.email.smtp_user and smtp_password",
            )
        case aiosmtplib.SMTPSenderRefused():
            text, remedy = f"sender refused: {text}", "correct reporting.email.sender_email"
        case _:
            remedy = "ask whoever runs the mail server"
    return text, Retry.TRANSIENT if 400 <= error.code < 500 else Retry.PERMANENT, remedy
