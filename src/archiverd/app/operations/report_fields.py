"""The fields of the report that the daemon sends for `status`: their names and JSON types (docs/commands.md).

Light to import: `status` must be quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archiverd.control.fields import anything, each, fields_of, integer, named, number, optional, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIELDS: Mapping[str, Callable[[object], Any]] = {
    "version": integer,
    "at": number,
    "daemon": optional(named(anything)),
    "warnings": each(text),
    "counts": named(integer),
    "runs": named(each(each(integer))),
    "sources": each(named(anything)),
    "causes": each(named(anything)),
    "trouble": each(named(anything)),
    "holds": each(named(anything)),
    "stages": each(named(anything)),
    "drain": named(anything),
    "last_verified": optional(number),
    "differences": optional(named(each(integer))),
    "state_files": optional(each(named(anything))),
    "recommendations": each(text),
}
"""What reads each field of the report."""


def parse_report(value: object) -> dict[str, Any]:
    """Return the report, its fields checked. Raise MessageError if one is missing, unknown or of another type."""
    with fields_of(value, "the report") as fields:
        return {name: fields.take(name, parse) for name, parse in FIELDS.items()}
