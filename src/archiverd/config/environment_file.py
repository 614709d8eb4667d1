"""``archiver.env``: variables for the configuration's references, as a shell would set them.

The older tool's launcher sourced this file. It is read here and never executed: what is not an assignment, a comment
or an ``export`` is an error, and so is anything that would run a command.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ENVIRONMENT_FILE = "archiver.env"
LIMIT = 1 << 20
"""Most bytes of such a file."""

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_EXPORT = re.compile(r"export(?=\s|$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?=\s|$)")
_HOME = re.compile(r"~(?=/|\s|$)")
_REFERENCE = r"\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)(?::-([^}$`]*))?\}"
_SEGMENT = re.compile(
    rf"""'(?P<literal>[^']*)'
       | "(?P<quoted>(?:[^"\\]|\\.)*)"
       | \\(?P<escaped>.)
       | (?P<plain>{_REFERENCE}|[^\s'"\\$`;&|<>()]+|\$(?![{{(]))""",
    re.VERBOSE | re.ASCII,
)
"""A part of a word: words are made of quoted and plain parts in a row."""
_REPLACED = re.compile(rf'\\([\\"$`])|{_REFERENCE}', re.ASCII)
_NEEDS_SHELL = "a value that would have to be executed"
_EXECUTED = re.compile(r"`|\$[({]")


@dataclass(frozen=True, slots=True)
class EnvironmentFile:
    """A file whose variables were added to the environment."""

    path: Path
    names: frozenset[str]


def load_environment(path: Path) -> EnvironmentFile:
    """Add the variables of the file at ``path`` to this process's environment; the file wins, as when sourced.

    Raise ConfigurationError as ``read_environment``.
    """
    found = read_environment(path, os.environ)
    os.environ.update(found)
    return EnvironmentFile(path, frozenset(found))


def read_environment(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the file at ``path`` sets, in its order; ``$VAR`` means what it set before, else ``environment``.

    Raise ConfigurationError with file and line for what is not an assignment.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Cannot read the environment file {path}: {error.strerror}") from error
    if len(data) > LIMIT:
        raise ConfigurationError(f"The environment file {path} is longer than {LIMIT} bytes")
    found: dict[str, str] = {}
    if b"\0" in data:
        raise ConfigurationError(f"The environment file {path} is not text")
    for number, line in enumerate(data.decode("utf-8-sig", "surrogateescape").split("\n"), 1):
        try:
            found.update(_assignments(line, {**environment, **found}))
        except ValueError as error:
            raise ConfigurationError(
                f"{path}:{number}: {error}",
                remedy="write NAME=value, in single quotes what is not plain; the file is read, not executed: what "
                "needs a shell is done before archiverd is called",
            ) from None
    return found


def _assignments(line: str, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the assignments of a line; ``known`` says what references mean, and learns. Raise ValueError."""
    at, exports = _blank(line, 0), False
    while at < len(line) and line[at] != "#":
        if not exports and _EXPORT.match(line, at):
            at, exports = _blank(line, at + len("export")), True
            continue
        match = _ASSIGNMENT.match(line, at)
        if match is not None:
            value, at = _value(line, match.end(), known)
            known[match[1]] = value
            yield match[1], value
        elif exports and (name := _NAME.match(line, at)):
            at = name.end()
        else:
            raise ValueError("not of the form NAME=value")
        at = _blank(line, at)


def _blank(line: str, at: int) -> int:
    """Return the position of the next character that is no white space."""
    while at < len(line) and line[at].isspace():
        at += 1
    return at


def _value(line: str, at: int, known: Mapping[str, str]) -> tuple[str, int]:
    """Return the word that begins at ``at``, unquoted and expanded, and the position behind it. Raise ValueError."""
    text = ""
    if _HOME.match(line, at):
        text, at = known.get("HOME", "~"), at + 1
    while match := _SEGMENT.match(line, at):
        literal, quoted, escaped, plain = match.group("literal", "quoted", "escaped", "plain")
        text += literal or escaped or _expanded(quoted or plain or "", known)
        at = match.end()
    if at < len(line) and not line[at].isspace():
        if line[at] in "'\"":
            raise ValueError(f"a {line[at]} that is not closed")
        raise ValueError(_NEEDS_SHELL if line[at] in "`$" else f"an unquoted {line[at]}")
    return text, at


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """Return text outside of single quotes with its references and escapes replaced; unset is empty."""
    if _EXECUTED.search(_REPLACED.sub("", text)):
        raise ValueError(_NEEDS_SHELL)

    def meaning(match: re.Match[str]) -> str:
        escaped, name, braced, default = match.groups()
        return escaped or known.get(name or braced) or default or ""

    return _REPLACED.sub(meaning, text)
