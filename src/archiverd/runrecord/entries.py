"""The shape most converted files have: one FHiCL entry a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd import fhicl
from archiverd.core.errors import FhiclError
from archiverd.runrecord.spelling import BLANKS, can_stand, comment, distinct, string, strings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

UNPARSED: Final = "unparsed_lines"
"""The key under which lines that follow no grammar are kept, whole."""

_NUMERIC: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+")
"""What is a number in every text file. Not ``007``: that is a name, and FHiCL would make it 7."""

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\'\\nt])*)"')
_ONLY_QUOTES_ESCAPED: Final = re.compile(r'(?:[^"\\]|\\")*')


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of FHiCL: ``<key>: <value> <remark>``."""

    key: str
    """Already a legal FHiCL key; repetitions are sorted out by ``render``."""
    value: str
    """FHiCL."""
    remark: str = ""
    """A comment that stood behind the value: ``#`` and its text, byte text."""
    lead: str = ""
    """Text before the key; an empty line before lists of log files."""


def render(entries: Iterable[Entry | str], *, unparsed: Sequence[str] = (), guarded: bool = False) -> str:
    """Return the FHiCL text of ``entries``, one a line; a plain str stands as it is (a comment line).

    ``unparsed`` lines follow as one sequence, so that nothing of the file is lost.
    """
    items = list(entries)
    if unparsed:
        items.append(Entry(UNPARSED, strings(unparsed, guarded=guarded)))
    keys = iter(distinct([item.key for item in items if isinstance(item, Entry)]))
    lines = []
    for item in items:
        if isinstance(item, str):
            lines.append(f"{item}\n")
        else:
            remark = f" {comment(item.remark, guarded=guarded)}" if item.remark else ""
            lines.append(f"{item.lead}{next(keys)}: {item.value}{remark}\n")
    return "".join(lines)


def is_number(text: str) -> bool:
    """Tell whether ``text`` is digits with at most one dot, and means the same as a FHiCL number."""
    return _NUMERIC.fullmatch(text) is not None


def value(text: str, *, guarded: bool = False) -> str:
    """Return a value of a text file as FHiCL: numbers, strings in quotes and lists as they stand, else a string.

    What looks like a string in quotes or a list but is not legal FHiCL becomes a string or a list of strings.
    """
    if is_number(text):
        return text
    if len(text) > 1 and text[0] == "[" and text[-1] == "]":
        return sequence(text, guarded=guarded)
    return quoted(text, guarded=guarded)


def quoted(text: str, *, guarded: bool = False) -> str:
    r"""Return ``text`` as a FHiCL string; a legal string in quotes stands as it is.

    A text whose only backslashes stand before quotes was meant for FHiCL already: ``\"`` is a quote in it.
    """
    match = _QUOTED.fullmatch(text)
    if match is not None and can_stand(match[1], guarded=guarded):
        return text
    inner = text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner:
        return string(inner, guarded=guarded)
    if '\\"' in text and _ONLY_QUOTES_ESCAPED.fullmatch(text):
        text = text.replace('\\"', '"')
    return string(text, guarded=guarded)


def sequence(text: str, *, guarded: bool = False) -> str:
    """Return a list in brackets as it stands if it is one legal FHiCL sequence, else its elements as strings."""
    if can_stand(text, guarded=guarded) and _one_bracket(text) and _is_fhicl(f"x: {text}\n"):
        return text
    return strings((unquoted(element) for element in elements(text)), guarded=guarded)


def _one_bracket(text: str) -> bool:
    """Tell whether the bracket that opens ``text`` is closed by the one that ends it."""
    depth = 0
    for position in outside_quotes(text, "[]"):
        depth += 1 if text[position] == "[" else -1
        if depth == 0:
            return position == len(text) - 1
    return False


def _is_fhicl(text: str) -> bool:
    """Tell whether ``text`` is legal FHiCL."""
    try:
        fhicl.check(text.encode("latin-1"), "value")
    except FhiclError:
        return False
    return True


def elements(text: str) -> list[str]:
    """Split a list in brackets at its commas, those in quotes apart; each element is stripped, quotes stay."""
    inner = text[1:-1]
    cuts = [*outside_quotes(inner, ","), len(inner)]
    begins = [0, *(cut + 1 for cut in cuts)]
    parts = (inner[begin:end].strip(" \t\n") for begin, end in zip(begins, cuts, strict=False))
    return [part for part in parts if part]


def unquoted(text: str) -> str:
    """Return ``text`` without the pair of double quotes around it, if there is such a pair."""
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1].replace('\\"', ""):
        return text[1:-1].replace('\\"', '"')
    return text


def split_remark(text: str, *, after_blank: bool) -> tuple[str, str]:
    """Split a value from the comment behind it, which begins at a ``#`` outside double quotes.

    With ``after_blank`` only a ``#`` that follows a blank begins a comment. The value is stripped of blanks at its end.
    """
    for position in outside_quotes(text, "#"):
        if not after_blank or position == 0 or text[position - 1] in BLANKS:
            return text[:position].rstrip(BLANKS), text[position:]
    return text.rstrip(BLANKS), ""


def outside_quotes(text: str, characters: str) -> Iterator[int]:
    """Yield where one of ``characters`` stands outside double quotes; behind a quote never closed nothing does."""
    inside = False
    for match in re.finditer(rf'\\"|["{re.escape(characters)}]', text):
        if match[0] == '"':
            inside = not inside
        elif not inside and match[0] != '\\"':
            yield match.start()
