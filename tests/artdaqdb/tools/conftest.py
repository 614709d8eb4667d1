"""Stand-in programs, and artdaqDB through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.backends import through_tools
from archiverd.config.models import ArtdaqDb
from tests.artdaqdb.tools import standin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archiverd.artdaqdb.tools.store import ToolsDB


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the directory of the stand-in programs."""
    return standin.install(tmp_path / "bundle")


@pytest.fixture
def make_database(tmp_path: Path, bundle: Path) -> Callable[[], ToolsDB]:
    """Return what makes an adapter on the test's directory and stand-in programs."""
    return lambda: through_tools(
        ArtdaqDb(
            database_uri=f"filesystemdb://{tmp_path}/db",
            conftoolp_dir=bundle,
            fcl_conf_dir=tmp_path,
            call_timeout_seconds=60,
        )
    )
