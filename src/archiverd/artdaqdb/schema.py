"""schema.fcl: which file of a run record becomes which entity of which collection (artdaqdb_format.md E.1).

Rules are data. The optional ``entity`` of a rule is a small expression, ``match.group(n)`` and quoted texts joined
with ``+``; it is interpreted here, never evaluated as Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.artdaqdb.rules import SCHEMA_FILE
from archiverd.core.errors import FclPreperationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SECTIONS = ("run_history", "system_layout")
"""The rules that run records go by, in this order (E.1)."""

_TERM = re.compile(r"""\s*(?:match\.group\(\s*(\d+)\s*\)|'([^']*)'|"([^"]*)")\s*""")
_STRINGS = frozenset({"string_singlequoted", "string_doublequoted", "string_unquoted"})


@dataclass(frozen=True, slots=True)
class Assigned:
    """One file's place: its file name, the collection, the entity."""

    file: str
    collection: str
    entity: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: files whose path ``pattern`` matches go to ``collection``; ``terms`` make the entity name."""

    collection: str
    pattern: re.Pattern[str]
    terms: tuple[int | str, ...]
    """Numbers of groups, and texts, joined."""

    def entity(self, path: str) -> str | None:
        """Return the entity that the file ``path`` becomes, or None if the rule does not take it."""
        match = self.pattern.match(path)
        if match is None:
            return None
        return "".join((match.group(term) or "") if isinstance(term, int) else term for term in self.terms)


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema: its text, which is archived with every run, and its rules."""

    text: bytes
    rules: tuple[Rule, ...]

    def assign(self, names: Sequence[str]) -> tuple[list[Assigned], list[str]]:
        """Return the places of the files ``names``, and the names that no rule takes.

        A file that several rules take has several places. Raise FclPreperationError if two files would become one
        entity: one of them would be lost.
        """
        places: dict[tuple[str, str], Assigned] = {}
        unmatched = []
        for name in names:
            found = dict.fromkeys(self._places(name))
            for place in found:
                other = places.setdefault((place.collection, place.entity), place)
                if other.file != place.file:
                    raise FclPreperationError(
                        f"{other.file} and {place.file} would both become entity {place.entity} of {place.collection}",
                        remedy="make the rules of schema.fcl tell them apart",
                        context={"files": [other.file, place.file]},
                    )
            if not found:
                unmatched.append(name)
        return list(places.values()), unmatched

    def _places(self, name: str) -> Iterable[Assigned]:
        for rule in self.rules:
            entity = rule.entity(f"./{name}")
            if entity:
                yield Assigned(name, rule.collection, entity)


def load_schema(directory: Path | None) -> Schema:
    """Read the schema.fcl of ``directory``, or the one shipped with archiverd.

    Raise FclPreperationError in the runbook's words if it is not there, and naming file and rule if it is wrong.
    """
    if directory is None:
        text = resources.files(__package__ or "").joinpath(SCHEMA_FILE).read_bytes()
        return parse_schema(text, SCHEMA_FILE)
    if not directory.is_dir():
        raise FclPreperationError(
            f"FCL confdir '{directory}' is not a directory",
            remedy="set artdaq_db.fcl_conf_dir to the directory of schema.fcl, or leave it out to use the shipped one",
        )
    path = directory / SCHEMA_FILE
    try:
        return parse_schema(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise FclPreperationError(
            f"Schema not found at {path}",
            remedy="put schema.fcl there, or leave artdaq_db.fcl_conf_dir out to use the shipped one",
        ) from None
    except OSError as error:
        raise FclPreperationError(f"Cannot read the schema {path}: {error.strerror}") from error


def parse_schema(text: bytes, name: str) -> Schema:
    """Return the schema written in ``text``. Raise FhiclError or FclPreperationError naming file and rule."""
    sections = dict(fhicl.parse_values(text, name)["main"])
    rules: list[Rule] = []
    for section in SECTIONS:
        listed = sections.get(section)
        if not isinstance(listed, list):
            raise FclPreperationError(f"{name}: {section} is not a sequence of rules")
        rules.extend(_rule(entry, f"{name}: rule {number} of {section}") for number, entry in enumerate(listed, 1))
    return Schema(text, tuple(rules))


def _rule(entry: object, where: str) -> Rule:
    """Return one rule from its table."""
    values = _texts(entry, where)
    if not values.get("collection") or "/" in values["collection"]:
        raise FclPreperationError(f"{where} names no collection")
    try:
        pattern = re.compile(values.get("pattern", ""))
    except re.error as error:
        raise FclPreperationError(f"{where}: its pattern is no regular expression: {error}") from error
    if pattern.groups < 3:
        raise FclPreperationError(f"{where}: its pattern has fewer than three groups")
    terms = _terms(values["entity"], where) if "entity" in values else (2,)
    if max((term for term in terms if isinstance(term, int)), default=0) > pattern.groups:
        raise FclPreperationError(f"{where}: its entity names a group that its pattern does not have")
    return Rule(values["collection"], pattern, terms)


def _texts(entry: object, where: str) -> dict[str, str]:
    """Return a rule's table as texts, FHiCL's escapes undone."""
    values: dict[str, str] = {}
    if not isinstance(entry, tuple):
        raise FclPreperationError(f"{where} is not a table")
    for pair in entry:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], tuple) and len(pair[1]) == 2):
            raise FclPreperationError(f"{where} is not a table of texts")
        key, (kind, source) = pair
        if kind not in _STRINGS:
            raise FclPreperationError(f"{where}: {key} is not a text")
        values[key] = re.sub(r"\\(.)", r"\1", source) if kind == "string_doublequoted" else source
    return values


def _terms(expression: str, where: str) -> tuple[int | str, ...]:
    """Return what an ``entity`` expression joins. Raise FclPreperationError for anything but the forms that occur."""
    terms: list[int | str] = []
    position = 0
    while True:
        match = _TERM.match(expression, position)
        if match is None:
            raise FclPreperationError(
                f"{where}: entity {expression!r} is not understood",
                remedy="write match.group(n) and quoted texts joined with +",
            )
        group, single, double = match.groups()
        terms.append(int(group) if group is not None else single if single is not None else double)
        position = match.end()
        if position == len(expression):
            return tuple(terms)
        if expression[position] != "+":
            raise FclPreperationError(f"{where}: entity {expression!r} is not understood at character {position + 1}")
        position += 1
