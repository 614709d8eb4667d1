"""A run record made ready for artdaqDB: every file as FHiCL, or named with the reason why not."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archiverd import fhicl
from archiverd.core.errors import FclPreperationError, FhiclError
from archiverd.runrecord import metadata
from archiverd.runrecord.converters import boardreaders, boot, environment, ranks, settings, setup
from archiverd.runrecord.record import LeftOut
from archiverd.runrecord.respelling import respell
from archiverd.runrecord.spelling import byte_text, encoded_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from archiverd.runrecord.record import RecordFile, RunRecord

_CONVERTERS: Final[dict[str, Callable[[bytes], str]]] = {
    "boot": boot.to_fhicl,
    "config": boot.to_fhicl,
    "environment": environment.to_fhicl,
    "known_boardreaders_list": boardreaders.to_fhicl,
    "metadata": metadata.to_fhicl,
    "ranks": ranks.to_fhicl,
    "rc_info_start": settings.rc_info_to_fhicl,
    "rc_info_stop": settings.rc_info_to_fhicl,
    "settings": settings.to_fhicl,
    "setup": setup.to_fhicl,
}
RUN_HISTORY: Final = "RunHistory"
RUN_HISTORY_UPDATE: Final = "RunHistory2"
KNOWN: Final = frozenset(_CONVERTERS) | {RUN_HISTORY, RUN_HISTORY_UPDATE}
"""Every name ``fhiclize_generate`` may hold."""

_OURS: Final = frozenset({"schema", "hashes", "flags", RUN_HISTORY, RUN_HISTORY_UPDATE})
"""Names artdaqDB or the importer gives; a process called so gets another (artdaqdb_format.md E.2 and E.3)."""
_PLAIN_STEM: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,+=@~ -]*")


@dataclass(frozen=True, slots=True)
class FclFile:
    """One file for artdaqDB."""

    name: str
    """Under which it is archived, ``boot.fcl``."""
    fcl: bytes
    source: str
    """The record's file it was made of, ``boot.txt``; empty for a RunHistory.fcl made without metadata.txt."""
    note: str = ""
    """What was done to it beyond the ordinary; empty if nothing."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is not FHiCL and cannot be made so, with the error that names file, line and column."""

    name: str
    error: FclPreperationError


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run record ready for artdaqDB; what it held is in ``files``, ``update``, ``left_out`` or ``rejected``."""

    run: int
    configuration: str
    """Name of the artdaqDB configuration, without the run."""
    files: tuple[FclFile, ...]
    """Sorted by name; names are distinct."""
    update: tuple[FclFile, ...]
    """RunHistory2.fcl when the run has stopped."""
    left_out: tuple[LeftOut, ...]
    rejected: tuple[Rejected, ...]
    started: str | None
    """The last start time as written."""
    stopped: str | None
    partition: int | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to files beyond the ordinary, a sentence each."""
        return tuple(f"{file.source} {file.note}" for file in self.files if file.note)


class Cache:
    """Conversions and checks by content, so that a configuration seen before costs little. Thread-safe, bounded."""

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        """Hold at most ``max_bytes`` of converted text (an accepted .fcl counts as little)."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, kind: str, data: bytes, make: Callable[[], bytes]) -> bytes:
        """Return what ``make`` made of ``data`` the last time, or makes now. Raises whatever it raises."""
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
    """Return what an entry costs of the cache's bytes; the digest and the table around it count too."""
    return len(made) + 256


def unknown_converters(listed: Iterable[str]) -> tuple[str, ...]:
    """Return the names of ``fhiclize_generate`` that nothing stands for, as they were written."""
    return tuple(name for name in listed if _bare(name) not in KNOWN)


def prepare(record: RunRecord, listed: Sequence[str], cache: Cache | None = None) -> PreparedRun:
    """Turn a run record into FHiCL. CPU work only: call it in a worker thread.

    ``listed`` is ``fhiclize_generate``: which text files are converted and which are generated. Never raises for what
    a file holds: see ``PreparedRun.rejected``.
    """
    return _Preparation(record, frozenset(_bare(name) for name in listed), cache or Cache(0)).done()


def configuration_name(record: RunRecord) -> str:
    """Return the name of a record's artdaqDB configuration (``metadata.configuration_name``)."""
    return metadata.configuration_name(_metadata_of(record))


def _bare(name: str) -> str:
    """Return a name of ``fhiclize_generate`` without the ending the older tool allowed."""
    return name.removesuffix(".txt").removesuffix(".fcl")


def _metadata_of(record: RunRecord) -> metadata.Metadata | None:
    """Return what metadata.txt of a record says, or None if there is none."""
    data = record.data("metadata.txt")
    return None if data is None else metadata.parse(data)


class _Preparation:
    """The work of ``prepare`` on one record."""

    def __init__(self, record: RunRecord, listed: frozenset[str], cache: Cache) -> None:
        self._record = record
        self._listed = listed
        self._cache = cache
        self._metadata = _metadata_of(record)
        self._files: dict[str, FclFile] = {}
        self._left_out = list(record.left_out)
        self._rejected: list[Rejected] = []

    def done(self) -> PreparedRun:
        """Do the work: text files first, which keep their names, then the processes'."""
        texts = [file for file in self._record.files if not file.name.endswith(".fcl")]
        processes = [file for file in self._record.files if file.name.endswith(".fcl")]
        for file in texts:
            self._add_text(file)
        if RUN_HISTORY in self._listed:
            self._generate(RUN_HISTORY, metadata.run_history(self._record.run, self._metadata), self._files)
        update: dict[str, FclFile] = {}
        known = self._metadata
        if RUN_HISTORY_UPDATE in self._listed and known is not None and known.last("stop") is not None:
            self._generate(RUN_HISTORY_UPDATE, metadata.run_history_update(known), update)
        for file in processes:
            self._add_process(file)
        environment_text = self._record.data("environment.txt")
        return PreparedRun(
            run=self._record.run,
            configuration=metadata.configuration_name(known),
            files=tuple(self._files[name] for name in sorted(self._files)),
            update=tuple(update.values()),
            left_out=tuple(self._left_out),
            rejected=tuple(self._rejected),
            started=known.last("start") if known is not None else None,
            stopped=known.last("stop") if known is not None else None,
            partition=environment.partition_of(environment_text) if environment_text is not None else None,
        )

    def _add_text(self, file: RecordFile) -> None:
        """Convert a text file that is listed; leave out and name any other."""
        stem = file.name.removesuffix(".txt")
        convert = _CONVERTERS.get(stem) if file.name.endswith(".txt") else None
        if convert is None:
            self._left_out.append(LeftOut(file.name, "neither FHiCL nor a text file with a converter"))
        elif stem not in self._listed:
            self._left_out.append(LeftOut(file.name, f"{stem} is not listed in fhiclize_generate"))
        else:
            self._keep(f"{stem}.fcl", file, stem, convert)

    def _keep(self, name: str, file: RecordFile, kind: str, convert: Callable[[bytes], str]) -> None:
        """Convert ``file`` and keep it under ``name``, or reject it."""
        try:
            fcl = self._cache.get(kind, file.data, lambda: _converted(file, convert))
        except FclPreperationError as error:
            self._rejected.append(Rejected(file.name, error))
        else:
            self._files[name] = FclFile(name, fcl, file.name)

    def _generate(self, stem: str, text: str, into: dict[str, FclFile]) -> None:
        """Keep a text made from metadata.txt, checked."""
        name = f"{stem}.fcl"
        fcl = text.encode("latin-1")
        try:
            fhicl.check(fcl, name)
        except FhiclError as error:
            self._rejected.append(Rejected(name, error))
        else:
            into[name] = FclFile(name, fcl, "metadata.txt" if self._metadata is not None else "")

    def _add_process(self, file: RecordFile) -> None:
        """Keep a process's file as it is if artdaqDB gives it back so, else spelled anew; if neither, reject it.

        It is kept under a name that is free.
        """
        data = file.data or b"\n"
        notes = [] if file.data else ["is empty; artdaqDB takes no empty document, so one newline is stored"]
        try:
            anew = self._cache.get(".fcl", data, lambda: _spelled_anew(file.name, data))
        except FclPreperationError as error:
            self._rejected.append(Rejected(file.name, error))
            return
        if anew:
            notes.append("is spelled anew, saying the same: artdaqDB cannot take it as it is written")
        name = self._free_name(file.name)
        if name != file.name:
            notes.append(f"is archived as {name}")
        self._files[name] = FclFile(name, anew or data, file.name, "; ".join(notes))

    def _free_name(self, name: str) -> str:
        """Return the name a process's file is archived under.

        A stem that is no plain ASCII name is percent-encoded as keys are; one that is taken, by a converted text
        file or by ``_OURS``, gets ``_process`` and, should that be taken too, a number.
        """
        stem = name.removesuffix(".fcl")
        if not _PLAIN_STEM.fullmatch(stem):
            stem = encoded_key(byte_text(stem))
        others = {file.name for file in self._record.files}
        candidate, number = stem, 0
        while candidate in _OURS or f"{candidate}.fcl" in self._files or (number and f"{candidate}.fcl" in others):
            number += 1
            candidate = f"{stem}_process{number if number > 1 else ''}"
        return f"{candidate}.fcl"


def _converted(file: RecordFile, convert: Callable[[bytes], str]) -> bytes:
    """Return ``file`` as checked FHiCL. Raise FclPreperationError naming it if what came out is none."""
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


def _spelled_anew(name: str, data: bytes) -> bytes:
    """Return nothing if artdaqDB gives ``data`` back as it is, else another spelling of it.

    Raise FclPreperationError, naming the place where there is one, if there is none.
    """
    try:
        fhicl.check(data, name)
        why: FclPreperationError = FclPreperationError(
            f"{name} would not come back from artdaqDB as it is",
            remedy="run it through fhicl-dump: a key is given twice as different things, or a value is torn",
            context={"file": name},
        )
        if _comes_back(name, data):
            return b""
    except FhiclError as error:
        why = error
    anew = respell(data)
    if anew is not None and anew != data and _comes_back(name, anew):
        return anew
    raise why


def _comes_back(name: str, data: bytes) -> bool:
    """Tell whether artdaqDB, which stores values and writes them anew, gives back what ``data`` says (C.4, C.7)."""
    try:
        meant = fhicl.convert(data, name).data
        exported = fhicl.from_json(fhicl.to_json(data, name, ""), name)
        return fhicl.convert(exported or b"\n", name).data == meant
    except FhiclError:
        return False
