"""The port to the machine on which the tools run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archiverd.artdaqdb.tools.command import ProgramResult


class Host(Protocol):
    """Where the tools run. Every method raises ArtdaqDBError if that host or its programs cannot be used."""

    async def check(self) -> None:
        """See that both tools are there."""

    async def load(self, words: Sequence[str], files: Mapping[str, bytes]) -> ProgramResult:
        """Run ``words`` and ``-p`` with a directory of exactly these ``files``."""

    async def download(self, words: Sequence[str]) -> tuple[ProgramResult, Mapping[str, bytes]]:
        """Run ``words`` and ``-p`` with an empty directory; return also the files then below it, by relative path."""

    async def read(self, path: Path) -> bytes | None:
        """Return a file's content, None if there is no such file."""
