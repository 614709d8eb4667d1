"""FHiCL to artdaqDB's JSON documents and back (artdaqdb_format.md sections A.4, A.7 and C).

The typed interface of the C++ engine. Every function takes bytes, runs without the GIL, takes time in proportion to
what it reads and writes, and for any bytes raises only ``FhiclError``, with the given ``name`` as the file. Positions
are those of the real library (section C.8): in the text after includes were turned into entries and CR LF, CR into LF;
line 0, column 1 is the end of the text, or the text as a whole.

Limits: 64 MiB of FHiCL and 1.5 million values, of more than 24 MB one value for each 16 bytes, so that no text takes
more than 1 GiB or forty times its size of memory; 256 MiB of JSON or exported text; 1000 levels of tables and
sequences.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from archiverd import _fhicl
from archiverd.core.errors import FhiclError

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT_LIMIT = _fhicl.TEXT_LIMIT
"""Most bytes of a FHiCL text."""
DOCUMENT_LIMIT = _fhicl.DOCUMENT_LIMIT
"""Most bytes of a document or exported text."""
DEPTH_LIMIT = _fhicl.DEPTH_LIMIT
"""Most levels of nested tables and sequences."""
VALUES_DEPTH_LIMIT = _fhicl.VALUES_DEPTH_LIMIT
"""Most levels for ``parse_values``: Python compares and prints such values by recursion."""

Atom: TypeAlias = tuple[str, str]
"""Type (``number``, ``string_doublequoted``, …; section C.3) and source text (section C.4, FHiCL escapes kept)."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The parts of a stored document that come from its FHiCL (A.4), as JSON texts in the form of A.7."""

    data: bytes
    """The value of ``document.data``: the objects ``prolog`` and ``main``."""
    metadata: bytes
    """The value of ``document.metadata``: a descriptor for every key."""
    comments: bytes
    """The value of ``comments``: a list of line numbers and texts."""


@dataclass(frozen=True, slots=True)
class Document:
    """The parts of a stored document that readers use (A.4). Names are decoded; missing ones are empty."""

    fcl: bytes
    """The document in the format it came from: FHiCL, unless ``origin_format`` names another (see there)."""
    version: str
    configurations: tuple[str, ...]
    entities: tuple[str, ...]
    """Older documents have a single ``configurable_entity`` instead."""
    runs: tuple[str, ...]
    collection: str
    oid: str
    origin_format: str
    """``fhicl``, or empty without origin. With ``json`` the export is JSON, with others the whole document."""


@contextmanager
def _errors_in(name: str) -> Iterator[None]:
    """Turn the engine's errors into ``FhiclError`` for the file ``name``."""
    try:
        yield
    except _fhicl.ParseError as error:
        line, column, message = error.args
        raise FhiclError(message, file=name, line=line, column=column) from None


def check(text: bytes, name: str) -> None:
    """Raise ``FhiclError`` unless artdaqDB would take ``text``."""
    with _errors_in(name):
        _fhicl.check(text)


def convert(text: bytes, name: str) -> Converted:
    """Convert FHiCL to the parts of a stored document. Raises ``FhiclError``."""
    with _errors_in(name):
        return Converted(*_fhicl.convert(text))


def to_json(text: bytes, name: str, timestamp: str) -> bytes:
    """Return exactly what the library's ``fhicl_to_json(text, name)`` returns at the time ``timestamp`` (C.1).

    ``timestamp`` is such as ``2026-11-23T16:40:16.255-0600``; it and ``name`` are inserted as they are, so that a quote
    in ``name`` gives JSON that only lenient readers take, as the library does. Raises ``FhiclError``.
    """
    with _errors_in(name):
        return _fhicl.to_json(text, name.encode("utf-8", "surrogateescape"), timestamp.encode())


def from_json(text: bytes, name: str) -> bytes:
    """Return the FHiCL that artdaqDB exports for the document ``text`` (C.7).

    Raises ``FhiclError`` with the position of what is no JSON, or without one where the document lacks what an export
    needs.
    """
    with _errors_in(name):
        return _fhicl.from_json(text)


def as_exported(text: bytes, name: str) -> bytes:
    """Return FHiCL text as artdaqDB exports it once it is stored: its values written anew. Raises ``FhiclError``."""
    return from_json(to_json(text, name, ""), name)


def read_document(text: bytes, name: str) -> Document:
    """Read a stored document: its names, and its text as artdaqDB exports it. Raises like ``from_json``."""
    with _errors_in(name):
        fcl, version, configurations, entities, runs, collection, oid, origin_format = _fhicl.read_document(text)
    return Document(
        fcl=fcl,
        version=_decoded(version),
        configurations=tuple(map(_decoded, configurations)),
        entities=tuple(map(_decoded, entities)),
        runs=tuple(map(_decoded, runs)),
        collection=_decoded(collection),
        oid=_decoded(oid),
        origin_format=_decoded(origin_format),
    )


def parse_values(text: bytes, name: str) -> dict[str, list[tuple[str, object]]]:
    """Parse FHiCL into plain Python values: ``{"prolog": [(key, value), …], "main": [(key, value), …]}``.

    A value is an ``Atom``, a list of values (a sequence), or a tuple of ``(key, value)`` pairs (a table). At the top a
    key may occur several times (C.3). Raises ``FhiclError``, also beyond ``VALUES_DEPTH_LIMIT``.
    """
    with _errors_in(name):
        prolog, main = _fhicl.parse_values(text)
    return {"prolog": prolog, "main": main}


def _decoded(text: bytes) -> str:
    """Names are UTF-8; other bytes stay visible and distinct."""
    return text.decode("utf-8", "backslashreplace")
