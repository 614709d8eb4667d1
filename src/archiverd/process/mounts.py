"""The file system a path is on: on a network one, inotify does not see what other hosts change."""

from __future__ import annotations

from pathlib import Path

MOUNT_TABLE = Path("/proc/self/mountinfo")

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "9p", "fuse.sshfs"}
)
"""Types of network file systems, as the mount table names them."""


def is_network(path: Path, table: Path = MOUNT_TABLE) -> bool:
    """Return whether ``path`` is on a network file system; False if unknown."""
    return file_system(path, table) in NETWORK


def file_system(path: Path, table: Path = MOUNT_TABLE) -> str:
    """Return the type of the file system that ``path`` is on (proc(5), mountinfo); empty if unknown."""
    try:
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    target = path.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(_unescaped(fields[4]))
        if (point == target or point in target.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def _unescaped(text: str) -> str:
    """Undo the octal escapes of blanks in a mount point."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
