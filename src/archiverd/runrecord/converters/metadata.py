"""metadata.txt as FHiCL (run_records.md 1.2 and 5)."""

from __future__ import annotations

from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.entries import Entry, render
from archiverd.runrecord.metadata import parse
from archiverd.runrecord.spelling import strings


def to_fhicl(data: bytes) -> str:
    """Return metadata.fcl; the components stand as one sequence where the first of them stood."""
    metadata = parse(data)
    components = Entry("components", strings(metadata.components, guarded=True))
    items = [components if item is None else item for item in metadata.items]
    return render(items, unparsed=metadata.unparsed, guarded=True)


METADATA: Final = TextConverter(name="metadata", to_fhicl=to_fhicl, blob_place=5, comes_with_end=True)
