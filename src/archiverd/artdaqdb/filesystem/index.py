"""The index of a collection in memory, and the text of its ``index.json`` (artdaqdb_format.md section A.5).

Object ids are packed (`oids`) and equal sets are one object, so an archive of 10 000 runs of 93 entities takes some
50 MB, and its index.json of 130 MB is written without sorting anything.
"""

from __future__ import annotations

import bisect
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd.artdaqdb.documents import text
from archiverd.artdaqdb.filesystem import object_ids
from archiverd.artdaqdb.rules import ALIAS, ASSIGNED, CONFIGURATION, ENTITY, RUN, VERSION
from archiverd.core.errors import ArtdaqDBError, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

INDEX = "index.json"
"""The name of a collection's index."""
OUID = "ouid"
"""The section of all object ids; the others are called as the fields of documents."""
SECTIONS = (VERSION, CONFIGURATION, ENTITY, ALIAS, RUN)
"""The sections that map a name to object ids, in the file's order."""

EMPTY = (
    '{"ouid":[], "version":{},"configurations.name":{}, "entities.name":{},"aliases.active.name":{}, '
    '"runs.name":{},"configurations.assigned":{} }'
)
"""The text of a new index (A.5)."""

_MEMBER = re.compile(rb'"([^"\\]*)" : \[\n([^\]]*)\n\]')
"""A member of a section in the library's layout: its name, if nothing in it is escaped, and what its array holds."""
_JOINED = '",\n"'
_PIECE = 1 << 20
"""Characters in a piece of index text, about."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names a document is indexed under. Any may be empty; other programs' documents may have several of each."""

    version: str
    configurations: tuple[str, ...]
    assigned: tuple[str, ...]
    """When each of the configurations was assigned, as time stamps."""
    entities: tuple[str, ...]
    runs: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    def under(self) -> Iterator[tuple[str, str]]:
        """Yield section and key of every entry; entries whose sets of ids are usually equal follow each other."""
        if self.version:
            yield VERSION, self.version
        sections = ((CONFIGURATION, self.configurations), (RUN, self.runs), (ENTITY, self.entities))
        for section, keys in (*sections, (ALIAS, self.aliases)):
            for key in keys:
                yield section, key


class Index:
    """The index of one collection. Not thread-safe, but its sets are never changed in place."""

    def __init__(self) -> None:
        """Make the index of an empty collection."""
        self._all = object_ids.by_first_byte(b"")
        self._sections: dict[str, dict[str, bytes]] = {name: {} for name in SECTIONS}
        self._assigned: dict[str, str] = {}
        """Ascending time stamps by configuration, joined as in the file."""
        self._strange: dict[tuple[str, str], frozenset[str]] = {}
        """Ids of documents whose file names are not of the library's form, by section and key."""
        self._versions: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._all)) // object_ids.SIZE + len(self._strange.get((OUID, ""), ()))

    def __contains__(self, oid: str) -> bool:
        if not object_ids.FORM.fullmatch(oid):
            return oid in self._strange.get((OUID, ""), ())
        ids = bytes.fromhex(oid)
        return object_ids.contains(self._all[ids[0]], ids)

    def __iter__(self) -> Iterator[str]:
        """Yield all object ids."""
        for ids in self._all:
            yield from object_ids.unpack(ids)
        yield from sorted(self._strange.get((OUID, ""), ()))

    def keys(self, section: str) -> Mapping[str, object]:
        """Return the names of a section, in order of first insertion."""
        return self._sections[section]

    def of(self, section: str, key: str) -> list[str]:
        """Return the object ids under ``key`` of a section, ascending; none if there is no such key."""
        return sorted(
            (*object_ids.unpack(self._sections[section].get(key, b"")), *self._strange.get((section, key), ()))
        )

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Yield section, key and object id of every entry."""
        for section, keys in self._sections.items():
            for key in keys:
                for oid in self.of(section, key):
                    yield section, key, oid

    def versions_of(self, run: int) -> list[str]:
        """Return the versions ``<run>/…`` in order of first insertion; its cost does not grow with the archive."""
        if self._versions is None:
            self._versions = {}
            for version in self._sections[VERSION]:
                self._versions.setdefault(version.partition("/")[0], []).append(version)
        return self._versions.get(str(run), [])

    def last_assigned(self, configuration: str) -> str:
        """Return the greatest time stamp of a configuration's assignments; empty if there is none."""
        return self._assigned.get(configuration, "").rpartition(_JOINED)[2]

    def add(self, oid: str, names: Names) -> None:
        """Index one document as the library does on store; a second time changes nothing."""
        self._include(OUID, "", oid)
        before = after = b""
        for section, key in names.under():
            keys = self._sections[section]
            if section == VERSION and key not in keys and self._versions is not None:
                self._versions.setdefault(key.partition("/")[0], []).append(key)
            held = keys.setdefault(key, b"")
            if held is before and after is not before:
                keys[key] = after
            else:
                self._include(section, key, oid)
            before, after = held, keys[key]
        for configuration, stamp in zip(names.configurations, names.assigned, strict=True):
            self._assigned[configuration] = _merge_stamps(self._assigned.get(configuration, ""), _escaped(stamp))

    def merge(self, other: Index) -> bool:
        """Add all that ``other`` has; return whether this one then has more than ``other``."""
        self._all = [object_ids.union(mine, theirs) for mine, theirs in zip(self._all, other._all, strict=True)]
        for section, theirs in other._sections.items():
            mine = self._sections[section]
            for key, ids in theirs.items():
                mine[key] = object_ids.union(mine[key], ids) if key in mine else ids
        for where, strange in other._strange.items():
            self._strange[where] = self._strange.get(where, frozenset()) | strange
        for configuration, stamps in other._assigned.items():
            self._assigned[configuration] = _merge_stamps(self._assigned.get(configuration, ""), stamps)
        self._versions = None
        return self._size() != other._size()

    def chunks(self) -> Iterator[bytes]:
        """Yield the text of index.json, byte for byte as the library writes it, in pieces."""
        piece: list[str] = []
        size = 0
        for part in self._parts() if any(self._size()) else (EMPTY,):
            piece.append(part)
            size += len(part)
            if size >= _PIECE:
                yield "".join(piece).encode(errors="surrogateescape")
                piece, size = [], 0
        yield "".join(piece).encode(errors="surrogateescape")

    @classmethod
    def parse(cls, data: bytes, path: str) -> Index:
        """Read an index.json, in any layout and order.

        Raise ArtdaqDBError in the library's words if it is damaged: it then hides every document of the collection.
        """
        try:
            found = cls._as_written(data)
            return found or cls._from_json(json.loads(data.decode(errors="surrogateescape"), strict=False))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtdaqDBError(
                f"SearchIndex is corrupt and needs to be rebuilt, path={path}: {type(error).__name__} {error}",
                remedy=rebuild_remedy(Path(path)),
                context={"path": path},
            ) from error

    def _size(self) -> tuple[int, int, int, int]:
        """Return the numbers of ids, entries, names, and characters of time stamps; any addition raises one of them."""
        keys = [ids for section in self._sections.values() for ids in section.values()]
        strange = sum(map(len, self._strange.values()))
        return len(self), sum(map(len, keys)) + strange, len(keys), sum(map(len, self._assigned.values()))

    def _parts(self) -> Iterator[str]:
        """Yield the text in small parts."""
        strange = (OUID, "") in self._strange
        every = (_quoted(sorted(self)),) if strange else map(object_ids.inside, filter(None, self._all))
        yield f'{{\n"{OUID}" : [\n'
        for number, some in enumerate(every):
            yield f",\n{some}" if number else some
        yield "\n],\n"
        for section in SECTIONS:
            yield from _members(section, ((key, self._inside(section, key)) for key in self._sections[section]))
            yield ",\n"
        yield from _members(ASSIGNED, ((key, stamps and f'"{stamps}"') for key, stamps in self._assigned.items()))
        yield "\n}"

    def _inside(self, section: str, key: str) -> str:
        """Return the text inside a key's array."""
        if (section, key) in self._strange:
            return _quoted(self.of(section, key))
        return object_ids.inside(self._sections[section][key])

    def _include(self, section: str, key: str, oid: str) -> None:
        """Add ``oid`` under a key, or to the set of all."""
        if not object_ids.FORM.fullmatch(oid):
            self._strange[section, key] = self._strange.get((section, key), frozenset()) | {oid}
            return
        ids = bytes.fromhex(oid)
        if section == OUID:
            self._all[ids[0]] = object_ids.including(self._all[ids[0]], ids)
        else:
            self._sections[section][key] = object_ids.including(self._sections[section][key], ids)

    @classmethod
    def _as_written(cls, data: bytes) -> Index | None:
        """Read the layout that the library and we write, at a fifth of the cost of a general JSON reader.

        Return None unless writing the result gives ``data`` again.
        """
        starts = [data.find(f'\n"{name}" : {{\n'.encode()) for name in (*SECTIONS, ASSIGNED)]
        if min(starts) < 0 or starts != sorted(starts):
            return None
        index = cls()
        equal: dict[bytes, bytes] = {}
        try:
            index._all = object_ids.by_first_byte(object_ids.outside(data[data.find(b"[") + 1 : data.find(b"]")]))
            for section, start, end in zip(SECTIONS, starts, starts[1:], strict=False):
                members = ((match[1], object_ids.outside(match[2])) for match in _MEMBER.finditer(data, start, end))
                index._sections[section] = {key.decode(): equal.setdefault(ids, ids) for key, ids in members}
            stamped = _MEMBER.finditer(data, starts[-1])
            index._assigned = {match[1].decode(): match[2][1:-1].decode() for match in stamped}
        except ValueError:
            return None
        position = 0
        for chunk in index.chunks():
            if data[position : position + len(chunk)] != chunk:
                return None
            position += len(chunk)
        return index if position == len(data) else None

    @classmethod
    def _from_json(cls, content: dict[str, Any]) -> Index:
        """Return an index from its JSON content. Raise ValueError, KeyError or TypeError if it is not an index."""
        index = cls()
        equal: dict[bytes, bytes] = {}
        ids, strange = _split_ids(content[OUID])
        index._all = object_ids.by_first_byte(ids)
        if strange:
            index._strange[OUID, ""] = strange
        for section in SECTIONS:
            for key, listed in content[section].items():
                ids, strange = _split_ids(listed)
                index._sections[section][key] = equal.setdefault(ids, ids)
                if strange:
                    index._strange[section, key] = strange
        for configuration, stamps in content[ASSIGNED].items():
            index._assigned[configuration] = _JOINED.join(sorted({_escaped(stamp) for stamp in stamps}))
        return index


def missing_index_error(path: Path) -> ArtdaqDBError:
    """Return the error for documents without their index.json at ``path``: a new one would hide them for good.

    Transient: another program may just be creating the collection.
    """
    return ArtdaqDBError(
        f"{path} is not there, though documents are: without it every one of them is invisible",
        retry=Retry.TRANSIENT,
        remedy=rebuild_remedy(path),
        context={"path": str(path)},
    )


def rebuild_remedy(path: Path) -> str:
    """Return the remedy for an index.json that is lost or damaged; removing it would hide all its documents."""
    return (
        f"`archiverd drain` if a daemon runs, then `archiverd artdaqdb rebuild-index {path.parent.name}`: it is made "
        "anew from the documents beside it"
    )


def _split_ids(listed: Iterable[object]) -> tuple[bytes, frozenset[str]]:
    """Return ids packed, and those of another form. Raise ValueError for what cannot be a file's name."""
    known: set[str] = set()
    strange: set[str] = set()
    for oid in listed:
        if not isinstance(oid, str) or not oid or "/" in oid or "\0" in oid:
            raise ValueError(f"{oid!r} is not an object id")
        (known if object_ids.FORM.fullmatch(oid) else strange).add(oid)
    return object_ids.pack(known), frozenset(strange)


def _escaped(stamp: str) -> str:
    """Return a time stamp as JSON text without its quotes. Raise TypeError if it is not text."""
    return text(stamp)[1:-1]


def _merge_stamps(mine: str, theirs: str) -> str:
    """Return two joined lists of time stamps as one."""
    if not mine or mine == theirs:
        return theirs
    if not theirs:
        return mine
    stamps = mine.split(_JOINED)
    for stamp in theirs.split(_JOINED):
        place = bisect.bisect_left(stamps, stamp)
        if stamps[place : place + 1] != [stamp]:
            stamps.insert(place, stamp)
    return _JOINED.join(stamps)


def _quoted(listed: Iterable[str]) -> str:
    """Return the text inside an array of ids of any form."""
    return ",\n".join(map(text, listed))


def _members(name: str, members: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a section that maps names to arrays, in the library's layout."""
    yield f'"{name}" : {{\n'
    for number, (key, inside) in enumerate(members):
        yield f"{',' + chr(10) if number else ''}{text(key)} : [\n{inside}\n]"
    yield "\n}"
