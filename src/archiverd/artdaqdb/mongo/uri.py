"""The URI of a database in MongoDB: what it names, which options are added to it, and what may be shown of it (B.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMES = ("mongodb://", "mongodb+srv://")
CLIENT_CERT = "ARTDAQ_DATABASE_CLIENT_CERT"
"""Environment: file with the client's certificate and key; logs in with them, as the library does."""
CA_CERT = "ARTDAQ_DATABASE_CA_CERT"
"""Environment: file with the server's authorities; used only together with CLIENT_CERT."""

_FORM = re.compile(r"(mongodb(?:\+srv)?://)(?:([^@/?]*)@)?([^@/?]+)(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_DATABASE = re.compile(r"[^\x00-\x20/\\.\"$*<>:|?\x7f]{1,63}")
_SECRET_OPTIONS = {"tlscertificatekeyfilepassword", "authmechanismproperties"}


@dataclass(frozen=True, slots=True)
class Address:
    """A database in MongoDB."""

    uri: str = field(repr=False)
    """For the driver only: it may hold a password."""
    shown: str
    """The URI without the password and other secrets: for logs, errors and SystemMetadata."""
    database: str
    options: frozenset[str]
    """Names of the options that the URI sets, in lower case."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Passwords and the like, as written in the URI and decoded: they must not appear in a message."""


def parse_uri(uri: str, environment: Mapping[str, str]) -> Address:
    """Return what a URI names, its options completed from the library's environment variables.

    Raise ConfigurationError, without the password, if it is no URI of MongoDB or names no database.
    """
    match = _FORM.fullmatch(uri)
    if match is None:
        raise _wrong(
            "is no mongodb:// URI with a host",
            "write mongodb://user:password@host:27017/database?options; encode @ : / ? % in user and password as %40 …",
        )
    scheme, login, hosts, path, query = match.groups()
    database = unquote(path or "")
    if not _DATABASE.fullmatch(database):
        raise _wrong("names no database", "put its name behind the hosts: mongodb://host:27017/database")
    options = [*(query.split("&") if query else ()), *_certificates(query or "", environment)]
    user, colon, password = (login or "").partition(":")
    head = f"{scheme}{user + colon + password + '@' if login else ''}{hosts}/{quote(database)}"
    shown_head = f"{scheme}{user + '@' if user else ''}{hosts}/{quote(database)}"
    shown = [one for one in options if _option(one) not in _SECRET_OPTIONS]
    hidden = [one.partition("=")[2] for one in options if _option(one) in _SECRET_OPTIONS]
    written = [one for one in (password, *hidden) if one]
    return Address(
        uri=_joined(head, options),
        shown=_joined(shown_head, shown),
        database=database,
        options=frozenset(map(_option, options)),
        secrets=tuple(dict.fromkeys(text for one in written for text in (one, unquote(one)))),
    )


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with every one of ``secrets`` hidden, wherever a message repeats it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _certificates(query: str, environment: Mapping[str, str]) -> list[str]:
    """Return the options that the library adds for a client's certificate: only if its file exists."""
    certificate, authority = environment.get(CLIENT_CERT, ""), environment.get(CA_CERT, "")
    if not certificate or not Path(certificate).is_file():
        return []
    given = {_option(one) for one in query.split("&")}
    added = {"tls": "true", "authMechanism": "MONGODB-X509", "tlsCertificateKeyFile": quote(certificate)}
    if authority and Path(authority).is_file():
        added["tlsCAFile"] = quote(authority)
    return [f"{name}={value}" for name, value in added.items() if name.lower() not in given]


def _option(text: str) -> str:
    """Return the name of an option ``name=value``, in lower case."""
    return text.partition("=")[0].lower()


def _joined(head: str, options: list[str]) -> str:
    return f"{head}?{'&'.join(options)}" if options else head


def _wrong(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"Configuration validation failed: artdaq_db.database_uri {what}", remedy=remedy)
