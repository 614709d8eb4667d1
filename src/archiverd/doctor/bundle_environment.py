"""Environment variables of a support bundle: those that matter, of this process and of the running daemon."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd import expansion
from archiverd.config.paths import lock_path
from archiverd.config.secrecy import HIDDEN
from archiverd.doctor import redaction
from archiverd.process import lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archiverd.config.models import Settings

VARIABLES = frozenset(
    [
        "PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "LANG",
        "TZ",
        "TMPDIR",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "CREDENTIALS_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
        "JOURNAL_STREAM",
        "INVOCATION_ID",
        "VIRTUAL_ENV",
    ]
)
"""Environment variables that go into the bundle; others are private."""
PREFIXES = ("ARCHIVERD_", "ARTDAQ_", "LC_")


def describe_environment(config_file: Path | None, daemon: Mapping[str, str]) -> str:
    """Return the selected variables of this process and of the daemon, and which of the file's references are set."""
    text = "of this command:\n" + _selected(os.environ)
    if daemon:
        text += "\nof the running daemon:\n" + _selected(daemon)
    if config_file is not None:
        with contextlib.suppress(OSError):
            written = config_file.read_text(encoding="utf-8", errors="replace")
            named = sorted({variable for variable, _ in expansion.variables(written)})
            text += "\nnamed in the configuration file:\n"
            text += "".join(f"{name} is {'set' if os.environ.get(name) else 'unset or empty'}\n" for name in named)
    return text


def _selected(environment: Mapping[str, str]) -> str:
    lines = []
    for name, value in sorted(environment.items()):
        if name.upper() in VARIABLES or name.startswith(PREFIXES):
            hidden = redaction.is_secret(name) and name != "CREDENTIALS_DIRECTORY"
            lines.append(f"{name}={HIDDEN if hidden else value}\n")
    return "".join(lines)


def read_daemon_environment(settings: Settings | None) -> dict[str, str]:
    """Return the environment that the holder of the lock was started with; empty if it cannot be read."""
    if settings is None:
        return {}
    try:
        holder = lock.find_holder(lock_path(settings))
        if holder is None or not holder.held or holder.pid is None:
            return {}
        words = Path(f"/proc/{holder.pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)
