"""The engine agrees with a slow, plain reading of the specification on what nobody recorded."""

from __future__ import annotations

from hypothesis import given

from archiverd import fhicl
from archiverd.core.errors import FhiclError

from . import reference
from .texts import ANY_BYTES, REPEATABLE, broken_texts, texts


def engine(text: bytes) -> bytes | tuple[int, int]:
    """Return the engine's document, or where it refuses the text."""
    try:
        return fhicl.to_json(text, "name", "time")
    except FhiclError as error:
        return error.line, error.column


def agree(text: bytes) -> None:
    """Compare documents, or positions of refusal where the library has one."""
    try:
        expected: object = reference.to_json(text, "name", "time")
    except reference.RefusedError as refused:
        expected = refused.position
    result = engine(text)
    assert result == expected or (expected is None and isinstance(result, tuple))


@REPEATABLE
@given(texts())
def test_fhicl(text: bytes) -> None:
    """Texts made by the grammar give the same document."""
    agree(text)


@REPEATABLE
@given(broken_texts())
def test_broken_fhicl(text: bytes) -> None:
    """Recorded texts with something broken are refused at the same place, or give the same document."""
    agree(text)


@REPEATABLE
@given(ANY_BYTES)
def test_any_bytes(text: bytes) -> None:
    """Bytes without sense are refused at the same place, or give the same document."""
    agree(text)
