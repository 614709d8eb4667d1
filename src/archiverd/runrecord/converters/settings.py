"""settings.txt, and rc_info_start.txt and rc_info_stop.txt: ``key: value`` lines (run_records.md 1.3 and 5)."""

from __future__ import annotations

import re
from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.entries import (
    Entry,
    elements,
    is_number,
    outside_quotes,
    quoted,
    render,
    split_remark,
    unquoted,
)
from archiverd.runrecord.spelling import BLANKS, encoded_key, key, lines_of, string

_KEY_BLANKS: Final = re.compile(r"[ \t\-()/#.]+")
_STARTS_ENTRY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ \t-]*:")
_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER_NUMBER: Final = re.compile(
    r"0[xX][0-9a-fA-F]+|[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
)
_MEANS_SOMETHING: Final = frozenset({"true", "false", "infinity", "nil"})
"""Words with a meaning in FHiCL: in quotes they stay in quotes."""


def to_fhicl(data: bytes) -> str:
    """Return settings.fcl. ``#`` begins a comment; a list may span several lines."""
    entries: list[Entry] = []
    unparsed: list[str] = []
    lines = [line.strip(BLANKS) for line in lines_of(data)]
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line or line.startswith("#"):
            continue
        name, text = _split(line)
        if not name:
            unparsed.append(line)
            continue
        text, remark = split_remark(text, after_blank=False)
        if text.startswith("[") and not text.endswith("]"):
            text, remark, position = _whole_list(text, remark, lines, position)
        entries.append(Entry(_key(name), _value(text), remark))
    return render(entries, unparsed=unparsed)


def rc_info_to_fhicl(data: bytes) -> str:
    """Return rc_info_start.fcl or rc_info_stop.fcl: run control's values as numbers and strings; no comments."""
    entries: list[Entry] = []
    unparsed: list[str] = []
    for line in (line.strip(BLANKS) for line in lines_of(data)):
        name, text = _split(line)
        if name:
            entries.append(Entry(_key(name), text if is_number(text) else quoted(text)))
        elif line:
            unparsed.append(line)
    return render(entries, unparsed=unparsed)


def _split(line: str) -> tuple[str, str]:
    """Return key and value of a ``key: value`` line; the key is empty if it is none."""
    name, colon, text = line.partition(":")
    return (name.rstrip(BLANKS), text.lstrip(BLANKS)) if colon else ("", "")


def _key(name: str) -> str:
    """Return the key, with each run of blanks and ``- ( ) / # .`` as ``_``."""
    plain = _KEY_BLANKS.sub("_", name)
    return plain if key(plain) == plain else encoded_key(name)


def _whole_list(text: str, remark: str, lines: list[str], position: int) -> tuple[str, str, int]:
    """Return the text of a list that ends on a later line, its comments, and the position behind it.

    A list that has no end before the next ``key: value`` line, or before another list begins, stays as it is.
    """
    parts, remarks = [text], [remark] if remark else []
    for ahead in range(position, len(lines)):
        if "[" in lines[ahead] or _STARTS_ENTRY.match(lines[ahead]):
            break
        more, more_remark = split_remark(lines[ahead], after_blank=False)
        parts.append(more)
        remarks += [more_remark] if more_remark else []
        if more.endswith("]"):
            return " ".join(parts), " ".join(remarks), ahead + 1
    return text, remark, position


def _value(text: str) -> str:
    """Return a value as FHiCL: numbers and truth values unchanged, lists element by element, else a string."""
    if text.lower() in ("true", "false"):
        return text.lower()
    if _OTHER_NUMBER.fullmatch(text):
        return text
    if len(text) > 1 and text[0] == "[" and text[-1] == "]":
        return _list(text)
    return quoted(text)


def _list(text: str) -> str:
    """Return a list as FHiCL: plain words and numbers bare, others as strings; a list in a list as one string."""
    if any(outside_quotes(text[1:-1], "[]")):
        return string(text)
    spelled = [_element(element) for element in elements(text)]
    return f"[ {', '.join(spelled)} ]" if spelled else "[ ]"


def _element(text: str) -> str:
    """Return one element, without quotes unless these make a number, or a word with a meaning, a text."""
    plain = unquoted(text)
    if _BARE.fullmatch(plain) and (plain is text or plain.lower() not in _MEANS_SOMETHING):
        return plain
    if plain == text and _OTHER_NUMBER.fullmatch(plain):
        return plain
    return string(plain)


SETTINGS: Final = TextConverter(name="settings", to_fhicl=to_fhicl, blob_place=6)
RC_INFO_START: Final = TextConverter(name="rc_info_start", to_fhicl=rc_info_to_fhicl)
RC_INFO_STOP: Final = TextConverter(name="rc_info_stop", to_fhicl=rc_info_to_fhicl, comes_with_end=True)
