"""The requests of operators, as a command makes them and as they cross the control socket.

``from_json`` is strict: it raises MessageError for a field that is missing, unknown or of another type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from archiverd.control.fields import choice, each, fields_of, flag, run_number, text
from archiverd.core.machine import Stage

_REQUEST = "the request"
"""How errors name the JSON object."""


class Request(Protocol):
    """A request that the daemon answers."""

    COMMAND: ClassVar[str]
    """Its name on the control socket."""

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""


@dataclass(frozen=True, slots=True)
class OnceRequest:
    """Archive every run that has ended."""

    COMMAND: ClassVar[str] = "pass"
    """Not ``once``: an older daemon takes that for a pass through both stages, and ignores what it does not know."""

    importing: bool = True
    migrating: bool = True
    incremental: bool = False
    """Trust the journal instead of asking directories and databases what became of verified runs."""
    validating: bool = False
    """Validate blobs; the daemon always does."""

    @property
    def stages(self) -> frozenset[Stage]:
        """The stages the runs are to go through."""
        wanted = {Stage.IMPORT: self.importing, Stage.MIGRATE: self.migrating}
        return frozenset(stage for stage in Stage if wanted[stage])

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {
            "importing": self.importing,
            "migrating": self.migrating,
            "incremental": self.incremental,
            "validating": self.validating,
        }

    @staticmethod
    def from_json(value: object) -> OnceRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return OnceRequest(
                fields.take("importing", flag),
                fields.take("migrating", flag),
                fields.take("incremental", flag),
                fields.take("validating", flag),
            )


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """Take up runs that failed: ``runs``, or if there are none those of the failure log of ``stage``."""

    COMMAND: ClassVar[str] = "retry"

    stage: Stage
    runs: frozenset[int] = frozenset()

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"stage": str(self.stage), "runs": sorted(self.runs)}

    @staticmethod
    def from_json(value: object) -> RetryRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return RetryRequest(fields.take("stage", choice(Stage)), frozenset(fields.take("runs", each(run_number))))


@dataclass(frozen=True, slots=True)
class RearchiveRequest:
    """Archive verified runs again whose directories have changed; with ``override`` UconDB's version is replaced too.

    With ``accept`` nothing is archived: what was archived stands.
    """

    COMMAND: ClassVar[str] = "rearchive"

    runs: frozenset[int]
    override: bool = False
    accept: bool = False

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"runs": sorted(self.runs), "override": self.override, "accept": self.accept}

    @staticmethod
    def from_json(value: object) -> RearchiveRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return RearchiveRequest(
                frozenset(fields.take("runs", each(run_number))),
                fields.take("override", flag),
                fields.take("accept", flag),
            )


@dataclass(frozen=True, slots=True)
class RecoverRequest:
    """Make journal, state file and failure log of ``stage`` anew from what its database holds."""

    COMMAND: ClassVar[str] = "recover"

    stage: Stage

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"stage": str(self.stage)}

    @staticmethod
    def from_json(value: object) -> RecoverRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return RecoverRequest(fields.take("stage", choice(Stage)))


@dataclass(frozen=True, slots=True)
class ReconcileRequest:
    """Compare run records, artdaqDB and UconDB; ``deep`` reads every blob back."""

    COMMAND: ClassVar[str] = "reconcile"

    deep: bool

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"deep": self.deep}

    @staticmethod
    def from_json(value: object) -> ReconcileRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return ReconcileRequest(fields.take("deep", flag))


@dataclass(frozen=True, slots=True)
class WaiveRequest:
    """Leave ``run`` out for good."""

    COMMAND: ClassVar[str] = "waive"

    run: int
    reason: str

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"run": self.run, "reason": self.reason}

    @staticmethod
    def from_json(value: object) -> WaiveRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return WaiveRequest(fields.take("run", run_number), fields.take("reason", text))


@dataclass(frozen=True, slots=True)
class WaiveMissingRequest:
    """Take the run directories that are missing all at once as gone."""

    COMMAND: ClassVar[str] = "waive_missing"

    reason: str

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"reason": self.reason}

    @staticmethod
    def from_json(value: object) -> WaiveMissingRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return WaiveMissingRequest(fields.take("reason", text))


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """Put ``run`` back to where it failed; with ``override`` UconDB's version may be replaced.

    Files of the names ``without`` are left out.
    """

    COMMAND: ClassVar[str] = "release"

    run: int
    override: bool
    without: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {"run": self.run, "override": self.override, "without": list(self.without)}

    @staticmethod
    def from_json(value: object) -> ReleaseRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST) as fields:
            return ReleaseRequest(
                fields.take("run", run_number), fields.take("override", flag), fields.take("without", each(text))
            )


@dataclass(frozen=True, slots=True)
class DestinationRequest:
    """Let runs that were archived elsewhere go to the databases that are configured now."""

    COMMAND: ClassVar[str] = "release_destination"

    def to_json(self) -> dict[str, object]:
        """Return its arguments."""
        return {}

    @staticmethod
    def from_json(value: object) -> DestinationRequest:
        """Return the request that ``to_json`` made ``value`` of. Raise MessageError."""
        with fields_of(value, _REQUEST):
            return DestinationRequest()
