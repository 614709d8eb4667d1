"""Which file systems are polled."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiverd.process.mounts import is_network

TABLE = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
40 22 0:50 / /daq rw,relatime shared:1 - nfs4 server:/export rw
41 40 8:2 / /daq/local rw - xfs /dev/sdb1 rw
42 22 0:60 / /with\\040blank rw - cifs //server/share rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/home/x", False),
        ("/daq/run_records", True),
        ("/daq/local/run_records", False),
        ("/daqother", False),
        ("/with blank/y", True),
    ],
)
def test_the_innermost_mount_decides(tmp_path: Path, path: str, network: bool) -> None:
    """The longest mount point above a path tells its file system."""
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert is_network(Path(path), table) is network


def test_without_a_mount_table_nothing_is_a_network(tmp_path: Path) -> None:
    """A system without the table is treated as local: scanning finds every run all the same."""
    assert not is_network(Path("/daq"), tmp_path / "none")
