"""Mail, through a real SMTP server, with and without TLS and a login."""

from __future__ import annotations

import socket
import threading
from email.utils import parsedate_to_datetime

import pytest
from pydantic import SecretStr

from archiverd.config.reporting import Email
from archiverd.core.errors import ReportingError, Retry
from archiverd.notify import email
from archiverd.notify.email import RUNS_LISTED, EmailNotifier, compose
from archiverd.notify.message import Message, RunLine, Topic, clock_text

from .servers import Mailbox, free_port, trusting

PASSWORD = "pl4nted:pässword"
FAILURE = Message(
    Topic.FAILED,
    "Import",
    "daq01",
    1_750_000_000.0,
    (RunLine(7), RunLine(12), RunLine(13)),
    cause="FclPreperationError: boot.txt: line 3: é is not FHiCL",
    remedy="correct boot.txt",
)


def settings(port: int, **given: object) -> Email:
    """Return settings for a server at ``port``."""
    known = {
        "enabled": True,
        "recipient_email": "shift@example.org, Run Coordinator <rc@example.org>",
        "sender_email": "archiver@daq01.example.org",
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
    }
    return Email.model_validate({**known, **given})


async def test_a_mail_says_what_the_older_tools_mails_said() -> None:
    """Subject and list of failed runs, one a line, by which the older tool's users filter; cause and remedy too."""
    with Mailbox().serving() as box:
        await EmailNotifier(settings(box.port)).send(FAILURE)
    (mail,) = box.mails
    assert mail["Subject"] == f"Run Record Archiver Import Errors on daq01 at {clock_text(FAILURE.at)}"
    assert (mail["From"], mail["To"]) == ("archiver@daq01.example.org", "shift@example.org, rc@example.org")
    assert box.recipients == [["shift@example.org", "rc@example.org"]]
    assert parsedate_to_datetime(str(mail["Date"])).timestamp() == FAILURE.at
    body = mail.get_content().splitlines()
    assert body[0] == "3 runs failed in the import stage on daq01."
    assert "Cause: FclPreperationError: boot.txt: line 3: é is not FHiCL" in body
    assert "What to do: correct boot.txt" in body
    first = body.index("Failed runs:") + 1
    assert body[first : first + 4] == ["7", "12", "13", ""]
    assert "archiverd retry import" in body[-1]
    assert box.sessions == [False]


@pytest.mark.parametrize("tls", [False, True])
async def test_a_login_is_made_where_the_server_wants_one(tls: bool) -> None:
    """With STARTTLS and its certificate checked, or without, an accepted login sends."""
    with Mailbox(tls=tls, login=("archiver", PASSWORD)).serving() as box:
        given = settings(box.port, smtp_use_tls=tls, smtp_user="archiver", smtp_password=SecretStr(PASSWORD))
        notifier = EmailNotifier(given, tls=trusting() if tls else None)
        await notifier.check()
        assert (box.mails, box.verbs.count("NOOP"), box.verbs.count("AUTH")) == ([], 1, 1)
        await notifier.send(FAILURE)
    assert box.sessions == [tls]
    assert box.verbs.count("QUIT") == 2


async def test_a_certificate_nobody_vouches_for_is_refused() -> None:
    """Nothing is sent, neither login nor mail, to a server that cannot prove who it is."""
    with Mailbox(tls=True, login=("archiver", PASSWORD)).serving() as box:
        given = settings(box.port, smtp_use_tls=True, smtp_user="archiver", smtp_password=SecretStr(PASSWORD))
        with pytest.raises(ReportingError, match="TLS certificate verification failed") as caught:
            await EmailNotifier(given).send(FAILURE)
    assert caught.value.retry is Retry.PERMANENT
    assert (box.mails, box.verbs.count("AUTH")) == ([], 0)


async def test_the_systems_authorities_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """$SSL_CERT_FILE names the authorities to trust, as for every program on OpenSSL."""
    from .servers import PEM

    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    with Mailbox(tls=True).serving() as box:
        await EmailNotifier(settings(box.port, smtp_use_tls=True)).send(FAILURE)
    assert box.sessions == [True]


async def test_at_its_port_tls_comes_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 465 needs no STARTTLS and offers none (RFC 8314), whatever smtp_use_tls says; certificates are checked."""
    with Mailbox(implicit_tls=True).serving() as box:
        monkeypatch.setattr(email, "IMPLICIT_TLS_PORT", box.port)
        for starttls in (False, True):
            await EmailNotifier(settings(box.port, smtp_use_tls=starttls), tls=trusting()).send(FAILURE)
        with pytest.raises(ReportingError, match="certificate verify failed"):
            await EmailNotifier(settings(box.port)).send(FAILURE)
    assert len(box.mails) == 2


async def test_tls_that_is_asked_for_is_not_done_without() -> None:
    """A server that offers no STARTTLS gets nothing where STARTTLS is configured."""
    with Mailbox().serving() as box, pytest.raises(ReportingError, match="STARTTLS") as caught:
        await EmailNotifier(settings(box.port, smtp_use_tls=True)).send(FAILURE)
    assert "smtp_use_tls" in caught.value.remedy
    assert box.mails == []


async def test_a_refused_login_is_an_error_without_the_password() -> None:
    """The error names the settings to correct, and does not contain the password."""
    with Mailbox(login=("archiver", "right")).serving() as box:
        given = settings(box.port, smtp_user="archiver", smtp_password=SecretStr(PASSWORD))
        with pytest.raises(ReportingError, match=r"the login was refused \(535\)") as caught:
            await EmailNotifier(given).check()
    assert "smtp_password" in caught.value.remedy
    assert PASSWORD not in f"{caught.value}{caught.value.context}{caught.value.remedy}"
    assert caught.value.retry is Retry.PERMANENT


async def test_one_bad_recipient_does_not_keep_the_others_from_knowing(capsys: pytest.CaptureFixture[str]) -> None:
    """The mail goes to the accepted recipients, and the log names the refused ones."""
    with Mailbox(refused={"rc@example.org": "550 no such user"}).serving() as box:
        await EmailNotifier(settings(box.port)).send(FAILURE)
    assert box.recipients == [["shift@example.org"]]
    assert "refused the recipient rc@example.org: 550 no such user" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("box", "words", "retry"),
    [
        (
            Mailbox(refused={"shift@example.org": "550 no", "rc@example.org": "550 no"}),
            "recipients refused: shift@example.org: 550 no",
            Retry.PERMANENT,
        ),
        (Mailbox(answer="451 try later"), "451 try later", Retry.TRANSIENT),
        (Mailbox(answer="554 spam"), "554 spam", Retry.PERMANENT),
    ],
)
async def test_what_the_server_refuses_is_an_error_in_its_words(box: Mailbox, words: str, retry: Retry) -> None:
    """The error has the answer's code and text, for a mail administrator; the code decides whether waiting helps."""
    with box.serving(), pytest.raises(ReportingError, match=words) as caught:
        await EmailNotifier(settings(box.port)).send(FAILURE)
    assert (caught.value.retry, bool(caught.value.remedy)) == (retry, True)


async def test_a_server_that_is_down_is_an_error() -> None:
    """The operating system's words are in the error."""
    with pytest.raises(ReportingError, match=r"Cannot send mail through 127.0.0.1:\d+: .*Connection refused") as caught:
        await EmailNotifier(settings(free_port())).check()
    assert caught.value.retry is Retry.TRANSIENT


async def test_a_server_that_is_silent_is_not_waited_for() -> None:
    """A server that accepts and never greets costs the timeout, no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        notifier = EmailNotifier(settings(silent.getsockname()[1]), seconds=0.2)
        with pytest.raises(ReportingError, match="timed out"):
            await notifier.send(FAILURE)


async def test_a_server_that_hangs_up_is_an_error() -> None:
    """A connection closed instead of a greeting is a ReportingError, not an exception of the library's."""
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            connection, _ = rude.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ReportingError, match="Cannot send mail"):
            await EmailNotifier(settings(rude.getsockname()[1])).send(FAILURE)
        thread.join()


def test_a_mail_is_bounded_and_one_cause_cannot_break_its_lines() -> None:
    """However many runs fail, and whatever their files contain, a mail is short and its lines are whole."""
    runs = tuple(RunLine(run, f"ArtdaqDBError: {run}\r\nBcc: x@y\x00\udce9" + "z" * 5000) for run in range(1, 2001))
    body = compose(Message(Topic.FAILED, "Migration", "daq01", 0.0, runs), "a@b", ["c@d"]).get_content()
    lines = body.splitlines()
    assert sum(line.split(":")[0].isdecimal() for line in lines) == RUNS_LISTED
    assert f"and {2000 - RUNS_LISTED} more: see `archiverd status`" in lines
    assert lines[4].startswith("2: ArtdaqDBError: 2  Bcc: x@y")
    assert max(map(len, lines)) < 400


@pytest.mark.parametrize(
    ("message", "subject", "sentence"),
    [
        (
            Message(Topic.REPAIRED, "Migration", "h", 0.0, (RunLine(7),)),
            "Migration Repaired",
            "1 run that had failed in the migration stage has been archived and verified.",
        ),
        (
            Message(Topic.OUTAGE, "UconDB", "h", 100.0, cause="UconDBError: x", remedy="y", since=40.0),
            "UconDB Outage",
            f"UconDB is away since {clock_text(40.0)}: nothing but probes is sent to it.",
        ),
        (
            Message(Topic.OUTAGE_OVER, "UconDB", "h", 100.0, since=40.0),
            "UconDB Works Again",
            f"UconDB works again; it was away since {clock_text(40.0)}.",
        ),
    ],
)
def test_the_other_messages_have_the_same_form(message: Message, subject: str, sentence: str) -> None:
    """Repairs and outages differ from failures in their subject."""
    mail = compose(message, "a@b", ["c@d"])
    assert mail["Subject"] == f"Run Record Archiver {subject} on h at {clock_text(message.at)}"
    assert mail.get_content().splitlines()[0] == sentence
