"""FHiCL that artdaqDB cannot take is respelled with the same values, or left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import RecordFile, RunRecord
from archiverd.runrecord.respelling import respell


def kept(fcl: bytes) -> bytes | str:
    """Return what would be archived of a process's file, or why it is rejected."""
    prepared = prepare(RunRecord(1, (RecordFile("tpc01.fcl", fcl),)), BY_DEFAULT)
    return str(prepared.rejected[0].error) if prepared.rejected else prepared.files[-1].fcl


@pytest.mark.parametrize(
    ("written", "archived"),
    [
        (rb'a: "C:\\"', rb"a: 'C:\'"),
        (rb'a: "x\\" b: "y\\"', rb"a: 'x\' b: 'y\'"),
        (rb"""a: "it's \\" """, rb"""a: "it's \\ (percent-encoded)" """),
        ("a: 'café' # très\n".encode(), b'a: "caf%C3%A9 (percent-encoded)" # tr%C3%A8s (percent-encoded)\n'),
        (b"t: {x: 1}\nu: {@table::t y: 2}", b"t: {x: 1}\nu: { x: 1  y: 2}"),
        (b"t: {a: {x: 1}}\n@table::t.a\n", b"t: {a: {x: 1}}\n x: 1 \n"),
        (b"a: (1, 2) b: [( 1 , -2e3 )]", b"a: (1,2) b: [(1,-2e3)]"),
    ],
)
def test_what_artdaqdb_cannot_take_is_spelled_anew(written: bytes, archived: bytes) -> None:
    """The archived text has the same values and survives artdaqDB."""
    assert kept(written) == archived
    prepared = prepare(RunRecord(1, (RecordFile("tpc01.fcl", written),)), BY_DEFAULT)
    assert prepared.notes == ("tpc01.fcl is spelled anew, saying the same: artdaqDB cannot take it as it is written",)


@pytest.mark.parametrize(
    "written",
    [
        b"u: {@table::nowhere}",
        b"t: {x: 1}\nt.x: 2\nu: {@table::t}",
        b"t: {x: 1}\nu: {@table::t[0]}",
        "µ: 1\n".encode(),
        rb'a: "\d"',
        b"a: 1\na: {b: 2}\n",
        b"a: { b: 1\n",
    ],
)
def test_what_has_no_sure_spelling_is_rejected(written: bytes) -> None:
    """Where another spelling might have other values, the file is left out and named."""
    reason = kept(written)
    assert isinstance(reason, str)
    assert reason.startswith("tpc01.fcl")


@pytest.mark.parametrize("plain", [b"a: 1 # x\n", b'a: \'\\\'\nb: "x\\"y"\n', b'#include "x.fcl"\na: @local::b\n'])
def test_what_artdaqdb_takes_is_left_alone(plain: bytes) -> None:
    """A file that artdaqDB takes unchanged is archived unchanged."""
    assert kept(plain) == plain


@given(st.binary(max_size=200) | st.text("ab:{}[]()\"'\\# \n@,12é", max_size=80).map(lambda t: t.encode("latin-1")))
def test_any_bytes_are_kept_rejected_or_spelled_anew_as_fhicl(written: bytes) -> None:
    """Whatever a file contains, it is archived as FHiCL that survives artdaqDB, or named."""
    archived = kept(written)
    if isinstance(archived, bytes):
        exported = fhicl.from_json(fhicl.to_json(archived, "x", "T"), "x") or b"\n"
        assert fhicl.convert(exported, "x").data == fhicl.convert(archived, "x").data


@given(st.text("ab:{}[]()\"'\\#/ \n@,.12", max_size=80))
def test_spelling_anew_needs_no_fhicl(text: str) -> None:
    """No text raises."""
    respell(text.encode())
