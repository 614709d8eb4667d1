"""Slack, through its own library, against a real HTTP server."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from archiverd.config.reporting import Slack
from archiverd.core.errors import ReportingError, Retry
from archiverd.notify.message import Message, RunLine, Topic, clock_text
from archiverd.notify.slack import SlackNotifier, compose, mentions

from .servers import SlackApi, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = tuple(RunLine(run) for run in range(100, 112))
FAILURE = Message(Topic.FAILED, "Migration", "daq01", 1_750_000_000.0, RUNS, "UconDBError: <no> & more", "wait")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own proxy out of the tests."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def api() -> Iterator[SlackApi]:
    """A server with Slack's API."""
    with SlackApi().serving() as serving:
        yield serving


def notifier(url: str, *, token: str = SlackApi.token, seconds: float = 10.0) -> SlackNotifier:
    """Return a notifier whose Slack is at ``url``."""
    settings = Slack(enabled=True, bot_token=SecretStr(token), channel="#daq", mention_users="U1, W2")
    return SlackNotifier(settings, base_url=url, seconds=seconds)


async def test_a_message_says_what_the_older_tools_messages_said(api: SlackApi) -> None:
    """Header, host, time, stage, number of failed runs, ten run numbers and how many more; people are mentioned."""
    await notifier(api.url).send(FAILURE)
    ((method, sent),) = api.calls
    assert (method, sent["channel"]) == ("chat.postMessage", "#daq")
    assert sent["text"].startswith("Run Record Archiver Migration Failures: 12 runs failed")
    header, fields, runs, *rest = sent["blocks"]
    assert header == {
        "type": "header",
        "text": {"type": "plain_text", "text": "Run Record Archiver Migration Failures"},
    }
    assert [field["text"] for field in fields["fields"]] == [
        "*Host:*\ndaq01",
        f"*Time:*\n{clock_text(FAILURE.at)}",
        "*Stage:*\nMigration",
        "*Failed runs:*\n12",
    ]
    assert runs["text"]["text"] == f"*Runs:* {', '.join(map(str, range(100, 110)))} and 2 more"
    told = [block["text"]["text"] for block in rest]
    assert "*Cause:* UconDBError: &lt;no&gt; &amp; more" in told
    assert "*What to do:* wait" in told
    assert told[-1] == "<@U1> <@W2>"


async def test_the_check_writes_nothing(api: SlackApi) -> None:
    """The token is proven by a method that writes nothing."""
    await notifier(api.url).check()
    assert [method for method, _ in api.calls] == ["auth.test"]


async def test_a_refused_token_is_an_error_without_it(api: SlackApi) -> None:
    """The error names the setting to correct, and does not contain the token."""
    with pytest.raises(ReportingError, match="invalid_auth") as caught:
        await notifier(api.url, token="xoxb-planted").send(FAILURE)
    error = caught.value
    assert (error.retry, error.remedy) == (Retry.PERMANENT, "correct reporting.slack.bot_token")
    assert "planted" not in f"{error!r}{error.context}{error.__cause__!r}"


@pytest.mark.parametrize(
    ("answer", "words", "retry", "context"),
    [
        ((200, {}, {"ok": False, "error": "channel_not_found"}), "#daq: channel_not_found", Retry.PERMANENT, {}),
        (
            (429, {"Retry-After": "30"}, {"ok": False, "error": "ratelimited"}),
            "ratelimited",
            Retry.TRANSIENT,
            {"retry_after": 30},
        ),
        ((503, {"Content-Type": "text/html"}, "<html>sorry</html>"), "Slack refused", Retry.TRANSIENT, {}),
        ((200, {}, {"ok": False, "error": "internal_error"}), "internal_error", Retry.TRANSIENT, {}),
    ],
)
async def test_what_slack_answers_decides_what_follows(
    api: SlackApi, answer: tuple[int, dict[str, str], object], words: str, retry: Retry, context: dict[str, object]
) -> None:
    """The error has Slack's code; the retry class says whether waiting helps, the context how long."""
    api.answers.append(answer)
    with pytest.raises(ReportingError, match=words) as caught:
        await notifier(api.url).send(FAILURE)
    assert (caught.value.retry, caught.value.context) == (retry, context)
    assert caught.value.remedy


async def test_a_slack_that_cannot_be_reached_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A refused connection is a ReportingError, and the library logs nothing beside it."""
    with pytest.raises(ReportingError, match=r"Cannot reach Slack: .*Connection refused") as caught:
        await notifier(f"http://127.0.0.1:{free_port()}/api/").send(FAILURE)
    assert caught.value.retry is Retry.TRANSIENT
    assert capfd.readouterr().err == ""


async def test_a_slack_that_is_silent_is_not_waited_for(api: SlackApi) -> None:
    """The caller continues after the timeout, whatever the thread still waits for."""
    api.frozen = threading.Event()
    with pytest.raises(ReportingError, match="timed out") as caught:
        await notifier(api.url, seconds=0.2).send(FAILURE)
    assert caught.value.retry is Retry.TRANSIENT


def test_only_trouble_mentions_people() -> None:
    """A repair mentions nobody."""
    text, blocks = compose(Message(Topic.REPAIRED, "Import", "h", 0.0, RUNS), "<@U1>")
    assert "<@U1>" not in text + json.dumps(blocks)
    text, blocks = compose(Message(Topic.OUTAGE, "UconDB", "h", 9.0, cause="x", since=1.0), "<@U1>")
    assert "<@U1>" in text
    assert f"*Away since:*\\n{clock_text(1.0)}" in json.dumps(blocks)


def test_what_is_no_id_is_not_mentioned() -> None:
    """Only ids of people get into Slack's markup, whatever the setting contains."""
    assert mentions("U1,@W2, , <!channel>,bob") == "<@U1> <@W2>"


def test_texts_stay_within_slacks_limits() -> None:
    """Slack refuses a text object of more than 3000 characters, fields of more than 2000, headers of more than 150."""
    message = Message(Topic.FAILED, "Import", "h" * 300, 0.0, RUNS, "<" * 9000, "&" * 9000)
    _, blocks = compose(message, mentions(",".join(["U123456789"] * 20)))
    assert all(len(block["text"]["text"]) <= 2000 for block in blocks if "text" in block)
    assert all(len(field["text"]) <= 2000 for block in blocks for field in block.get("fields", []))
