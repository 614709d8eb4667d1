"""The words that messages share."""

from __future__ import annotations

import pytest

from archiverd.core.wording import pluralise


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 directories"), (1, "1 directory"), (2, "2 directories"), (21, "21 directories")]
)
def test_only_one_is_singular(count: int, words: str) -> None:
    """A count and its noun agree; a noun that takes a mere s needs no plural of its own."""
    assert pluralise(count, "directory", "directories") == words
    assert pluralise(count, "run") == f"{count} run{'' if count == 1 else 's'}"
