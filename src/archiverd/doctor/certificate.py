"""A server's TLS certificate: whether it is proven, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    Names = tuple[tuple[tuple[str, str], ...], ...]

DAY = 86_400.0
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python does not name: an expired certificate is to be read too."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says."""

    subject: str
    issuer: str
    hosts: tuple[str, ...]
    begins: float
    expires: float
    """Both in epoch seconds."""

    @property
    def days(self) -> float:
        """The days until it expires; negative once it has."""
        return (self.expires - time.time()) / DAY

    def to_json(self) -> str:
        """Return it in one line."""
        until = time.strftime("%Y-%m-%d", time.gmtime(self.expires))
        hosts = ", ".join(self.hosts) or "no host"
        return f"it is for {hosts} ({self.subject}), issued by {self.issuer}, valid until {until}"


async def proven(address: str, port: int, host: str, context: ssl.SSLContext) -> Certificate:
    """Return the certificate of the server, proven to be ``host``'s. Raise ssl.SSLError, or OSError, if it is not."""
    fields, _ = await _shake_hands(address, port, host, context)
    return _read(fields)


async def shown(address: str, port: int, host: str) -> Certificate | None:
    """Return the certificate that the server shows, proven or not; None if it cannot be read.

    Python parses only a certificate that is proven, so it is fetched first and then proven by itself.
    """
    unproven = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproven.check_hostname, unproven.verify_mode = False, ssl.CERT_NONE
    try:
        _, binary = await _shake_hands(address, port, host, unproven)
        by_itself = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        by_itself.check_hostname = False
        by_itself.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        by_itself.load_verify_locations(cadata=binary)
        fields, _ = await _shake_hands(address, port, host, by_itself)
        return _read(fields)
    except (OSError, ValueError):
        return None


async def _shake_hands(
    address: str, port: int, host: str, context: ssl.SSLContext
) -> tuple[Mapping[str, object], bytes]:
    """Shake hands and hang up; return what the peer's certificate says, nothing if it is not proven, and its bytes."""
    _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    peer = cast("ssl.SSLObject", writer.get_extra_info("ssl_object"))
    fields, binary = peer.getpeercert() or {}, peer.getpeercert(binary_form=True) or b""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return cast("Mapping[str, object]", fields), binary


def _read(fields: Mapping[str, object]) -> Certificate:
    """Return the certificate that `ssl.SSLSocket.getpeercert` gave. Raise ValueError if it gave none."""
    if "notAfter" not in fields:
        raise ValueError("no certificate")
    names = cast("tuple[tuple[str, str], ...]", fields.get("subjectAltName", ()))
    return Certificate(
        _name(cast("Names", fields.get("subject", ()))),
        _name(cast("Names", fields.get("issuer", ()))),
        tuple(value for kind, value in names if kind in ("DNS", "IP Address")),
        ssl.cert_time_to_seconds(str(fields["notBefore"])),
        ssl.cert_time_to_seconds(str(fields["notAfter"])),
    )


def _name(parts: Names) -> str:
    """Return a distinguished name's common name, or all of it."""
    flat = dict(pair for part in parts for pair in part)
    return flat.get("commonName") or ", ".join(f"{key}={value}" for key, value in flat.items()) or "nobody"
