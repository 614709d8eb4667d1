"""The engine does what the real library was recorded to do."""

from __future__ import annotations

import pytest

from archiverd import fhicl
from archiverd.core.errors import FhiclError

from .recorded import ACCEPTED, EXPORTED, REFUSED, UNEXPORTED, Export, Import


@pytest.mark.parametrize("name", ACCEPTED)
def test_document_is_the_librarys(name: str) -> None:
    """A text that the library takes gives its document, byte for byte."""
    case = ACCEPTED[name]
    assert fhicl.to_json(case.text, f"{name}.fcl", case.timestamp) == case.document


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED)
def test_parts_stand_in_the_document(case: Import) -> None:
    """The three parts for stored documents are the same bytes as in the whole document."""
    parts = fhicl.convert(case.text, "case.fcl")
    for name in ("data", "metadata", "comments"):
        assert b'"%s" : %s' % (name.encode(), getattr(parts, name)) in case.document


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED)
def test_document_exports_as_the_librarys(case: Import) -> None:
    """A document made from a text exports to what the library exports, byte for byte."""
    assert fhicl.from_json(case.document, "case.json") == case.exported
    assert fhicl.read_document(case.document, "case.json").fcl == case.exported


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED)
def test_check_takes_what_the_library_takes(case: Import) -> None:
    """Checking a text says yes to what can be converted."""
    fhicl.check(case.text, "case.fcl")


@pytest.mark.parametrize("function", [fhicl.check, fhicl.convert, fhicl.parse_values])
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused_where_the_library_refuses(case: Import, function: object) -> None:
    """A text that the library refuses is refused at the position that the library names, if it names one."""
    with pytest.raises(FhiclError) as caught:
        function(case.text, "case.fcl")
    error = caught.value
    assert error.file == "case.fcl"
    assert str(error) == f"case.fcl:{error.line}:{error.column}: {error.message}"
    assert case.line in {None, error.line}
    assert case.column in {None, error.column}


@pytest.mark.parametrize("case", EXPORTED.values(), ids=EXPORTED)
def test_hand_made_document_exports_as_the_librarys(case: Export) -> None:
    """Documents that no import makes, such as old ones, export to what the library exports."""
    assert fhicl.from_json(case.document, "case.json") == case.exported


@pytest.mark.parametrize("case", UNEXPORTED.values(), ids=UNEXPORTED)
def test_refuses_to_export_where_the_library_does(case: Export) -> None:
    """Documents that the library cannot export are errors without a position."""
    with pytest.raises(FhiclError) as caught:
        fhicl.from_json(case.document, "case.json")
    assert (caught.value.line, caught.value.column) == (0, 1)
