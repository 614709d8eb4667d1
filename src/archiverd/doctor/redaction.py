"""Removal of secrets (of configuration, environment and credentials) from texts that others get to see.

Secrets are collected by value and removed wherever they occur: verbatim, percent-encoded or decoded, or as JSON and
Python spell them. In addition, whatever follows the name of a secret or precedes the @ of a URI is removed, so that
nothing depends on the collection alone. A value shorter than four characters is only removed after its name.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pydantic import SecretStr

from archiverd.config.loader import read_file, read_written
from archiverd.config.secrecy import HIDDEN
from archiverd.config.section import Section
from archiverd.core.errors import ArchiverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from archiverd.config.models import Settings

SHORTEST = 4
"""Characters: a shorter secret would be found in half the words there are."""

_WORDS = r"password|passwd|passphrase|token|secret|credential|api_?key|private_?key"
_SHORT = r"(?<![a-z])(?:pass|pw)(?![a-z])"
"""Names only as words of their own: other words begin with them."""
_NAME = re.compile(rf"{_WORDS}|{_SHORT}", re.IGNORECASE)
_NAMED = re.compile(rf"""((?:{_WORDS}|{_SHORT})s?["']?\s*[:=]\s*)(?!["']?\$\{{[\w.]+\}}["']?\s*$)\S.*""", re.IGNORECASE)
"""A name of a secret with what it is set to, to the end of the line; a mere reference may stay."""
_REFERENCE = re.compile(r"\$\{[\w.]+\}")
_LOGIN = re.compile(r"(://)[^\s\"'@]*(?:@[^\s\"'@/?]*)*@")
_PASSWORD = re.compile(r"://[^\s\"':@/]*:([^\s\"']*)@")
_OPTION = re.compile(rf"([?&;](?:\w*(?:{_WORDS}|{_SHORT}|authmechanismproperties)\w*)=)([^&;\s\"']+)", re.IGNORECASE)


class Redactor:
    """Removes secrets from texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Name the secrets; each is known in every spelling it may be met in."""
        spellings = {one for secret in secrets for one in _spellings(secret) if len(one) >= SHORTEST}
        self._spellings = sorted(spellings, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return ``text`` without secrets."""
        for one in self._spellings:
            text = text.replace(one, HIDDEN)
        text = _LOGIN.sub(rf"\1{HIDDEN}@", text)
        return _OPTION.sub(rf"\1{HIDDEN}", text)

    def redact_file(self, text: str) -> str:
        """Return the text of a configuration file without secrets, those of its comments included."""
        return self("\n".join(_NAMED.sub(rf"\1{HIDDEN}", line) for line in text.splitlines()) + "\n")


def is_secret(name: str) -> bool:
    """Return whether a setting or variable of this name holds a secret."""
    return _NAME.search(name) is not None


def make_redactor(path: Path | None, settings: Settings | None, *environments: Mapping[str, str]) -> Redactor:
    """Return a redactor for every secret of configuration, credentials and environments."""
    found: list[str] = []
    if settings is not None:
        found += _settings_secrets(settings)
    if path is not None:
        for read in (read_written, read_file):
            try:
                found += _values_secrets(read(path))
            except ArchiverError:  # what cannot be read gives nothing away but by its lines: see ``redact_file``
                continue
    for environment in environments:
        found += _environment_secrets(environment)
    return Redactor(found)


def _settings_secrets(section: Section | Settings) -> Iterator[str]:
    for _, value in section:
        if isinstance(value, Section):
            yield from _settings_secrets(value)
        elif isinstance(value, SecretStr):
            yield value.get_secret_value()
        else:
            yield from _uri_secrets(str(value))


def _values_secrets(values: Mapping[str, object]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _values_secrets(value)
            continue
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                if is_secret(key) and not _REFERENCE.fullmatch(text):
                    yield text
                yield from _uri_secrets(text)


def _environment_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if is_secret(name) and not os.path.isdir(value):  # $CREDENTIALS_DIRECTORY is none
            yield value
        yield from _uri_secrets(value)
    directory = environment.get("CREDENTIALS_DIRECTORY", "")
    if directory:
        try:
            with os.scandir(directory) as entries:
                files = [entry.path for entry in entries if entry.is_file()]
            for file in files:
                with open(file, encoding="utf-8", errors="replace") as opened:
                    yield opened.read(1 << 16).rstrip("\n")
        except OSError:
            return


def _uri_secrets(text: str) -> Iterator[str]:
    """Yield the secrets inside a URI: its password, and options that hold one."""
    yield from (match[1] for match in _PASSWORD.finditer(text))
    yield from (match[2] for match in _OPTION.finditer(text))


def _spellings(secret: str) -> set[str]:
    plain = {secret, unquote(secret), quote(secret, safe=""), quote(secret)}
    return plain | {json.dumps(one)[1:-1] for one in plain} | {repr(one)[1:-1] for one in plain}
