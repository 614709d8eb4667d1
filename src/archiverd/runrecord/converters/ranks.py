"""ranks.txt: host, port, label and rank of each process (run_records.md 1.3 and 5)."""

from __future__ import annotations

import re
from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.entries import UNPARSED
from archiverd.runrecord.spelling import BLANKS, distinct, identifier, lines_of, strings

_HEADER: Final = ["host", "port", "label", "subsystem", "rank"]
_OLD_HEADER: Final = ["host", "port", "label", "rank"]
"""Before v3_06_02: tabs, no subsystem."""


def to_fhicl(data: bytes) -> str:
    """Return ranks.fcl: a table ``ranks`` with the header, a row ``rank<n>`` for each process, and ``unparsed_lines``.

    The latter has the lines with too few columns.
    """
    lines = [line.strip(BLANKS) for line in lines_of(data)]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    header = _HEADER
    if re.split(r"[ \t]+", lines[0]) in (_HEADER, _OLD_HEADER):
        header = re.split(r"[ \t]+", lines.pop(0))
    rows, unparsed = [], []
    for line in lines:
        row = _row(line, len(header))
        if row is None:
            unparsed.append(line)
        else:
            rows.append(row)
    names = distinct(["header", *(identifier(f"rank{row[-1]}") for row in rows)])
    table = list(zip(names, [header, *rows], strict=True))
    if unparsed:
        table.append((UNPARSED, unparsed))
    return "ranks: {\n" + "".join(f"  {name}: {strings(columns)}\n" for name, columns in table) + "}\n"


def _row(line: str, columns: int) -> list[str] | None:
    """Return a row's columns, of which the third, the label, may contain blanks; None if some are missing."""
    first = re.split(r"[ \t]+", line, maxsplit=2)
    last = columns - 3
    if len(first) < 3:
        return None
    rest = re.split(r"[ \t]+", first[2][::-1], maxsplit=last)
    if len(rest) < last + 1:
        return None
    return [*first[:2], *(word[::-1] for word in reversed(rest))]


RANKS: Final = TextConverter(name="ranks", to_fhicl=to_fhicl, blob_place=7)
