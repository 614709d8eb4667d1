"""Digest login as UconDB understands it: MD5 with qop=auth (ucondb_protocol.md section 7).

    A1 = user:realm:password        A2 = METHOD:target
    response = MD5( MD5(A1) : nonce : nc : cnonce : auth : MD5(A2) )

The server checks neither the nonce's age nor its reuse, so a login can be sent along with the first request.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_SCHEME = re.compile(r"(?:^|[\s,])digest\s+", re.IGNORECASE)
_PARAMETER = re.compile(r"""([A-Za-z][\w-]*)\s*=\s*(?:"([^"]*)"|([^\s,"]+))""")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a login is computed for; both texts exactly as the server sent them, Python's ``b'…'`` included."""

    realm: str
    nonce: str


def parse_challenge(header: str) -> Challenge | None:
    """Return the challenge in a ``WWW-Authenticate`` header, or None if there is none that MD5 and auth answer."""
    scheme = _SCHEME.search(header)
    if scheme is None:
        return None
    found: dict[str, str] = {}
    for name, quoted, bare in _PARAMETER.findall(header, scheme.end()):
        found.setdefault(name.lower(), quoted or bare)
    protections = [word.strip().lower() for word in found.get("qop", "auth").split(",")]
    if "realm" not in found or "nonce" not in found or "auth" not in protections:
        return None
    if found.get("algorithm", "MD5").upper() != "MD5":
        return None
    return Challenge(found["realm"], found["nonce"])


def authorization(
    challenge: Challenge, user: str, password: str, *, method: str, target: str, count: int, cnonce: str
) -> str:
    """Return the ``Authorization`` header of one request.

    ``target`` is the request target as it goes over the wire; it must hold no comma, the server splits there.
    ``count`` is how often the nonce has been used, this time included. The password is hashed as UTF-8.
    """
    nc = f"{count:08x}"
    secret = _md5(f"{user}:{challenge.realm}:{password}")
    response = _md5(":".join((secret, challenge.nonce, nc, cnonce, "auth", _md5(f"{method}:{target}"))))
    return (
        f'Digest username="{user}", realm="{challenge.realm}", nonce="{challenge.nonce}", uri="{target}", '
        f'algorithm=MD5, qop=auth, nc={nc}, cnonce="{cnonce}", response="{response}"'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
