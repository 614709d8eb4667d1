"""What the real library made of our inputs (see tests/data/fhicl/README.md); bytes are kept as Latin-1 text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "fhicl"


@dataclass(frozen=True, slots=True)
class Import:
    """One text given to the library: either its document and its export, or an error."""

    text: bytes
    document: bytes
    timestamp: str
    exported: bytes
    accepted: bool
    line: int | None
    column: int | None


@dataclass(frozen=True, slots=True)
class Export:
    """One hand-made document given to the library; ``exported`` is None where it could not export it."""

    document: bytes
    exported: bytes | None


def _import(case: dict[str, object]) -> Import:
    line, column = case.get("error", (None, None))
    return Import(
        text=case["input"].encode("latin-1"),
        document=case.get("document", "").encode("latin-1"),
        timestamp=case.get("timestamp", ""),
        exported=case.get("exported", "").encode("latin-1"),
        accepted="error" not in case,
        line=line,
        column=column,
    )


def _export(case: dict[str, str | None]) -> Export:
    exported = case["exported"]
    return Export(case["document"].encode("latin-1"), None if exported is None else exported.encode("latin-1"))


IMPORTS = {name: _import(case) for name, case in json.loads((DATA / "imports.json").read_text()).items()}
EXPORTS = {name: _export(case) for name, case in json.loads((DATA / "exports.json").read_text()).items()}
ACCEPTED = {name: case for name, case in IMPORTS.items() if case.accepted}
REFUSED = {name: case for name, case in IMPORTS.items() if not case.accepted}
EXPORTED = {name: case for name, case in EXPORTS.items() if case.exported is not None}
UNEXPORTED = {name: case for name, case in EXPORTS.items() if case.exported is None}
