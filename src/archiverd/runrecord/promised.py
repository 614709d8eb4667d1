"""Files that a run record promises: those that its own texts name (run_records.md sections 1.1, 1.2 and 2)."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

RANKS: Final = "ranks.txt"
BOOT: Final = "boot.txt"
ENVIRONMENT: Final = "environment.txt"
ALWAYS: Final = (ENVIRONMENT, "known_boardreaders_list.txt", RANKS, "settings.txt")
"""Files of every record since v3_07_00."""

_COMPONENT: Final = re.compile(rb"^[ \t]*Component #\d+[ \t]*:([^\r\n]*)", re.MULTILINE)
_VERSION: Final = re.compile(rb"^[ \t]*DAQInterface commit/version:[ \t]*v(\d{1,9})_(\d{1,9})_(\d{1,9})", re.MULTILINE)
_LOG_LINE: Final = re.compile(rb"^[ \t]*DAQInterface logfile:", re.MULTILINE)
_BOOT_LABEL: Final = re.compile(rb"^[ \t]*[A-Za-z]+ label[ \t]*:([^\r\n]*)", re.MULTILINE)
_LABEL: Final = re.compile(rb"[^\s\"'/\0]+")
_SINCE: Final = (3, 7, 0)


def find_missing(
    present: Collection[str], metadata: bytes | None, read: Callable[[str], bytes | None]
) -> tuple[str, ...]:
    """Return the names of the files that the record promises and that are not ``present``, sorted.

    ``present`` has the names of files with content; ``read`` returns a file's bytes, or None if it cannot be read.
    Only a layout in which a process's file is called ``<label>.fcl`` (v3_02_01 and later) promises those: one in which
    at least one label has its file.
    """
    names = frozenset(present)
    promised = {f"{label}.fcl" for label in _labels(metadata or b"", read)}
    if not promised & names:
        promised = set()
    if ENVIRONMENT in names or _is_recent(metadata or b""):
        promised.update(ALWAYS)
    return tuple(sorted(promised - names))


def _labels(metadata: bytes, read: Callable[[str], bytes | None]) -> list[str]:
    """Return the labels of the processes, by the best source there is."""
    ranks = read(RANKS)
    if ranks is not None:
        return _labels_of(ranks)
    components = [match[1] for match in _COMPONENT.finditer(metadata)]
    if components:
        return _distinct(components)
    boot = read(BOOT)
    return [] if boot is None else _distinct(match[1] for match in _BOOT_LABEL.finditer(boot))


@lru_cache(maxsize=64)
def _labels_of(ranks: bytes) -> list[str]:
    """Return the labels in a ranks.txt: the same one stands in many records, and at every look."""
    return _distinct(_rows_of(ranks))


def _rows_of(ranks: bytes) -> Iterable[bytes]:
    """Yield the labels of ranks.txt: ``host port label [subsystem] rank``; a negative number makes no process."""
    for line in ranks.splitlines():
        fields = line.split()
        if len(fields) in (4, 5) and fields[1].isdigit() and fields[-1].isdigit():
            yield fields[2]


def _distinct(labels: Iterable[bytes]) -> list[str]:
    """Return the labels that name a file and stand there once."""
    counted = Counter(label.strip() for label in labels)
    usable = (label for label, times in counted.items() if times == 1 and _LABEL.fullmatch(label))
    return [label.decode("utf-8", "surrogateescape") for label in usable]


def _is_recent(metadata: bytes) -> bool:
    """Return whether metadata.txt names a DAQInterface that writes the files of ``ALWAYS``, and has its layout.

    Its line ``DAQInterface logfile:`` came together with environment.txt.
    """
    named = _VERSION.search(metadata)
    return named is not None and tuple(map(int, named.groups())) >= _SINCE and _LOG_LINE.search(metadata) is not None
