"""An observer of the calls that go through a port: how long each took and how it ended, for `status` and metrics."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from archiverd.core.errors import ArchiverError, FhiclError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

UNOBSERVED = frozenset({"open", "close"})
"""Methods that are no calls of the backend."""


@dataclass(frozen=True, slots=True)
class ObservedCall:
    """One call of a backend: its method, the run or key it was for, how long it took, what went wrong (if anything)."""

    method: str
    subject: object
    seconds: float
    error: BaseException | None


@dataclass(slots=True)
class LastContact:
    """When a backend was last called, and how that ended. ``at`` is in epoch seconds (UTC), None before the first."""

    at: float | None = None
    error: str = ""
    remedy: str = ""

    def note(self, call: ObservedCall, now: float) -> None:
        """Note a call. One that was cancelled, or failed for a text that is not FHiCL, says nothing of the backend."""
        if call.error is None:
            self.at, self.error, self.remedy = now, "", ""
        elif isinstance(call.error, ArchiverError) and not isinstance(call.error, FhiclError):
            self.at, self.error, self.remedy = now, f"{call.error.name}: {call.error}", call.error.remedy

    def to_json(self) -> dict[str, object] | None:
        """Return it as JSON has it; None before the first call."""
        if self.at is None:
            return None
        return {"ok": not self.error, "at": self.at, "error": self.error, "remedy": self.remedy}


def observed(port: T, on_call: Callable[[ObservedCall], None]) -> T:
    """Return ``port`` with ``on_call`` called after each of its coroutines has ended; other methods are left as is."""
    return cast("T", _ObservedPort(port, on_call))


class _ObservedPort:
    """Forwards every call to a port."""

    def __init__(self, port: object, on_call: Callable[[ObservedCall], None]) -> None:
        self._port = port
        self._on_call = on_call

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name in UNOBSERVED or not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: object, **named: object) -> object:
            begun = time.monotonic()
            subject = next(iter(arguments), None)
            try:
                result: object = await method(*arguments, **named)
            except BaseException as error:
                self._on_call(ObservedCall(name, subject, time.monotonic() - begun, error))
                raise
            self._on_call(ObservedCall(name, subject, time.monotonic() - begun, None))
            return result

        return call
