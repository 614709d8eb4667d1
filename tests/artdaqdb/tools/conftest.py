"""Stand-in programs, and artdaqDB through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.tools.factory import make_tools_db
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
    return lambda: make_tools_db(
        f"filesystemdb://{tmp_path}/db",
        directory=bundle,
        remote_host="",
        schema_dir=tmp_path,
        call_timeout_seconds=60,
    )
