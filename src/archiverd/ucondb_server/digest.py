"""Digest login as the real server checks it, looseness included (ucondb_protocol.md section 7).

Nonce, nc, the realm parameter and the uri are not verified, and a comma ends every value: what a client may rely on and
what it will trip over are both part of the protocol.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from archiverd.ucondb_server.replies import HTML, Refusal, Response, failure

_REQUIRED = ("username", "nonce", "uri", "nc", "cnonce", "qop", "response")
"""Required parameters, in the order in which missing ones are reported."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one user who may write."""

    user: str
    password: str = field(repr=False)


def require(credentials: Credentials, *, realm: str, method: str, header: bytes | None, now: float) -> None:
    """Return if ``header`` (the value of Authorization) logs in ``credentials`` for ``realm``.

    Raise 401 with a challenge if there is no Digest header, 401 without one if the login is wrong, and 500 if a
    parameter is missing. ``now``, in epoch seconds, becomes the nonce.
    """
    scheme, _, rest = (header or b"").strip().partition(b" ")
    if scheme.lower() != b"digest":
        raise _unauthorized(("WWW-Authenticate", _challenge(realm, now)))
    given = _header_parameters(rest)
    for name in _REQUIRED:
        if name not in given:
            raise failure(f"'{name}'")
    expected = _response(given, realm=realm, method=method, password=credentials.password)
    right_user = hmac.compare_digest(given["username"], credentials.user.encode())
    if not hmac.compare_digest(given["response"], expected) or not right_user:
        raise _unauthorized()


def _challenge(realm: str, now: float) -> str:
    nonce = base64.b64encode(str(int(now)).encode())  # sent with the b'...' of a Python literal around it
    return f'Digest realm="{realm}", nonce="{nonce!r}", algorithm=MD5, qop="auth"'


def _header_parameters(rest: bytes) -> dict[str, bytes]:
    """Split at every comma, quoted or not, as the real server does."""
    given = {}
    for part in rest.split(b","):
        name, equals, value = part.partition(b"=")
        if equals:
            given[name.strip().decode("latin-1").lower()] = value.strip().strip(b'"')
    return given


def _response(given: dict[str, bytes], *, realm: str, method: str, password: str) -> bytes:
    """Return the expected ``response``: MD5 over the server's realm and the request's method."""
    identity = _md5(given["username"], realm.encode(), password.encode())
    request = _md5(method.encode(), given["uri"])
    return _md5(identity, given["nonce"], given["nc"], given["cnonce"], given["qop"], request)


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b":".join(parts), usedforsecurity=False).hexdigest().encode()


def _unauthorized(*headers: tuple[str, str]) -> Refusal:
    encoded = tuple((name.encode(), value.encode()) for name, value in headers)
    return Refusal(Response(401, HTML, b"Authorization required", encoded))
