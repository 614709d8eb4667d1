"""The result of a comparison: every run in exactly one named state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiverd.audit.anomalies import Anomaly
from archiverd.control.fields import each, fields_of, flag, integer, named, run_number, text
from archiverd.core.machine import FINISHED, State
from archiverd.core.wording import printable
from archiverd.watch.directory_scan import OddName, OddNames

if TYPE_CHECKING:
    from collections.abc import Mapping

FINE = frozenset({State.OPEN, *FINISHED})
"""The states of runs when everything is in order."""

NO_DISORDER = ("incomplete", "no_end", "superseded")
"""Flags of verified runs that are listed and no disorder."""


def _odd_name(value: object) -> OddName:
    """Return what JSON has of one odd name. Raise MessageError if that is something else."""
    with fields_of(value, "an odd name") as fields:
        return OddName(fields.take("name", text), fields.take("rule", text))


@dataclass(frozen=True, slots=True)
class Partition:
    """Every run there is, in exactly one named state, and how artdaqDB and UconDB compare."""

    states: Mapping[str, tuple[int, ...]]
    only_artdaqdb: tuple[int, ...]
    only_ucondb: tuple[int, ...]
    differing: tuple[int, ...]
    """Runs of which artdaqDB and UconDB hold different contents; superseded ones do by intention. Only when deep."""
    compared: int
    """How many blobs were read back and compared."""
    anomalies: tuple[Anomaly, ...]
    """Single runs of which there is more to say, ascending."""
    odd: OddNames = field(default_factory=OddNames)
    """Names in the run-records directory that look like runs and are none."""
    flags: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Verified runs by the flags that are no disorder (``NO_DISORDER``)."""
    missing: tuple[int, ...] = ()
    """Runs whose directories are missing, perhaps because they are not mounted; each has its state all the same."""

    @property
    def in_order(self) -> bool:
        """Whether every run is verified, open, ignored or waived; flags and missing directories are no disorder."""
        return all(state in FINE for state in self.states)

    def to_json(self) -> dict[str, object]:
        """Return the partition as JSON has it (`reconcile --json`)."""
        return {
            "version": 1,
            "in_order": self.in_order,
            "states": {name: list(runs) for name, runs in self.states.items()},
            "only_artdaqdb": list(self.only_artdaqdb),
            "only_ucondb": list(self.only_ucondb),
            "differing": list(self.differing),
            "compared": self.compared,
            "amiss": [one.to_json() for one in self.anomalies],
            "names": [{"name": printable(one.name), "rule": one.rule} for one in self.odd.names],
            "names_count": self.odd.count,
            "flags": {name: list(runs) for name, runs in self.flags.items()},
            "missing": list(self.missing),
        }

    @staticmethod
    def from_json(value: object) -> Partition:
        """Return the partition that ``to_json`` made ``value`` of. Raise MessageError if it made none."""
        with fields_of(value, "a partition") as fields:
            fields.take("version", integer)
            fields.take("in_order", flag)
            return Partition(
                fields.take("states", named(each(run_number))),
                fields.take("only_artdaqdb", each(run_number)),
                fields.take("only_ucondb", each(run_number)),
                fields.take("differing", each(run_number)),
                fields.take("compared", integer),
                fields.take("amiss", each(Anomaly.from_json)),
                OddNames(fields.take("names_count", integer), fields.take("names", each(_odd_name))),
                fields.take("flags", named(each(run_number))),
                fields.take("missing", each(run_number)),
            )
