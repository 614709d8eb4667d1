"""The tools pass the parts of the conformance suite that they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.artdaqdb.conformance import *  # noqa: F403
from tests.artdaqdb.conformance import Abilities, record
from tests.artdaqdb.tools import standin

if TYPE_CHECKING:
    from pathlib import Path

    from archiverd.artdaqdb.port import ArtdaqDB


@pytest.fixture
def abilities() -> Abilities:
    """Return what bulkloader can do: one version, two collections."""
    return Abilities(versions=False, collections=False)


async def test_the_tools_did_it(database: ArtdaqDB, bundle: Path) -> None:
    """What the suite sees was stored and read by the two programs and by nothing else."""
    await database.insert(7, "demo", record(b"a: 1\n"))
    called = [one["tool"] for one in standin.calls(bundle)]
    assert called == ["bulkdownloader", "bulkloader", "bulkdownloader", "bulkloader", "bulkdownloader"]
