"""The request of `status` and the fields of the report, as they cross the control socket (docs/commands.md).

Apart from the other requests because plain `status` must be quick: it imports no more than this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from archiverd.control.fields import anything, each, fields_of, flag, integer, named, number, optional, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Report the status of daemon, runs and databases."""

    COMMAND: ClassVar[str] = "report"

    probing: bool = False
    """Ask run records, artdaqDB and UconDB what they hold now."""
    comparing: bool = False
    """Compare the state files with the journal."""

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"probing": self.probing, "comparing": self.comparing}

    @staticmethod
    def from_json(value: object) -> StatusRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, "the request") as fields:
            return StatusRequest(fields.take("probing", flag), fields.take("comparing", flag))


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
    "scrub": named(anything),
    "differences": optional(named(each(integer))),
    "state_files": optional(each(named(anything))),
    "recommendations": each(text),
    "destinations": each(named(anything)),
    "site": optional(named(text)),
}
"""What reads each field of the report."""


def parse_report(value: object) -> dict[str, Any]:
    """Return the report, its fields checked. Raise MessageError if one is missing, unknown or of another type."""
    with fields_of(value, "the report") as fields:
        return {name: fields.take(name, parse) for name, parse in FIELDS.items()}
