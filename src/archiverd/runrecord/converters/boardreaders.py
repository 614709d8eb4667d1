"""known_boardreaders_list.txt: the board readers DAQInterface may start (run_records.md 1.3 and 5)."""

from __future__ import annotations

import re
from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.entries import Entry, render, unquoted
from archiverd.runrecord.spelling import BLANKS, identifier, lines_of, string

_WORD: Final = re.compile(r'(?:[^ \t"\\]|\\"?|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+')
"""Characters without blanks, or with blanks in quotes; a quote that is never closed ends with the line."""


def to_fhicl(data: bytes) -> str:
    """Return known_boardreaders_list.fcl: ``<name>: ["<host>", "<port>", …]``; ``#`` begins a comment."""
    entries = []
    for line in lines_of(data):
        words = _WORD.findall(line)
        cut = next((number for number, word in enumerate(words) if word.startswith("#")), len(words))
        if cut:
            remark = line[line.index("#", _end_of(words[:cut], line)) :].rstrip(BLANKS) if cut < len(words) else ""
            entries.append(Entry(identifier(words[0]), _columns(words[1:cut]), remark))
    return render(entries)


def _end_of(words: list[str], line: str) -> int:
    """Return the position behind the last of ``words`` in ``line``."""
    position = 0
    for word in words:
        position = line.index(word, position) + len(word)
    return position


def _columns(words: list[str]) -> str:
    """Return the columns as a FHiCL sequence; with a quoted column there is a blank before the bracket (section 5)."""
    plain = [unquoted(word) for word in words]
    end = " ]" if any(before != after for before, after in zip(words, plain, strict=True)) else "]"
    return "[" + ", ".join(string(word) for word in plain) + end


BOARDREADERS: Final = TextConverter(name="known_boardreaders_list", to_fhicl=to_fhicl, blob_place=2)
