"""A run record made ready for artdaqDB: every file as FHiCL, or named with the reason why not."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from archiverd import fhicl
from archiverd.core.errors import FclPreperationError, FhiclError
from archiverd.runrecord import metadata
from archiverd.runrecord.converters.environment import partition_of
from archiverd.runrecord.converters.registry import GENERATED, NAMES, TEXT_CONVERTERS
from archiverd.runrecord.promised import find_missing
from archiverd.runrecord.record import LeftOut
from archiverd.runrecord.respelling import SplicesTooLongError, respell
from archiverd.runrecord.spelling import byte_text, encoded_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

    from archiverd.runrecord.converter import GeneratedFile
    from archiverd.runrecord.record import RecordFile, RunRecord

_RESERVED: Final = frozenset({"schema", "hashes", "flags", *(made.name for made in GENERATED)})
"""Names that artdaqDB or the importer uses; a process of that name gets another (artdaqdb_format.md E.2, E.3)."""
BY_AN_OPERATOR: Final = "left out by an operator"
_PLAIN_STEM: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,+=@~ -]*")


@dataclass(frozen=True, slots=True)
class FclFile:
    """One file for artdaqDB."""

    name: str
    """The name it is archived under, ``boot.fcl``."""
    fcl: bytes
    source: str
    """The file of the record it was made from, ``boot.txt``; empty for a RunHistory.fcl without metadata.txt."""
    note: str = ""
    """What was done to it that is out of the ordinary; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file's content as it was read: its size in bytes, and its SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is not FHiCL and cannot be converted, with the error that names file, line and column."""

    name: str
    error: FclPreperationError


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run record ready for artdaqDB; each of its files is in ``files``, ``left_out`` or ``rejected``."""

    run: int
    configuration: str
    """Name of the artdaqDB configuration, without the run."""
    files: tuple[FclFile, ...]
    """Sorted by name, which is distinct."""
    update: tuple[FclFile, ...]
    """RunHistory2.fcl once the run has stopped; archived as an update."""
    left_out: tuple[LeftOut, ...]
    unreadable: tuple[LeftOut, ...]
    """Files that would be archived and cannot be read now."""
    missing: tuple[str, ...]
    """Names of files that the record promises and that never came, or came empty; sorted."""
    contents: Mapping[str, Content]
    """What was read of each file, by name."""
    rejected: tuple[Rejected, ...]
    started: str | None
    """The last start time as written."""
    stopped: str | None
    partition: int | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to files that is out of the ordinary, a sentence each."""
        return tuple(f"{file.source} {file.note}" for file in self.files if file.note)


class ConversionCache:
    """Conversions and checks by content: most files repeat from run to run. Thread-safe, bounded."""

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        """``max_bytes`` limits the converted text; an accepted .fcl has none."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, kind: str, data: bytes, make: Callable[[], bytes]) -> bytes:
        """Return what ``make`` returned for ``data`` before, or returns now. Raises what ``make`` raises."""
        key = kind, hashlib.sha256(data).digest()
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        made = make()
        with self._lock:
            if key not in self._known:
                self._known[key] = made
                self._bytes += _cost(made)
            while self._bytes > self._max_bytes:
                self._bytes -= _cost(self._known.popitem(last=False)[1])
        return made


def _cost(made: bytes) -> int:
    """Return the size of an entry in bytes, with its digest and its share of the table."""
    return len(made) + 256


def unknown_converters(listed: Iterable[str]) -> tuple[str, ...]:
    """Return the names of ``fhiclize_generate`` that are not in the registry, as written."""
    return tuple(name for name in listed if _bare(name) not in NAMES)


def prepare(
    record: RunRecord,
    listed: Sequence[str],
    cache: ConversionCache | None = None,
    *,
    without: Collection[str] = (),
    promised: bool = True,
) -> PreparedRun:
    """Convert a run record into FHiCL. CPU work only: call it in a worker thread.

    ``listed`` is ``fhiclize_generate``: which text files are converted and which files are generated. Files of the
    names ``without`` are left out. Unless ``promised``, nothing is missing. Raises nothing for the content of a file:
    see ``PreparedRun.rejected``.
    """
    cache = cache or ConversionCache(0)
    names = frozenset(_bare(name) for name in listed)
    missing = _missing(record)
    contents = {file.name: Content(len(file.data), hashlib.sha256(file.data).hexdigest()) for file in record.files}
    record = _narrow(record, names, without)
    known = _metadata_of(record)
    texts = [file for file in record.files if not file.name.endswith(".fcl")]
    generated = [made for made in GENERATED if made.name in names]
    made = [
        *(_convert(file, names, cache) for file in texts),
        *(_generate(one, record.run, known) for one in generated if not one.is_update),
    ]
    update = [_generate(one, record.run, known) for one in generated if one.is_update]
    files = {file.name: file for file in made if isinstance(file, FclFile)}
    rejected = [one for one in (*made, *update) if isinstance(one, Rejected)]
    recorded = frozenset(file.name for file in record.files)
    for file in record.files:  # after the text files, which keep their names
        if file.name.endswith(".fcl"):
            process = _take_process(file, files, recorded, cache)
            if isinstance(process, Rejected):
                rejected.append(process)
            else:
                files[process.name] = process
    environment = record.data("environment.txt")
    return PreparedRun(
        run=record.run,
        configuration=metadata.configuration_name(known),
        files=tuple(files[name] for name in sorted(files)),
        update=tuple(file for file in update if isinstance(file, FclFile)),
        left_out=(*record.left_out, *(one for one in made if isinstance(one, LeftOut))),
        unreadable=record.unreadable,
        missing=missing if promised else (),
        contents=contents,
        rejected=tuple(rejected),
        started=known.last("start") if known is not None else None,
        stopped=known.last("stop") if known is not None else None,
        partition=partition_of(environment) if environment is not None else None,
    )


def configuration_name(record: RunRecord) -> str:
    """Return the name of a record's artdaqDB configuration (``metadata.configuration_name``)."""
    return metadata.configuration_name(_metadata_of(record))


def _narrow(record: RunRecord, names: Collection[str], without: Collection[str]) -> RunRecord:
    """Return a record without the files of the names ``without``, and with only the unreadable ones that are needed.

    The others are among the files left out.
    """
    refused = [LeftOut(file.name, BY_AN_OPERATOR) for file in record.files if file.name in without]
    refused += [
        LeftOut(one.name, f"{BY_AN_OPERATOR}; {one.reason}") for one in record.unreadable if one.name in without
    ]
    closed = [one for one in record.unreadable if one.name not in without]
    return replace(
        record,
        files=tuple(file for file in record.files if file.name not in without),
        left_out=(*record.left_out, *refused, *(one for one in closed if not is_archivable(one.name, names))),
        unreadable=tuple(one for one in closed if is_archivable(one.name, names)),
    )


def _missing(record: RunRecord) -> tuple[str, ...]:
    """Return the names of the files that a record promises and that never came, or came empty."""
    there = {file.name for file in record.files if file.data}
    there |= {one.name for one in (*record.left_out, *record.unreadable)}
    return find_missing(there, record.data("metadata.txt"), record.data)


def is_archivable(name: str, listed: Iterable[str]) -> bool:
    """Return whether a file of this name is archived if it can be read; ``listed`` is ``fhiclize_generate``."""
    stem = name.removesuffix(".txt")
    return name.endswith(".fcl") or (stem != name and stem in TEXT_CONVERTERS and stem in map(_bare, listed))


def _bare(name: str) -> str:
    """Return a name of ``fhiclize_generate`` without the ending that the older tool allowed."""
    return name.removesuffix(".txt").removesuffix(".fcl")


def _metadata_of(record: RunRecord) -> metadata.Metadata | None:
    """Return the content of metadata.txt, or None if the record has none."""
    data = record.data("metadata.txt")
    return None if data is None else metadata.parse(data)


def _convert(file: RecordFile, names: frozenset[str], cache: ConversionCache) -> FclFile | Rejected | LeftOut:
    """Convert a text file if it has a converter whose name is in ``names``; else leave it out."""
    stem = file.name.removesuffix(".txt")
    converter = TEXT_CONVERTERS.get(stem) if file.name.endswith(".txt") else None
    if converter is None:
        return LeftOut(file.name, "neither FHiCL nor a text file with a converter")
    if stem not in names:
        return LeftOut(file.name, f"{stem} is not listed in fhiclize_generate")
    try:
        fcl = cache.get(stem, file.data, lambda: _checked_fcl(file, converter.to_fhicl))
    except FclPreperationError as error:
        return Rejected(file.name, error)
    return FclFile(f"{stem}.fcl", fcl, file.name)


def _generate(made: GeneratedFile, run: int, known: metadata.Metadata | None) -> FclFile | Rejected | None:
    """Generate a file from metadata.txt; None if it cannot be made yet."""
    text = made.generate(run, known)
    if text is None:
        return None
    name, fcl = f"{made.name}.fcl", text.encode("latin-1")
    try:
        fhicl.check(fcl, name)
    except FhiclError as error:
        return Rejected(name, error)
    return FclFile(name, fcl, "metadata.txt" if known is not None else "")


def _take_process(
    file: RecordFile, taken: Container[str], recorded: Container[str], cache: ConversionCache
) -> FclFile | Rejected:
    """Take a process's file unchanged if artdaqDB preserves its values, else respelled; reject it if neither works."""
    data = file.data or b"\n"
    notes = [] if file.data else ["is empty; artdaqDB takes no empty document, so one newline is stored"]
    try:
        respelled = cache.get(".fcl", data, lambda: _respell_if_needed(file.name, data))
    except FclPreperationError as error:
        return Rejected(file.name, error)
    if respelled:
        notes.append("is spelled anew, saying the same: artdaqDB cannot take it as it is written")
    name = _free_name(file.name, taken, recorded)
    if name != file.name:
        notes.append(f"is archived as {name}")
    return FclFile(name, respelled or data, file.name, "; ".join(notes))


def _free_name(name: str, taken: Container[str], recorded: Container[str]) -> str:
    """Return the name a process's file is archived under.

    A stem that is no plain ASCII name is percent-encoded as keys are. One that is reserved, or taken by a converted
    text file, gets ``_process`` and, if the record has a file of that name too, a number.
    """
    stem = name.removesuffix(".fcl")
    if not _PLAIN_STEM.fullmatch(stem):
        stem = encoded_key(byte_text(stem))
    candidate, number = stem, 0
    while candidate in _RESERVED or f"{candidate}.fcl" in taken or (number and f"{candidate}.fcl" in recorded):
        number += 1
        candidate = f"{stem}_process{number if number > 1 else ''}"
    return f"{candidate}.fcl"


def _checked_fcl(file: RecordFile, convert: Callable[[bytes], str]) -> bytes:
    """Return ``file`` as checked FHiCL. Raise FclPreperationError naming it if the result is not FHiCL."""
    fcl = convert(file.data).encode("latin-1") or f"# {file.name} holds nothing\n".encode()
    try:
        fhicl.check(fcl, file.name.removesuffix(".txt") + ".fcl")
    except FhiclError as error:
        raise FclPreperationError(
            f"{file.name} cannot be turned into FHiCL: {error}",
            remedy="correct the file in the run directory, or report it: every text should have a FHiCL spelling",
            context={"file": file.name, "line": error.line, "column": error.column},
        ) from error
    return fcl


def _respell_if_needed(name: str, data: bytes) -> bytes:
    """Return no bytes if artdaqDB preserves the values of ``data``, else another spelling that it preserves.

    Raise FclPreperationError, with line and column where they are known, if there is none.
    """
    try:
        fhicl.check(data, name)
        why: FclPreperationError = FclPreperationError(
            f"{name} would not come back from artdaqDB as it is",
            remedy="run it through fhicl-dump: a key is given twice as different things, or a value is torn",
            context={"file": name},
        )
        if _survives_storage(name, data):
            return b""
    except FhiclError as error:
        why = error
    try:
        respelled = respell(data)
    except SplicesTooLongError as error:
        raise FhiclError(str(error), file=name, line=error.line, column=error.column) from None
    if respelled is not None and respelled != data and _survives_storage(name, respelled):
        return respelled
    raise why


def _survives_storage(name: str, data: bytes) -> bool:
    """Return whether artdaqDB, which stores values and not text, exports the values of ``data`` (C.4, C.7)."""
    try:
        meant = fhicl.convert(data, name).data
        exported = fhicl.as_exported(data, name)
        return fhicl.convert(exported or b"\n", name).data == meant
    except FhiclError:
        return False
