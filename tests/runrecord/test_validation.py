"""Validating blobs."""

from __future__ import annotations

import pytest

from archiverd.runrecord.blob import pack
from archiverd.runrecord.validation import BlobValidation, validate

REQUIRED = ("components", "config_name")
GOOD = b'config_name: "x"\ncomponents: ["a"]\nsbndaq_commit_or_version: "v1 "\n'


def blob(metadata: bytes) -> bytes:
    """Return a blob with this metadata.fcl."""
    return b"".join(pack(1, "Oct 26 14:30 UTC", [("metadata.fcl", metadata), ("tpc01.fcl", b"components: 1\n")]))


@pytest.mark.parametrize(
    ("metadata", "problems", "warnings"),
    [
        (GOOD, (), ()),
        (GOOD.replace(b"sbndaq_", b"artdaq_"), (), ("metadata.fcl has no sbndaq_commit_or_version",)),
        (GOOD + b'sbndaq_commit_or_version: "x"\n', (), ("metadata.fcl has sbndaq_commit_or_version 2 times",)),
        (GOOD.replace(b"config", b"konfig"), ("metadata.fcl has no config_name",), ()),
        (GOOD + b"components: []\n", ("metadata.fcl has components 2 times",), ()),
        (GOOD + b'old_components: "x"\n', ("metadata.fcl has components 2 times",), ()),
        (GOOD + b'note: "the components: two"\n', ("metadata.fcl has components 2 times",), ()),
    ],
)
def test_metadata(metadata: bytes, problems: tuple[str, ...], warnings: tuple[str, ...]) -> None:
    """Each key must be there once, found as readers find it; a key that is not required only warns."""
    assert validate(blob(metadata), REQUIRED) == BlobValidation(problems, warnings)


def test_what_is_required_is_a_problem() -> None:
    """A required key that is missing is a problem, also one that readers do not need."""
    found = validate(blob(b""), ("sbndaq_commit_or_version", "shifter"))
    assert found.problems == ("metadata.fcl has no sbndaq_commit_or_version", "metadata.fcl has no shifter")
    assert found.warnings == ("metadata.fcl has no config_name", "metadata.fcl has no components")


def test_no_metadata() -> None:
    """A blob without metadata.fcl is one problem."""
    assert validate(b"".join(pack(1, "Oct 26 14:30 UTC", [])), REQUIRED).problems == (
        "metadata.fcl is not in the blob",
    )


def test_no_blob() -> None:
    """Bytes that are no blob are a problem, not an exception."""
    (problem,) = validate(b"<html>", REQUIRED).problems
    assert "This is no blob" in problem
