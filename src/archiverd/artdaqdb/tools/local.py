"""The tools on this host: files in a directory of the call's own, which is gone when the call ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.artdaqdb.tools.command import DOWNLOADER, LOADER, ProgramResult, environment, run_command
from archiverd.core.errors import ArtdaqDBError, Blame, Retry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from archiverd.artdaqdb.filesystem.external_writer import ExternalWriterFiles


class LocalHost:
    """Runs the tools on this host; see `archiverd.artdaqdb.tools.host.Host`."""

    def __init__(
        self,
        directory: Path | None,
        variables: Mapping[str, str],
        seconds: float,
        secrets: Sequence[str] = (),
        database: ExternalWriterFiles | None = None,
    ) -> None:
        """Look for the tools in ``directory``, else on PATH; ``variables`` are added to their environment.

        ``secrets`` are hidden in their standard error. The tools hold the lock of ``database`` while they run.
        """
        self._directory = directory
        self._variables = environment(os.environ, variables, _libraries(directory))
        self._seconds = seconds
        self._secrets = tuple(secrets)
        self._database = database

    async def check(self) -> None:
        """See ``Host.check``."""
        for tool in (LOADER, DOWNLOADER):
            self._program(tool)

    async def load(self, words: Sequence[str], files: Mapping[str, bytes]) -> ProgramResult:
        """See ``Host.load``."""
        async with _directory() as directory:
            await asyncio.to_thread(_write, directory, files)
            return await self._run(words, directory)

    async def download(self, words: Sequence[str]) -> tuple[ProgramResult, Mapping[str, bytes]]:
        """See ``Host.download``."""
        async with _directory() as directory:
            outcome = await self._run(words, directory)
            return outcome, await asyncio.to_thread(_read, directory)

    async def read(self, path: Path) -> bytes | None:
        """See ``Host.read``."""
        return await asyncio.to_thread(_content, path)

    async def _run(self, words: Sequence[str], directory: Path) -> ProgramResult:
        command = [self._program(words[0]), *words[1:], "-p", str(directory)]
        inherited = () if self._database is None else self._database.descriptors
        return await run_command(command, self._variables, self._seconds, secrets=self._secrets, inherited=inherited)

    def _program(self, tool: str) -> str:
        """Return the path of a tool. Raise ArtdaqDBError if it is not found."""
        beside = self._directory / tool if self._directory is not None else None
        if beside is not None and os.access(beside, os.X_OK) and beside.is_file():
            return str(beside)
        on_path = shutil.which(tool)
        if on_path is None:
            raise ArtdaqDBError(
                f"{tool} is neither in artdaq_db.conftoolp_dir nor on PATH",
                retry=Retry.TRANSIENT,
                blame=Blame.BACKEND,
                remedy="set artdaq_db.conftoolp_dir to the directory that holds it, or artdaq_db.use_tools to false",
            )
        return on_path


def _libraries(directory: Path | None) -> str:
    """Return the directory of the tools' libraries: ``directory``, or the tools' on PATH if it has any; or ""."""
    if directory is not None:
        return str(directory)
    loader = shutil.which(LOADER)
    beside = Path(loader).parent if loader else None
    return str(beside) if beside is not None and any(beside.glob("*.so")) else ""


@asynccontextmanager
async def _directory() -> AsyncIterator[Path]:
    """Give an empty directory for the block. Raise ArtdaqDBError for an OSError."""
    directory = Path(tempfile.mkdtemp(prefix="archiverd-"))  # at once: cancelled meanwhile, it would stay behind
    try:
        yield directory
    except OSError as error:
        raise ArtdaqDBError(
            f"Cannot hand files to artdaqDB's tools: {error}",
            retry=Retry.TRANSIENT,
            blame=Blame.BACKEND,
            remedy=f"see whether {directory.parent} is full; TMPDIR may name another directory",
        ) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (directory / name).write_bytes(content)


def _read(directory: Path) -> dict[str, bytes]:
    """Return the regular files below ``directory`` by relative path."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ArtdaqDBError(
            f"Failed to get configurations: {error}",
            retry=Retry.TRANSIENT,
            blame=Blame.BACKEND,
            remedy=f"{path} must be readable by the user archiverd runs as",
        ) from error
