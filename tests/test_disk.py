"""Files that are written durably, and what a killed writer leaves of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from archiverd.disk import RealDisk

if TYPE_CHECKING:
    from pathlib import Path

KILLED = """
import os, signal, sys
from pathlib import Path
from archiverd.disk import RealDisk

def chunks():
    yield b"half of it"
    os.kill(os.getpid(), signal.SIGKILL)

RealDisk().publish(Path(sys.argv[1]), chunks())
"""


def test_kills_amid_publishing_leave_one_temporary_file_and_the_next_publish_none(tmp_path: Path) -> None:
    """However often it happens: an index.json of an archive is large, and nobody would look for its copies."""
    path = tmp_path / "index.json"
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) <= 1
    RealDisk().publish(path, [b"all ", b"of it"])
    assert [one.name for one in tmp_path.iterdir()] == ["index.json"]
    assert path.read_bytes() == b"all of it"


def test_what_was_left_is_not_written_through(tmp_path: Path) -> None:
    """A temporary file that stands there is replaced, not filled: it may be another user's, or lead elsewhere."""
    other = tmp_path / "other"
    other.write_bytes(b"other")
    path = tmp_path / "state.json"
    path.with_name(".state.json.tmp").symlink_to(other)
    RealDisk().publish(path, [b"state"])
    assert (path.read_bytes(), path.is_symlink(), other.read_bytes()) == (b"state", False, b"other")
