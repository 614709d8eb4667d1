"""Logging in the runbook's line formats, through structlog, which only this module imports.

A line reads ``time LEVEL [Stage] [Run 12345] message key=value``; an error's message is ``ErrorName: text``
and a ``Context: {…}`` line follows, because people grep for exactly that. What is not printable in a message, line ends
above all, is escaped: nothing from a run record can forge a line.

Lines go to one stream (or the systemd journal) and, once ``to_file`` was called, to the log file too.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, cast

import structlog

from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.wording import printable
from archiverd.log_rotation import STAMP, LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from pathlib import Path

    from archiverd.log_rotation import Rotation

    Event = MutableMapping[str, Any]

Format = Literal["auto", "console", "json", "journal"]

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
JOURNAL_SOCKET = "/run/systemd/journal/socket"
LINE_LIMIT = 16_384
"""Most characters of a message: a hostile record must not fill the log."""
EARLY_LIMIT = 500
"""Most lines kept for a log file that is opened later."""

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_BANNER = "=" * 70


class Log(Protocol):
    """What code that logs may use; ``run`` among the facts becomes the ``[Run N]`` tag."""

    def debug(self, event: str, **facts: object) -> Any:
        """Log what only a maintainer wants to know."""

    def info(self, event: str, **facts: object) -> Any:
        """Log what happened."""

    def warning(self, event: str, **facts: object) -> Any:
        """Log what needs attention, but not at once."""

    def error(self, event: str, **facts: object) -> Any:
        """Log what went wrong."""

    def critical(self, event: str, **facts: object) -> Any:
        """Log a mistake of archiverd itself."""


def get(stage: str = "", *, shown: bool = True) -> Log:
    """Return a log whose lines carry ``[stage]`` (no tag if empty).

    If not ``shown``, only the log file gets them: for what has been printed already.
    """
    return cast("Log", structlog.get_logger(stage=stage, shown=shown))


def failure(log: Log, error: ArchiverError, run: int | None = None, *, final: bool = False) -> None:
    """Log an error in the runbook's form, its context below it; a transient one is a warning unless ``final``."""
    write = log.warning if error.retry is Retry.TRANSIENT and not final else log.error
    text = f"{error.name}: {error}"
    if error.remedy:
        text += f" ({error.remedy})"
    facts: dict[str, object] = {"context": error.context} if error.context else {}
    number = error.run if run is None else run
    about: dict[str, object] = {} if number is None else {"run": number}
    write(text, **facts, **about)
    log.debug(f"Exception raised: {error!r}", trace=_trace(error), **about)


def unexpected(log: Log, error: BaseException, run: int | None = None) -> None:
    """Log a mistake of ours with its traceback, under the runbook's banner."""
    about: dict[str, object] = {} if run is None else {"run": run}
    text = f"{type(error).__name__}: {error}"
    log.critical(_BANNER, **about)
    log.critical("UNEXPECTED ERROR SUMMARY", trace=f"{text}\n{_BANNER}\n{_trace(error)}", **about)
    log.debug(f"Exception raised: {text}", **about)


def _trace(error: BaseException) -> str:
    """Return an error's traceback; empty if it was never raised."""
    return "" if error.__traceback__ is None else "".join(traceback.format_exception(error))


def configure(level: str, form: Format = "auto", stream: TextIO | None = None, *, quiet: bool = False) -> None:
    """Set up logging for this process; call once, first thing. ``level`` is one of LEVELS.

    ``auto`` is the systemd journal when standard error leads there, else readable lines. ``quiet`` lets only warnings
    and errors onto the stream; the log file still gets everything.
    """
    close()
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
            structlog.processors.TimeStamper(fmt=STAMP, utc=False),
            _bounded,
            _Fork("WARNING" if quiet else level),
            finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def is_configured() -> bool:
    """Return whether ``configure`` was called."""
    return structlog.is_configured()


def to_file(path: Path, rotation: Rotation) -> None:
    """Write lines to the file at ``path`` too, those since ``configure`` first.

    The file is only rotated after ``own_file``. Raise OSError if it cannot be opened; a later failure is logged and
    only loses lines. A file that is open already stays open.
    """
    if _state.file is not None and _state.file.path == path:
        return
    opened = LogFile(
        path,
        rotation,
        lambda trouble: get().warning(f"Cannot write the log file: {trouble} (archiving goes on, log lines get lost)"),
    )
    for line in _state.early:
        opened.write(line)
    _state.early.clear()
    _state.file = opened


def own_file() -> None:
    """Let this process rotate the log file: it holds the lock."""
    if _state.file is not None:
        _state.file.rotates = True


def reopen() -> None:
    """Open the log file again, after it was moved."""
    if _state.file is not None:
        _state.file.reopen()


def close() -> None:
    """Close the log file; discard the lines kept for one."""
    if _state.file is not None:
        _state.file.close()
    _state.file = None
    _state.early.clear()


@dataclass(slots=True)
class _State:
    """The log file of this process, as structlog's own configuration is the process's."""

    file: LogFile | None = None
    early: list[str] = field(default_factory=list)
    """Lines for a log file that is not open yet."""


_state = _State()


@dataclass(frozen=True, slots=True)
class _Fork:
    """Sends each line to the log file, and on to the stream if it is for people and ``level`` or above."""

    level: str

    def __call__(self, _logger: object, method: str, event: Event) -> Event:
        shown = event.pop("shown", True) or event["level"] == "debug"
        if _state.file is not None:
            _state.file.write(_as_line(None, method, dict(event)))
        elif len(_state.early) < EARLY_LIMIT:
            _state.early.append(_as_line(None, method, dict(event)))
        if not shown or LEVELS[event["level"].upper()] < LEVELS[self.level]:
            raise structlog.DropEvent
        return event


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


def _bounded(_logger: object, _method: str, event: Event) -> Event:
    """Cut a message and a traceback at LINE_LIMIT, and note their length."""
    for name in ("event", "trace"):
        text = str(event.get(name, ""))
        if len(text) > LINE_LIMIT:
            event[name] = f"{text[:LINE_LIMIT]} … ({len(text)} characters)"
    return event


def _tags(event: Event) -> str:
    """Return the stage and run tags; takes them out of ``event``."""
    stage, run = event.pop("stage", ""), event.pop("run", None)
    return (f"[{stage}] " if stage else "") + ("" if run is None else f"[Run {run}] ")


def _message(event: Event) -> str:
    """Return the message and the facts that are left; takes the message out of ``event``."""
    return str(event.pop("event")) + "".join(f" {key}={value}" for key, value in event.items())


def _as_line(_logger: object, _method: str, event: Event) -> str:
    """Render a readable line, one more for each line of a traceback, and one for an error's context."""
    when, level = event.pop("timestamp"), event.pop("level")
    context, trace = event.pop("context", None), event.pop("trace", "")
    begin = f"{when} {level.upper():<7} {_tags(event)}"
    lines = [begin + printable(_message(event)), *(begin + printable(line) for line in trace.splitlines())]
    if context:
        lines.append(_context(context))
    return "\n".join(lines)


def _context(context: object) -> str:
    """Render an error's context as people grep for it."""
    return printable(f"Context: {context!r}"[:LINE_LIMIT])


def _as_json(_logger: object, _method: str, event: Event) -> str:
    """Render one JSON object a line: time, level, stage, run, message, and the other facts."""
    ordered = {
        "time": event.pop("timestamp"),
        "level": event.pop("level"),
        "stage": event.pop("stage", ""),
        "run": event.pop("run", None),
        "message": event.pop("event"),
    }
    return json.dumps({**ordered, **event}, default=str)


def _as_fields(_logger: object, _method: str, event: Event) -> tuple[tuple[bytes], dict[str, Any]]:
    """Render the native fields of the systemd journal: ``journalctl ARCHIVERD_RUN=12345`` is a run's story."""
    event.pop("timestamp")
    stage, run = event.get("stage", ""), event.get("run")
    context, trace = event.pop("context", None), event.pop("trace", "")
    fields = {
        "PRIORITY": str(_PRIORITIES[event.pop("level")]),
        "SYSLOG_IDENTIFIER": "archiverd",
        "ARCHIVERD_STAGE": stage,
        "ARCHIVERD_RUN": "" if run is None else str(run),
        "ARCHIVERD_EVENT": str(event["event"]).split(":", 1)[0][:64],
    }
    parts = [_tags(event) + _message(event), trace, _context(context) if context else ""]
    fields["MESSAGE"] = "\n".join(part for part in parts if part)
    return (b"".join(_field(name, value) for name, value in fields.items() if value),), {}


def _field(name: str, value: str) -> bytes:
    """Encode one field for the journal's socket: length-prefixed when it holds a newline."""
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


class _JournalFactory:
    """Makes loggers that send to the systemd journal's socket; without it they write to standard error."""

    def __call__(self, *_arguments: object) -> _JournalFactory:
        return self

    def _send(self, message: bytes) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(0)
                out.sendto(message, JOURNAL_SOCKET)
        except OSError:
            sys.stderr.buffer.write(message)

    debug = info = warning = error = critical = msg = _send
