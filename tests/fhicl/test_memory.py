"""A text takes no more memory than is promised, or is refused by name (archiverd.fhicl, "Limits")."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from archiverd import fhicl
from archiverd.core.errors import FhiclError
from tests.waiting import DEADLINE_SECONDS

VALUES: Final = 300_000
PROMISED: Final = (1 << 30) / 1_500_000
"""Bytes for each value."""
PEAK: Final = """
import sys
from archiverd import fhicl
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
text = sys.stdin.buffer.read()
before = peak()
meant = fhicl.convert(text, "x.fcl").data
exported = fhicl.as_exported(text, "x.fcl")
assert fhicl.convert(exported, "x.fcl").data == meant
print(peak() - before)
"""
"""What a process's file goes through before it is archived (runrecord/preparation.py)."""

TEXTS: Final = {
    "numbers": b"x: [ 1" + b",1" * VALUES + b" ]\n",
    "keys": b"k: 1\n" * VALUES,
    "tables": b"t: { a: 1 b: [1, 2] }\n" * (VALUES // 5),
    "empty tables": b"x: [ {}" + b",{}" * VALUES + b" ]\n",
}


@pytest.mark.parametrize("shape", TEXTS)
def test_each_value_takes_its_share_at_most(shape: str) -> None:
    """Whatever a text of many short values looks like."""
    command = [sys.executable, "-c", PEAK]
    ran = subprocess.run(command, input=TEXTS[shape], capture_output=True, timeout=DEADLINE_SECONDS, check=True)
    assert int(ran.stdout) <= VALUES * PROMISED


def test_too_many_values_are_refused_where_they_begin_to_be() -> None:
    """Three million numbers in six megabytes, which would take 1.7 GB; the error names the line."""
    text = b"a: 1\nx: [ 1" + b",1" * 1_000_000 + b"\n" + b",1" * 2_000_000 + b" ]\n"
    with pytest.raises(FhiclError, match="the text has more than 1500000 values") as caught:
        fhicl.check(text, "x.fcl")
    assert (caught.value.file, caught.value.line) == ("x.fcl", 3)


def test_a_long_text_may_have_as_many_values_as_it_has_room_for() -> None:
    """One for each 16 bytes: forty times its size are enough for them."""
    text = b"x: [ " + b"1234567890.123456,\n" * 1_600_000 + b"1 ]\n"
    fhicl.check(text, "x.fcl")
