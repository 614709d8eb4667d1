"""The ``hashes`` entity of a run: an MD5 of every file and one of all (artdaqdb_format.md E.2, newer client)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from archiverd.runrecord.spelling import byte_text, identifier

if TYPE_CHECKING:
    from collections.abc import Sequence


def hashes_fcl(entities: Sequence[tuple[str, bytes]]) -> bytes:
    """Return hashes.fcl for pairs of entity name and file bytes: a line an entity but ``schema``, sorted by name.

    The last is ``configuration``: the MD5 of the lines before it, joined by commas. Lines are joined by LF, without
    one at the end. An entity name that is no identifier is percent-encoded as keys are (``spelling``).
    """
    lines = [f"{identifier(byte_text(name))}:{_md5(data)}" for name, data in sorted(entities) if name != "schema"]
    return "\n".join([*lines, f"configuration:{_md5(','.join(lines).encode())}"]).encode()


def _md5(data: bytes) -> str:
    """Return the MD5 of ``data`` in hexadecimal; a fingerprint by format, not for security."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
