"""Validating a blob: what readers downstream need of metadata.fcl (contract.md, ``[validation]``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd.core.errors import BlobCreationError
from archiverd.runrecord.blob import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS: Final = ("config_name", "components", "sbndaq_commit_or_version")
"""Every reader looks for these; those that are not required only give a warning."""


@dataclass(frozen=True, slots=True)
class BlobValidation:
    """What is wrong with a blob, a sentence each; both empty when it is fine."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def validate(blob: bytes, required: Sequence[str]) -> BlobValidation:
    """Check that metadata.fcl in ``blob`` has exactly one line of each key.

    A key is looked for as readers do: anywhere in the text, followed by a colon and white space (run_records.md
    section 4). A missing or repeated required key is a problem, another of ``KEYS`` a warning. Never raises.
    """
    try:
        files = dict(unpack(blob).files)
    except BlobCreationError as error:
        return BlobValidation(problems=(str(error),))
    metadata = files.get("metadata.fcl")
    if metadata is None:
        return BlobValidation(problems=("metadata.fcl is not in the blob",))
    problems: list[str] = []
    warnings: list[str] = []
    for key in dict.fromkeys((*required, *KEYS)):
        count = len(re.findall(rb"%s:\s" % re.escape(key.encode()), metadata))
        if count != 1:
            said = f"metadata.fcl has no {key}" if count == 0 else f"metadata.fcl has {key} {count} times"
            (problems if key in required else warnings).append(said)
    return BlobValidation(tuple(problems), tuple(warnings))
