"""environment.txt: ``export NAME=value`` lines with unquoted values (run_records.md 1.3 and 5)."""

from __future__ import annotations

import re
from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.entries import Entry, render
from archiverd.runrecord.spelling import BLANKS, identifier, lines_of, string

_EXPORT: Final = re.compile(r"export ([^=]+)=(.*)", re.DOTALL)
_PARTITION: Final = re.compile(rb"^export DAQINTERFACE_PARTITION_NUMBER=(\d{1,9})[ \t]*\r?$", re.MULTILINE)


def to_fhicl(data: bytes) -> str:
    """Return environment.fcl: ``NAME: "value"``. A line without ``export`` continues the value before it."""
    names: list[str] = []
    values: list[list[str]] = []
    unparsed: list[str] = []
    for line in lines_of(data):
        match = _EXPORT.fullmatch(line)
        if match is not None:
            names.append(match[1])
            values.append([match[2]])
        elif values:
            values[-1].append(line)
        elif line.strip(BLANKS):
            unparsed.append(line)
    entries = (Entry(identifier(name), string("\n".join(value))) for name, value in zip(names, values, strict=True))
    return render(entries, unparsed=unparsed)


def partition_of(data: bytes) -> int | None:
    """Return the partition number in environment.txt, or None; no other file has it."""
    match = _PARTITION.search(data)
    return int(match[1]) if match is not None else None


ENVIRONMENT: Final = TextConverter(name="environment", to_fhicl=to_fhicl, blob_place=4)
