"""Whatever a record holds, the work it makes is in proportion to its size: no file holds up the others."""

from __future__ import annotations

import contextlib
import gc
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from archiverd import fhicl
from archiverd.core.errors import ArchiverError
from archiverd.runrecord import metadata
from archiverd.runrecord.blob import pack, unpack
from archiverd.runrecord.completeness import time_lines
from archiverd.runrecord.converters.environment import partition_of
from archiverd.runrecord.converters.registry import TEXT_CONVERTERS
from archiverd.runrecord.promised import find_missing
from archiverd.runrecord.respelling import SplicesTooLongError, respell
from archiverd.runrecord.validation import KEYS, validate

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE: Final = 1 << 16
"""Bytes of the smaller text; the greater one has four times as many."""
TIMES: Final = 5
"""Most measurements of each; the least counts."""
LINEAR: Final = 6.0
"""Greatest ratio of the times for a text and for one four times as long."""
MEASURABLE: Final = 0.004
"""Seconds below which a time is too short to be compared."""
LARGEST: Final = 1 << 18
"""Bytes of the smaller text beyond which even that is not looked for."""

PATTERNS: Final[dict[str, tuple[bytes, bytes, bytes]]] = {
    "a string that is never closed": (b'a: "', b'\\"', b""),
    "quotes": (b"", b'"', b""),
    "single quotes": (b"a: ", b"'\\", b""),
    "open tables": (b"", b"a:{", b""),
    "closed tables": (b"", b"t: { a: 1 } ", b""),
    "open lists": (b"x: ", b"[", b""),
    "a list that is never closed": (b"x: [\n", b"a, b\n", b""),
    "numbers": (b"x: [ 1", b",1", b" ]\n"),
    "one long line": (b"", b"x", b""),
    "blanks": (b"a", b" ", b"b"),
    "empty lines": (b"", b"\n", b""),
    "both line ends": (b"", b"\r\n\r", b""),
    "comments": (b"", b"#", b"\n"),
    "a long comment on a line of values": (b"x: [ 1", b",1", b" ] # note\n"),
    "colons": (b"", b"a:", b""),
    "dots": (b"", b"a.", b": 1"),
    "dotted keys": (b"", b"a.b: 1\n", b""),
    "one key again and again": (b"", b"key: 1\n", b""),
    "splices of one table": (b"t: { a: 1 }\n", b"@table::t\n", b""),
    "bytes that are no ASCII": (b"a: '", b"\xe9\xb5", b"'\n"),
    "parentheses": (b"", b"(1", b",2)"),
    "near misses of components": (b"", b"Component #1a: x\nComponent #: y\n", b""),
    "components": (b"", b"Component #1: component01\n", b""),
    "a version on many lines": (b'sbndaq commit/version: v1\n"a', b'\n"b', b"\n"),
    "log files": (b"boardreader logfiles:\n", b"/daq/log/x\n", b""),
    "starts without ends": (b"", b"DAQInterface start time: \n", b""),
    "a long row of ranks": (b"host port label rank\n", b"a 1 ", b"b 2\n"),
    "rows of ranks": (b"host port label rank\n\n", b"h 1 l 0\n", b""),
    "an environment without names": (b"export A=1\n", b"export =\n", b""),
    "separators of a blob": (b"", b"\n#####\na.fcl:\n#####\n", b""),
    "near misses of separators": (b"", b"\n#####\na.fcl", b""),
}


def text(pattern: str, size: int) -> bytes:
    """Return ``size`` bytes of a pattern, give or take one of its repetitions."""
    begin, again, end = PATTERNS[pattern]
    return begin + again * (size // len(again)) + end


def pack_and_unpack(data: bytes) -> None:
    """Put a file into a blob and take it out."""
    unpack(b"".join(pack(7, "Oct 26 14:30 UTC", [("a.fcl", data), ("metadata.fcl", data)])))


READERS: Final[dict[str, Callable[[bytes], object]]] = {
    **{name: to_fhicl for to_fhicl, name in {one.to_fhicl: name for name, one in TEXT_CONVERTERS.items()}.items()},
    "metadata.parse": metadata.parse,
    "time lines": time_lines,
    "promised": lambda data: find_missing(["environment.txt"], data, lambda _: data),
    "partition": partition_of,
    "respell": respell,
    "check": lambda data: fhicl.check(data, "x.fcl"),
    "convert": lambda data: fhicl.convert(data, "x.fcl"),
    "export": lambda data: fhicl.as_exported(data, "x.fcl"),
    "blob": pack_and_unpack,
    "validate": lambda data: validate(b"".join(pack(7, "Oct 26 14:30 UTC", [("metadata.fcl", data)])), KEYS),
}
"""Everything that reads the bytes of a record."""


def spent(work: Callable[[bytes], object], data: bytes) -> float:
    """Return the seconds of this process's CPU that the work takes; a refusal is work as well."""
    gc.disable()  # what it takes depends on all that the tests before have left
    try:
        begun = time.process_time()
        with contextlib.suppress(ArchiverError, SplicesTooLongError):
            work(data)
        return time.process_time() - begun
    finally:
        gc.enable()


def ratio(work: Callable[[bytes], object], of_size: Callable[[int], bytes]) -> float:
    """Return how many times as long the work takes for a text four times as long.

    Of texts so long that there is something to measure; the least of up to ``TIMES`` measurements counts, of as many
    as it takes to be sure. Beyond ``LINEAR`` longer texts decide: what no longer fits a cache takes a step, once.
    """
    size = SIZE
    while spent(work, of_size(4 * size)) < MEASURABLE and size < LARGEST:
        size *= 2
    found = LINEAR
    for step in range(3):
        found = ratio_at(work, of_size, 4**step * size)
        if found <= LINEAR:
            break
    return found


def ratio_at(work: Callable[[bytes], object], of_size: Callable[[int], bytes], size: int) -> float:
    """Return the ratio for texts of ``size`` and of four times that; of no interest if it is below ``LINEAR``."""
    small, great = of_size(size), of_size(4 * size)
    least = greatest = float("inf")
    for _ in range(TIMES):
        least, greatest = min(least, spent(work, small)), min(greatest, spent(work, great))
        if greatest <= LINEAR * least:
            break
    return greatest / max(least, 1e-9)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_four_times_the_bytes_take_four_times_the_time(pattern: str) -> None:
    """Each reader of a record's bytes, on a text that is made to hold it up: a square would take 16 times as long."""
    ratios = {name: ratio(work, partial(text, pattern)) for name, work in READERS.items()}
    assert {name: times for name, times in ratios.items() if times > LINEAR} == {}


def test_a_square_is_noticed() -> None:
    """A reader that looks at the rest of the text for each of its quotes is over the limit."""

    def reads_on(data: bytes) -> None:
        for at in range(0, len(data), 256):
            data[at:].count(b"x")

    assert ratio_at(reads_on, partial(text, "one long line"), SIZE) > LINEAR


def test_splices_of_splices_are_refused_where_they_grow_too_long() -> None:
    """25 lines that double one another 25 times: the error names the line, and nothing of that size is made."""
    lines = ["t0: { a: 1 }", *(f"t{n}: {{ @table::t{n - 1} @table::t{n - 1} }}" for n in range(1, 26))]
    with pytest.raises(SplicesTooLongError, match="@table::t15 makes the text too long") as caught:
        respell("\n".join(lines).encode())
    assert (caught.value.line, caught.value.column) == (17, 8)
