"""A real sshd on loopback, with keys of its own, for the time of a block."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALIAS = "daq-there"
ATTEMPTS = 5
"""Somebody else may take the free port before sshd does; another one is tried then."""


@dataclass(frozen=True, slots=True)
class Sshd:
    """What a client needs: its configuration, the known hosts; and the server's directory for temporary files."""

    config: Path
    known_hosts: Path
    scratch: Path

    @property
    def ssh(self) -> tuple[str, ...]:
        """The client with its configuration."""
        return ("ssh", "-F", str(self.config))


def needed() -> str:
    """Return the path of sshd; skip the test where it or its client is not installed, fail where it has to be."""
    server = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if server is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        reason = "sshd, ssh and ssh-keygen are not all installed"
        if os.environ.get("CI_REQUIRE_SSHD") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    if os.geteuid() == 0:  # the server wants an empty directory of root's
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return server


@contextlib.asynccontextmanager
async def sshd(root: Path) -> AsyncIterator[Sshd]:
    """Run a server below ``root`` that lets in the user who runs the tests."""
    server = needed()
    root.mkdir()
    (root / "scratch").mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True)
    process, port = await _listening(server, root)
    kind, key, *_ = (root / "host.pub").read_text().split()
    known_hosts = root / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    config = root / "ssh_config"
    config.write_text(
        f"Host {ALIAS}\nHostName 127.0.0.1\nPort {port}\nIdentityFile {root}/user\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {known_hosts}\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n"
    )
    try:
        yield Sshd(config, known_hosts, root / "scratch")
    finally:
        process.terminate()
        await process.communicate()


async def _listening(server: str, root: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start the server on a free port and wait for it to say that it listens."""
    said = b""
    for _ in range(ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        (root / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {root}/host\nAuthorizedKeysFile {root}/user.pub\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
            f"SetEnv TMPDIR={root}/scratch\n"
        )
        process = await asyncio.create_subprocess_exec(
            server,
            "-D",
            "-e",
            "-f",
            str(root / "sshd_config"),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        while line := await process.stderr.readline():
            if b"Server listening on" in line:
                return process, port
            said += line
        await process.wait()
    raise RuntimeError(f"sshd does not start: {said.decode()}")
