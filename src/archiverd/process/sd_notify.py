"""Messages to systemd: one datagram to ``$NOTIFY_SOCKET`` each (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(*assignments: str) -> None:
    """Send e.g. ``READY=1`` or ``STATUS=…``; does nothing when no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.settimeout(1.0)
        out.sendto("\n".join(assignments).encode(), address)
