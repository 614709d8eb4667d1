"""FHiCL with one entry a line, which most converters return."""

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
"""The key of the lines that follow no grammar, each whole."""

_NUMERIC: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+")
"""A number in every text file. ``007`` is none: it is a name, and FHiCL would make it 7."""

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\'\\nt])*)"')
_ONLY_QUOTES_ESCAPED: Final = re.compile(r'(?:[^"\\]|\\")*')


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of FHiCL: ``<key>: <value> <remark>``."""

    key: str
    """A legal FHiCL key; ``render`` makes repeated keys distinct."""
    value: str
    """In FHiCL."""
    remark: str = ""
    """The comment behind the value, with its ``#``; byte text."""
    lead: str = ""
    """Text before the key: an empty line before lists of log files."""


def render(entries: Iterable[Entry | str], *, unparsed: Sequence[str] = (), guarded: bool = False) -> str:
    """Return the FHiCL text of ``entries``, one a line; a plain str is a comment line.

    ``unparsed`` lines follow as one sequence, so that nothing of the file is lost. ``guarded``: see ``string``.
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
    """Return whether ``text`` is digits with at most one dot, and has the same value as a FHiCL number."""
    return _NUMERIC.fullmatch(text) is not None


def value(text: str, *, guarded: bool = False) -> str:
    """Return a value of a text file as FHiCL: numbers, quoted strings and lists unchanged, anything else a string.

    A quoted string or a list that is not legal FHiCL becomes a string or a list of strings.
    """
    if is_number(text):
        return text
    if len(text) > 1 and text[0] == "[" and text[-1] == "]":
        return sequence(text, guarded=guarded)
    return quoted(text, guarded=guarded)


def quoted(text: str, *, guarded: bool = False) -> str:
    r"""Return ``text`` as a FHiCL string; a legal quoted string is unchanged.

    Where every backslash precedes a quote, the text was written for FHiCL: ``\"`` is a quote.
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
    """Return a list in brackets unchanged if it is one legal FHiCL sequence, else its elements as strings."""
    if can_stand(text, guarded=guarded) and _one_bracket(text) and _is_fhicl(f"x: {text}\n"):
        return text
    return strings((unquoted(element) for element in elements(text)), guarded=guarded)


def _one_bracket(text: str) -> bool:
    """Return whether the first bracket of ``text`` is closed by its last."""
    depth = 0
    for position in outside_quotes(text, "[]"):
        depth += 1 if text[position] == "[" else -1
        if depth == 0:
            return position == len(text) - 1
    return False


def _is_fhicl(text: str) -> bool:
    try:
        fhicl.check(text.encode("latin-1"), "value")
    except FhiclError:
        return False
    return True


def elements(text: str) -> list[str]:
    """Return the elements of a list in brackets, stripped, with their quotes; commas in quotes do not separate."""
    inner = text[1:-1]
    cuts = [*outside_quotes(inner, ","), len(inner)]
    begins = [0, *(cut + 1 for cut in cuts)]
    parts = (inner[begin:end].strip(" \t\n") for begin, end in zip(begins, cuts, strict=False))
    return [part for part in parts if part]


def unquoted(text: str) -> str:
    """Return ``text`` without the pair of double quotes around it, if there is one."""
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1].replace('\\"', ""):
        return text[1:-1].replace('\\"', '"')
    return text


def split_remark(text: str, *, after_blank: bool) -> tuple[str, str]:
    """Return a value, without blanks at its end, and the comment behind it, from a ``#`` outside double quotes on.

    With ``after_blank`` only a ``#`` that follows a blank begins a comment.
    """
    for position in outside_quotes(text, "#"):
        if not after_blank or position == 0 or text[position - 1] in BLANKS:
            return text[:position].rstrip(BLANKS), text[position:]
    return text.rstrip(BLANKS), ""


def outside_quotes(text: str, characters: str) -> Iterator[int]:
    """Yield the positions of ``characters`` outside double quotes; a quote that is never closed hides what follows."""
    inside = False
    for match in re.finditer(rf'\\"|["{re.escape(characters)}]', text):
        if match[0] == '"':
            inside = not inside
        elif not inside and match[0] != '\\"':
            yield match.start()
