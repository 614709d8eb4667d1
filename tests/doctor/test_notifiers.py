"""Mail and Carbon in `check`; the adapters are tested in tests/notify."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from archiverd.doctor import notifiers
from archiverd.doctor.finding import Status
from archiverd.notify.registry import DESTINATIONS

from .conftest import listening

if TYPE_CHECKING:
    import asyncio

    from .conftest import House


NAMES = [destination.name for destination in DESTINATIONS]


async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a mail server that accepts everything."""
    writer.write(b"220 here\r\n")
    while line := await reader.readline():
        writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 fine\r\n")
        await writer.drain()
        assert not line.upper().startswith((b"MAIL", b"DATA")), "a check sent mail"


def enable(house: House, kind: str, port: int) -> None:
    """Enable a destination at ``port``."""
    addresses = {"recipient_email": "ops@example.org", "sender_email": "archiverd@example.org"}
    if kind == "email":
        house.change("reporting", email={"enabled": True, "smtp_host": "127.0.0.1", "smtp_port": port, **addresses})
    else:
        house.change("carbon", enabled=True, host="127.0.0.1", port=port)


async def test_what_is_not_enabled_is_not_tried(house: House) -> None:
    """By default nothing is enabled, which is fine."""
    found = await house.look()
    assert {found[f"notify {kind}"].message for kind in NAMES} == {"not enabled"}


@pytest.mark.parametrize("kind", ["email", "carbon"])
async def test_a_server_that_is_away(house: House, kind: str) -> None:
    """A server that is away is a warning with the cause; once it is there, the line is ok."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    enable(house, kind, port)
    line = (await house.look())[f"notify {kind}"]
    assert line.status is Status.WARNING
    assert "refused" in line.message.lower()
    assert line.remedy
    async with listening(smtp) as port:
        enable(house, kind, port)
        assert (await house.look())[f"notify {kind}"].status is Status.OK


async def test_a_server_that_says_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer in time is a warning."""
    monkeypatch.setattr(notifiers, "SECONDS", 0.3)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        enable(house, "email", port)
        line = (await house.look())["notify email"]
    assert (line.status, line.message) == (Status.WARNING, "no answer within 0.3 s")
