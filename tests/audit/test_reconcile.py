"""What a comparison takes for a run."""

from __future__ import annotations

import pytest

from archiverd.audit.reconcile import numbered
from archiverd.ucondb.port import StoredVersion


@pytest.mark.parametrize("key", ["007", "0", "", "+7", "7 ", "7a", "²", "1" * 19])
def test_a_key_that_we_would_not_write_is_no_run(key: str) -> None:
    """Only a run number as archiverd writes it is a run's key: `007` is somebody else's, not run 7."""
    ours, other = StoredVersion("7", 1, 10, 0), StoredVersion(key, 2, 20, 0)
    assert numbered({"7": ours, key: other}) == {7: ours}
