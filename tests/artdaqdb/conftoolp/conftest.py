"""artdaqDB through the stand-in library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.conftoolp.process import Launch
from archiverd.artdaqdb.conftoolp.store import ConftoolpDB
from archiverd.config.models import ArtdaqDb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STANDIN = Path(__file__).parent / "standin"
MEMORY = 4 << 30


def launch(
    variables: Mapping[str, str], *, python: str = sys.executable, memory: int = MEMORY, secrets: tuple[bytes, ...] = ()
) -> Launch:
    """Return how a child is started for which nothing is to be prepared."""

    async def nothing() -> Sequence[int]:
        return ()

    return Launch(python, variables, memory, secrets, nothing)


def library_settings(uri: str, directory: Path, seconds: float = 60.0) -> ArtdaqDb:
    """Return the settings of a database that the library in ``directory`` stores."""
    settings = ArtdaqDb(database_uri="filesystemdb:///db", conftoolp_dir=directory, call_timeout_seconds=seconds)
    return settings.model_copy(update={"database_uri": uri})


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory whose files make the stand-in fail."""
    directory = tmp_path / "faults"
    directory.mkdir()
    monkeypatch.setenv("CONFTOOLP_FAULTS", str(directory))
    return directory


@pytest.fixture
def make_database(tmp_path: Path, faults: Path) -> Callable[..., ConftoolpDB]:
    """Return what makes an adapter on the test's directory and the stand-in library."""
    return lambda seconds=60.0: ConftoolpDB(
        library_settings(f"filesystemdb://{tmp_path}/db", STANDIN, seconds=seconds), 3
    )
