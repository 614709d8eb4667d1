"""Validation of a blob: what readers downstream need of metadata.fcl (contract.md, ``[validation]``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.core.errors import BlobCreationError
from archiverd.runrecord.blob import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

METADATA: Final = "metadata.fcl"
"""The file of a blob that is validated."""
KEYS: Final = ("config_name", "components", "sbndaq_commit_or_version")
"""Keys that every reader searches for; those that are not required only give a warning."""


@dataclass(frozen=True, slots=True)
class BlobValidation:
    """What is wrong with a blob, a sentence each; both are empty for a valid one."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def validate(blob: bytes, required: Sequence[str]) -> BlobValidation:
    """Check metadata.fcl in ``blob`` (see ``validate_metadata``). Raises nothing."""
    try:
        files = dict(unpack(blob).files)
    except BlobCreationError as error:
        return BlobValidation(problems=(str(error),))
    return validate_metadata(files.get(METADATA), required)


def validate_metadata(metadata: bytes | None, required: Sequence[str]) -> BlobValidation:
    """Check that a blob's metadata.fcl, None if it has none, has exactly one line of each key.

    Readers search for a key anywhere in the text, followed by a colon and white space (run_records.md section 4). A
    missing or repeated key is a problem if it is required, a warning if it is another of ``KEYS``. Raises nothing.
    """
    if metadata is None:
        return BlobValidation(problems=(f"{METADATA} is not in the blob",))
    problems: list[str] = []
    warnings: list[str] = []
    for key in dict.fromkeys((*required, *KEYS)):
        count = len(re.findall(rb"%s:\s" % re.escape(key.encode()), metadata))
        if count != 1:
            sentence = f"metadata.fcl has no {key}" if count == 0 else f"metadata.fcl has {key} {count} times"
            (problems if key in required else warnings).append(sentence)
    return BlobValidation(tuple(problems), tuple(warnings))
