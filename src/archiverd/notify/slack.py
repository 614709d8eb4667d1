"""Messages in a Slack channel, through the app whose token is configured."""

from __future__ import annotations

import logging
import re
import urllib.error
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import WebClient

from archiverd.core.errors import ReportingError, Retry
from archiverd.detached import run_detached
from archiverd.notify.message import Message, Topic, clock_text, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.config.reporting import Slack

API = "https://slack.com/api/"

RUNS_LISTED = 10
"""Most run numbers in one message."""

TEXT_LIMIT = 380
"""Most characters of a cause or remedy; escaped, each may become five, and Slack takes 2000 in one text."""

_PASSING = frozenset(
    {"ratelimited", "rate_limited", "fatal_error", "internal_error", "service_unavailable", "request_timeout"}
)
"""Slack's errors that pass by themselves, as its API reference names them."""

_REMEDIES = {
    "channel_not_found": "correct reporting.slack.channel, and invite the app to it",
    "not_in_channel": "invite the app to the channel",
    "is_archived": "choose another reporting.slack.channel",
    "missing_scope": "give the app the scope chat:write and install it again",
    "ratelimited": "nothing: it is tried again when Slack allows",
}
_TOKEN_REMEDY = "correct reporting.slack.bot_token"  # noqa: S105 - names the setting
_TOKEN_ERRORS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})


def _silent_logger() -> logging.Logger:
    """Return a logger for the library that logs nothing: its errors are raised as well."""
    logger = logging.getLogger("archiverd.notify.slack")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class SlackNotifier:
    """Writes each message to one channel."""

    def __init__(self, settings: Slack, *, base_url: str = API, seconds: float = 10.0) -> None:
        """``seconds`` is the timeout of a request; ``base_url`` the URL of Slack's API."""
        self._channel = settings.channel
        self._mentions = mentions(settings.mention_users)
        self._seconds = seconds
        self._client = WebClient(
            token=settings.bot_token.get_secret_value(),
            base_url=base_url,
            timeout=max(1, int(seconds)),
            logger=_silent_logger(),
            retry_handlers=[],  # the dispatcher tries again
        )

    async def send(self, message: Message) -> None:
        """See ``Notifier.send``."""
        client, channel = self._client, self._channel
        text, blocks = compose(message, self._mentions)
        await self._call(
            lambda: client.chat_postMessage(
                channel=channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False
            )
        )

    async def check(self) -> None:
        """See ``Notifier.check``."""
        await self._call(self._client.auth_test)

    async def _call(self, work: Callable[[], object]) -> None:
        """Call the library in a detached thread. Raise ReportingError for any error of Slack."""
        try:
            await run_detached(work, 2 * self._seconds)
        except SlackApiError as error:
            raise self._refused(error) from None  # its own text quotes the whole response
        except (SlackClientError, HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            text = "timed out" if isinstance(reason, TimeoutError) else one_line(str(reason), 200)
            raise ReportingError(
                f"Cannot reach Slack: {text}",
                retry=Retry.TRANSIENT,
                remedy="check the way to slack.com: proxy ($HTTPS_PROXY), firewall, DNS",
            ) from error

    def _refused(self, error: SlackApiError) -> ReportingError:
        """Return the ReportingError for Slack's answer."""
        status = int(getattr(error.response, "status_code", 0))
        code = one_line(str(error.response.get("error", "") or f"HTTP {status}"), 200)
        passing = code in _PASSING or status == 429 or status >= 500
        remedy = (
            _TOKEN_REMEDY if code in _TOKEN_ERRORS else _REMEDIES.get(code, "see Slack's reference of chat.postMessage")
        )
        wait = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
        return ReportingError(
            f"Slack refused what was to be told in {self._channel}: {code}",
            retry=Retry.TRANSIENT if passing else Retry.PERMANENT,
            remedy=remedy,
            context={"retry_after": int(wait)} if wait.isdecimal() and len(wait) < 6 else {},
        )


def mentions(users: str) -> str:
    """Return Slack's mentions of ``users``, ids separated by commas; what is no id is left out."""
    ids = (user.strip().lstrip("@") for user in users.split(","))
    return " ".join(f"<@{user}>" for user in ids if re.fullmatch(r"[A-Z0-9]+", user))


def compose(message: Message, mentioned: str) -> tuple[str, list[dict[str, Any]]]:
    """Return ``message`` as plain text, for Slack's own notifications, and as Slack's blocks."""
    heading = f"Run Record Archiver {message.subject} {message.topic}"
    wanted = mentioned if message.topic in (Topic.FAILED, Topic.OUTAGE) else ""
    fields = {"Host": message.host, "Time": clock_text(message.at), "Stage": message.subject}
    if message.topic is Topic.FAILED:
        fields["Failed runs"] = str(len(message.runs))
    elif message.topic is Topic.REPAIRED:
        fields["Repaired runs"] = str(len(message.runs))
    else:
        fields = {"Host": message.host, "Time": clock_text(message.at), "Backend": message.subject}
        if message.since is not None:
            fields["Away since"] = clock_text(message.since)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": one_line(heading, 150)}},
        {"type": "section", "fields": [_markdown(f"*{name}:*\n{_escaped(text)}") for name, text in fields.items()]},
    ]
    parts = [
        f"*Runs:* {_runs(message)}" if message.runs else "",
        f"*Cause:* {_escaped(one_line(message.cause, TEXT_LIMIT))}" if message.cause else "",
        f"*What to do:* {_escaped(one_line(message.remedy, TEXT_LIMIT))}" if message.remedy else "",
        _escaped(message.advice),
        wanted,
    ]
    blocks.extend({"type": "section", "text": _markdown(part)} for part in parts if part)
    return f"{heading}: {_escaped(message.summary)} {wanted}".rstrip(), blocks


def _runs(message: Message) -> str:
    """Return the first run numbers and the count of the others."""
    listed = ", ".join(str(line.run) for line in message.runs[:RUNS_LISTED])
    more = len(message.runs) - RUNS_LISTED
    return f"{listed} and {more} more" if more > 0 else listed


def _markdown(text: str) -> dict[str, str]:
    """Return a text object in Slack's markup."""
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str) -> str:
    """Return ``text`` with the three special characters of Slack's markup escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
