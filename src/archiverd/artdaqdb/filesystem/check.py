"""Checks of a database, and indexes rebuilt from its documents (artdaqdb_format.md sections A.4 and A.5).

For a database that nobody writes to. Only ``rebuild_index`` changes anything, and it changes no document.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archiverd import fhicl
from archiverd.artdaqdb.filesystem.index import INDEX, Index, Names
from archiverd.artdaqdb.filesystem.redo import Redo
from archiverd.artdaqdb.filesystem.tree import is_document
from archiverd.artdaqdb.rules import SYSTEM_METADATA
from archiverd.core.errors import ArtdaqDBError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archiverd.disk import Disk

LARGEST_DOCUMENT = 512 << 20
"""Bytes; a larger file is not a document."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect: the file, and what is wrong with it, as a predicate of the file."""

    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuilt index: how many documents it holds, and those that had to be left out."""

    indexed: int
    left_out: list[Defect]


def check_database(root: Path) -> Iterator[Defect]:
    """Yield every defect of the database in ``root``: of its documents and of its indexes.

    Reads every document. Raise OSError if ``root`` cannot be read.
    """
    for collection in collections_in(root):
        try:
            data = (collection / INDEX).read_bytes()
            index = Index.parse(data, str(collection / INDEX))
        except FileNotFoundError:
            yield Defect(collection / INDEX, "is not there: every document of the collection is invisible")
            index = Index()
        except ArtdaqDBError as error:
            yield Defect(collection / INDEX, str(error))
            continue
        yield from _check_collection(collection, index)


def rebuild_index(collection: Path, disk: Disk) -> Rebuilt:
    """Write a collection's ``index.json`` again from its documents; return what it holds.

    Keys are in the order of their first time stamps. Documents of a store that was killed are left out: the next start
    removes them. Raise OSError if it cannot be written; the old one is unchanged then.
    """
    uncommitted = Redo(collection.parent, disk).read().uncommitted
    left_out: list[Defect] = []
    documents: list[tuple[str, str, Names]] = []
    for path in documents_in(collection):
        if path.stem in uncommitted:
            continue
        try:
            names = names_of(path)
        except (ArtdaqDBError, OSError) as error:
            left_out.append(Defect(path, str(error)))
        else:
            documents.append((min(names.assigned, default=""), path.stem, names))
    index = Index()
    for _, oid, names in sorted(documents, key=lambda one: one[:2]):
        index.add(oid, names)
    disk.publish(collection / INDEX, index.chunks())
    return Rebuilt(len(documents), left_out)


def _check_collection(collection: Path, index: Index) -> Iterator[Defect]:
    """Yield the defects of one collection."""
    anew = Index()
    for path in documents_in(collection):
        try:
            names = names_of(path)
            fhicl.read_document(path.read_bytes(), path.name)
        except (ArtdaqDBError, FhiclError, OSError) as error:
            yield Defect(path, f"is damaged: {error}")
            continue
        anew.add(path.stem, names)
        if path.stem not in index:
            yield Defect(path, "stands in no index: it is invisible")
            continue
        for section, key in names.under():
            if path.stem not in index.of(section, key):
                yield Defect(path, f"is missing in the index under {section} {key}")
    for oid in index:
        if not (collection / f"{oid}.json").exists():
            yield Defect(collection / f"{oid}.json", "is in the index but not there")
    for section, key, oid in index.entries():
        if oid in anew and oid not in anew.of(section, key):
            yield Defect(collection / f"{oid}.json", f"is in the index under {section} {key}, but does not say so")


def names_of(path: Path) -> Names:
    """Return the names that a document is indexed under. Raise ArtdaqDBError if it is damaged, or not a document."""
    if path.stat().st_size > LARGEST_DOCUMENT:
        raise ArtdaqDBError(f"larger than {LARGEST_DOCUMENT} bytes", context={"path": str(path)})
    try:
        document: dict[str, Any] = json.loads(path.read_bytes().decode(errors="surrogateescape"), strict=False)
        oid = document["_id"].get("$oid") or document["_id"]["_oid"]
        if oid != path.stem:
            raise ArtdaqDBError(f"its object id is {oid}", context={"path": str(path)})
        configurations = document.get("configurations", [])
        return Names(
            version=_text(document.get("version", "")),
            configurations=tuple(_text(one["name"]) for one in configurations),
            assigned=tuple(_text(one["assigned"]) for one in configurations),
            entities=_named(document.get("entities", [])) or _named([document.get("configurable_entity", {})]),
            runs=_named(document.get("runs", [])),
            aliases=_named(document.get("aliases", {}).get("active", [])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtdaqDBError(f"not a document: {type(error).__name__} {error}", context={"path": str(path)}) from error


def _named(listed: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the names of a document's section."""
    return tuple(_text(one["name"]) for one in listed if one)


def _text(value: object) -> str:
    """Return ``value`` if it is a text. Raise TypeError if not."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def collections_in(root: Path) -> list[Path]:
    """Return the collections of a database."""
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and entry.name != SYSTEM_METADATA)
    return [root / name for name in names]


def documents_in(collection: Path) -> list[Path]:
    """Return the documents of a collection."""
    with os.scandir(collection) as entries:
        return [collection / name for name in sorted(entry.name for entry in entries) if is_document(name)]
