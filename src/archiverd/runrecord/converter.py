"""What the registry (``converters/registry.py``) says of a file that is made for artdaqDB: converted or generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.runrecord.metadata import Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A name that ``fhiclize_generate`` may hold, and what is known of ``<name>.fcl``."""

    name: str
    by_default: bool = True
    """Whether the default of ``fhiclize_generate`` holds it."""
    blob_place: int | None = None
    """Its place among the files that end a blob, smallest first; None for a place by name before all of these."""
    comes_with_end: bool = False
    """Whether the end of a run brings or changes it (run_records.md 2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConverter(MadeFile):
    """Makes ``<name>.fcl`` of ``<name>.txt``."""

    to_fhicl: Callable[[bytes], str]
    """Takes any bytes and returns byte text (``spelling``) in FHiCL; raises nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedFile(MadeFile):
    """Makes ``<name>.fcl`` of what metadata.txt says."""

    generate: Callable[[int, Metadata | None], str | None]
    """Takes the run and its metadata.txt, None without one; returns FHiCL as byte text, or None for no file."""
    is_update: bool = False
    """Whether artdaqDB gets it as an update of the run, behind its other files."""
