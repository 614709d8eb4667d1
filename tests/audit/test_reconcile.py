"""What a comparison takes for a run, and what it says of runs that nobody has compared yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from archiverd.audit.reconcile import ComparedSources, numbered, reconcile
from archiverd.process.progress import silent
from archiverd.ucondb.port import StoredVersion
from tests.audit.held import Held
from tests.audit.test_elsewhere import audit, verified_somewhere

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("key", ["007", "0", "", "+7", "7 ", "7a", "²", "1" * 19])
def test_a_key_that_we_would_not_write_is_no_run(key: str) -> None:
    """Only a run number as archiverd writes it is a run's key: `007` is somebody else's, not run 7."""
    ours, other = StoredVersion("7", 1, 10, 0), StoredVersion(key, 2, 20, 0)
    assert numbered({"7": ours, key: other}) == {7: ours}


async def test_runs_of_which_no_place_was_noted_are_not_all_read(tmp_path: Path) -> None:
    """A few are; of the others size and checksum are looked up, and what is not known of them is said."""
    journal, databases = await verified_somewhere(tmp_path)
    await audit(journal, cast("Any", databases), []).look(None, before=1_000.0, most=2)
    assert databases.read == [5, 4]
    databases.blobs[3] += b" and more"
    del databases.blobs[2]
    ucondb = Held(databases.blobs)

    async def list_keys() -> dict[str, StoredVersion]:
        return dict(await ucondb.look_up_all([str(run) for run in range(1, 6)]))

    ucondb.list_keys = list_keys  # type: ignore[attr-defined]

    async def list_runs() -> dict[int, object]:
        return dict.fromkeys(range(1, 6))

    databases.list_runs = list_runs  # type: ignore[method-assign]
    sources = ComparedSources(journal, cast("Any", databases), cast("Any", ucondb), tmp_path, frozenset())
    found = await reconcile(sources, deep=False, on_progress=silent)
    assert found.states == {"differs": (3,), "elsewhere": (2,), "not_compared": (1,), "verified": (4, 5)}
    assert not found.in_order
    assert ucondb.read == []
    await journal.close()
