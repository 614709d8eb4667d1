"""The one seam for logging: structlog inside, the runbook's line formats outside.

A line reads ``time LEVEL [Stage] [Run 12345] message key=value``; an error's message is ``ErrorName: text``
and a ``Context: {…}`` line follows, because people grep for exactly that.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, cast

import structlog

from archiverd.core.errors import ArchiverError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

Format = Literal["auto", "console", "json", "journal"]

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
JOURNAL_SOCKET = "/run/systemd/journal/socket"
LINE_LIMIT = 16_384
"""Longer messages are cut: a hostile record must not fill the log."""

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_BANNER = "=" * 70


class Log(Protocol):
    """What code that logs may use; ``run`` among the facts becomes the ``[Run N]`` tag."""

    def debug(self, event: str, **facts: object) -> Any:
        """Say something only a maintainer wants to know."""

    def info(self, event: str, **facts: object) -> Any:
        """Say what happened."""

    def warning(self, event: str, **facts: object) -> Any:
        """Say what somebody should look at when there is time."""

    def error(self, event: str, **facts: object) -> Any:
        """Say what went wrong."""


def get(stage: str = "") -> Log:
    """Return a log whose lines carry ``[stage]`` (no tag if empty)."""
    return cast("Log", structlog.get_logger(stage=stage))


def failure(log: Log, error: ArchiverError, run: int | None = None) -> None:
    """Log an error in the runbook's form, its context on a second line; a transient one is a warning."""
    tell = log.warning if error.retry is Retry.TRANSIENT else log.error
    text = f"{error.name}: {error}"
    if error.remedy:
        text += f" ({error.remedy})"
    facts: dict[str, object] = {"context": error.context} if error.context else {}
    number = error.run if run is None else run
    tell(text, **facts, **({} if number is None else {"run": number}))
    log.debug(f"Exception raised: {error!r}", **({} if number is None else {"run": number}))


def unexpected(log: Log, error: BaseException, run: int | None = None) -> None:
    """Log a mistake of ours with its traceback, under the runbook's banner."""
    trace = "".join(traceback.format_exception(error))
    text = f"{_BANNER}\nUNEXPECTED ERROR SUMMARY\n{type(error).__name__}: {error}\n{_BANNER}\n{trace}"
    log.error(text, **({} if run is None else {"run": run}))


def configure(level: str, form: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for this process; call once, first thing. ``level`` is one of LEVELS.

    ``auto`` is the systemd journal when standard error leads there, else readable lines.
    """
    out = sys.stderr if stream is None else stream
    chosen = _choose(form, out)
    finish: Callable[..., Any]
    factory: Any
    if chosen == "journal":
        finish, factory = _as_fields, _JournalFactory()
    else:
        finish, factory = (_as_json if chosen == "json" else _as_line), structlog.WriteLoggerFactory(out)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            _bounded,
            finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def _choose(form: Format, out: TextIO) -> str:
    """Resolve ``auto``: the journal if systemd says that standard error is its socket (``$JOURNAL_STREAM``)."""
    if form != "auto":
        return form
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return "console"
    here = f"{status.st_dev}:{status.st_ino}"
    return "journal" if os.environ.get("JOURNAL_STREAM") == here else "console"


def _bounded(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut a message that is too long, saying so."""
    text = str(event["event"])
    if len(text) > LINE_LIMIT:
        event["event"] = f"{text[:LINE_LIMIT]} … ({len(text)} characters)"
    return event


def _headed(event: MutableMapping[str, Any]) -> str:
    """Return the message with its stage and run tags; takes them out of ``event``."""
    stage, run = event.pop("stage", ""), event.pop("run", None)
    tags = [f"[{stage}]"] if stage else []
    if run is not None:
        tags.append(f"[Run {run}]")
    return " ".join([*tags, str(event.pop("event"))])


def _as_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Render a readable line, and a second one for an error's context."""
    when, level, context = event.pop("timestamp"), event.pop("level"), event.pop("context", None)
    line = f"{when} {level.upper():<7} {_headed(event)}"
    line += "".join(f" {key}={value}" for key, value in event.items())
    return f"{line}\nContext: {context!r}" if context else line


def _as_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Render one JSON object a line: time, level, stage, run, message, and the other facts."""
    ordered = {
        "time": event.pop("timestamp"),
        "level": event.pop("level"),
        "stage": event.pop("stage", ""),
        "run": event.pop("run", None),
        "message": event.pop("event"),
    }
    return json.dumps({**ordered, **event}, default=str)


def _as_fields(_logger: object, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[bytes], dict[str, Any]]:
    """Render the native fields of the systemd journal: ``journalctl ARCHIVERD_RUN=12345`` is a run's story."""
    event.pop("timestamp")
    stage, run, context = event.get("stage", ""), event.get("run"), event.pop("context", None)
    fields = {
        "PRIORITY": str(_PRIORITIES[event.pop("level")]),
        "SYSLOG_IDENTIFIER": "archiverd",
        "ARCHIVERD_STAGE": stage,
        "ARCHIVERD_RUN": "" if run is None else str(run),
        "ARCHIVERD_EVENT": str(event["event"]).split(":", 1)[0][:64],
    }
    message = _headed(event) + "".join(f" {key}={value}" for key, value in event.items())
    fields["MESSAGE"] = f"{message}\nContext: {context!r}" if context else message
    return (b"".join(_field(name, value) for name, value in fields.items() if value),), {}


def _field(name: str, value: str) -> bytes:
    """Encode one field for the journal's socket: length-prefixed when it holds a newline."""
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


class _JournalFactory:
    """Makes loggers that send to the systemd journal's socket; a journal that is away costs lines, never work."""

    def __call__(self, *_arguments: object) -> _JournalFactory:
        return self

    def _send(self, message: bytes) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(0)
                out.sendto(message, JOURNAL_SOCKET)
        except OSError:
            sys.stderr.buffer.write(message)

    debug = info = warning = error = msg = _send
