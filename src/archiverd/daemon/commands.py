"""What the running daemon does when a command asks it to, through the control socket."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from archiverd import log
from archiverd.app.operations import decisions
from archiverd.app.operations.destination import release_destination
from archiverd.app.operations.passes import prepare_once, prepare_recover, prepare_retry
from archiverd.app.operations.rearchive import prepare_rearchive
from archiverd.app.operations.reconcile import reconcile
from archiverd.app.operations.requests import (
    DestinationRequest,
    OnceRequest,
    RearchiveRequest,
    ReconcileRequest,
    RecoverRequest,
    ReleaseRequest,
    RetryRequest,
    WaiveMissingRequest,
    WaiveRequest,
)
from archiverd.app.operations.status import gather_status, select_verified
from archiverd.app.operations.status_exchange import StatusRequest
from archiverd.app.state_file_sync import sync
from archiverd.control.fields import MessageError, fields_of
from archiverd.control.server import bad_request
from archiverd.core import runset
from archiverd.process import memory
from archiverd.process.shutdown import ShutdownReason
from archiverd.status import probe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from archiverd.app.wiring import Parts
    from archiverd.audit.partition import Partition
    from archiverd.control.server import Handler
    from archiverd.control.server import Progress as Send
    from archiverd.daemon.passes import DaemonDriver
    from archiverd.process.progress import Progress
    from archiverd.process.shutdown import Shutdown
    from archiverd.status.report import StatusReport
    from archiverd.watch.watcher import Watcher

R = TypeVar("R")

_log = log.get()


class Result(Protocol):
    """What an operation returns."""

    def to_json(self) -> dict[str, object]:
        """Return it as the control socket carries it."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The daemon's commands; ``begun`` is when it started, in epoch seconds."""

    driver: DaemonDriver
    watcher: Watcher
    shutdown: Shutdown
    begun: float

    @property
    def parts(self) -> Parts:
        """The daemon's parts."""
        return self.driver.parts

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of each command, by its name on the control socket."""
        return {
            "status": _without_arguments(self.describe_process),
            "drain": _without_arguments(self.drain),
            "pause": _without_arguments(self.pause),
            "resume": _without_arguments(self.resume),
            StatusRequest.COMMAND: _typed(StatusRequest.from_json, self.status),
            WaiveRequest.COMMAND: _typed(WaiveRequest.from_json, self.waive),
            WaiveMissingRequest.COMMAND: _typed(WaiveMissingRequest.from_json, self.waive_missing),
            ReleaseRequest.COMMAND: _typed(ReleaseRequest.from_json, self.release),
            DestinationRequest.COMMAND: _typed(DestinationRequest.from_json, self.release_destination),
            RearchiveRequest.COMMAND: _typed(RearchiveRequest.from_json, self.rearchive),
            RetryRequest.COMMAND: _typed(RetryRequest.from_json, self.retry),
            OnceRequest.COMMAND: _typed(OnceRequest.from_json, self.once),
            RecoverRequest.COMMAND: _typed(RecoverRequest.from_json, self.recover),
            ReconcileRequest.COMMAND: _typed(ReconcileRequest.from_json, self.reconcile),
        }

    async def describe_process(self) -> dict[str, object]:
        """Return what only the process knows: its number, age, memory, and what it has in hand."""
        return {
            "pid": os.getpid(),
            "seconds": time.time() - self.begun,
            "rss_bytes": memory.resident_bytes(),
            "rss_limit_bytes": memory.allowed_bytes(),
            "draining": self.shutdown.asked,
            "paused": any(runner.paused for runner in self.parts.runners),
            "in_hand": {str(runner.stage): sorted(runner.in_hand) for runner in self.parts.runners},
            "uploads_allowed": 0 if self.parts.migration is None else self.parts.migration.gate.allowed,
            "contacts": {name: contact.to_json() for name, contact in self.parts.contacts.items()},
            "filesystem": await asyncio.to_thread(self._last_scan),
        }

    def _last_scan(self) -> object:
        """Return the runs that the last scan found, as ranges, and when that was."""
        if self.watcher.scanned is None:
            return None
        found, at = self.watcher.scanned
        return {"ranges": runset.ranges(found.runs), "at": at}

    async def status(self, request: StatusRequest, _: Progress) -> StatusReport:
        """Return the status report (`status --json`). Neither loop nor journal waits for it."""
        parts, probed = self.parts, None
        if request.probing:
            verified = await asyncio.to_thread(select_verified, parts.settings)
            ucondb = None if parts.migration is None else parts.migration.ucondb
            probed = await probe.probe_sources(parts.settings, parts.artdaqdb, ucondb, verified)
        daemon = await self.describe_process()
        return await asyncio.to_thread(gather_status, parts.settings, request, daemon, probed, known=True)

    async def drain(self) -> dict[str, object]:
        """Finish what is in flight and in the queues, then leave with 0."""
        _log.info("asked to drain: finishing what is in flight and in the queues, then leaving")
        self.shutdown.ask(ShutdownReason.DRAIN_ASKED)
        return {"in_hand": sum(len(runner.in_hand) for runner in self.parts.runners)}

    async def pause(self) -> dict[str, object]:
        """Take up no run until ``resume``; runs are still seen."""
        return self._set_paused(paused=True)

    async def resume(self) -> dict[str, object]:
        """Go on."""
        return self._set_paused(paused=False)

    def _set_paused(self, *, paused: bool) -> dict[str, object]:
        for runner in self.parts.runners:
            runner.paused = paused
            runner.wake.set()
        _log.warning("paused by an operator" if paused else "resumed by an operator")
        return {"paused": paused}

    async def waive(self, request: WaiveRequest, _: Progress) -> Result:
        """Leave a run out for good."""
        decision = await decisions.waive(self.parts.journal, request)
        await sync(self.parts.state_files)
        return decision

    async def waive_missing(self, request: WaiveMissingRequest, _: Progress) -> Result:
        """Take the run directories that are missing all at once as gone."""
        return await decisions.waive_missing(self.parts.journal, request)

    async def release(self, request: ReleaseRequest, _: Progress) -> Result:
        """Put a run back to where it failed."""
        decision = await decisions.release(self.parts.journal, request)
        self.driver.wake()
        await sync(self.parts.state_files)
        return decision

    async def release_destination(self, _: DestinationRequest, __: Progress) -> Result:
        """Let runs that were archived elsewhere go to the databases that are configured."""
        released = await release_destination(self.parts.journal, self.parts.settings)
        self.driver.wake()
        await sync(self.parts.state_files)
        return released

    async def retry(self, request: RetryRequest, on_progress: Progress) -> Result:
        """Take the requested runs up again; return how they ended."""
        return await self.driver.make_pass(lambda: prepare_retry(self.driver, request, on_progress), on_progress)

    async def rearchive(self, request: RearchiveRequest, on_progress: Progress) -> Result:
        """Archive verified runs again whose directories have changed."""
        return await self.driver.make_pass(lambda: prepare_rearchive(self.driver, request, on_progress), on_progress)

    async def once(self, request: OnceRequest, on_progress: Progress) -> Result:
        """Take every ended run through the requested stages; return how that ended."""
        return await self.driver.make_pass(lambda: prepare_once(self.driver, request, on_progress), on_progress)

    async def recover(self, request: RecoverRequest, on_progress: Progress) -> Result:
        """Note what a database holds, and prove again what is not verified of it."""
        return await self.driver.make_pass(lambda: prepare_recover(self.driver, request, on_progress), on_progress)

    async def reconcile(self, request: ReconcileRequest, on_progress: Progress) -> Partition:
        """Compare run records, artdaqDB and UconDB."""
        return await reconcile(self.parts, request, on_progress)


def _typed(parse: Callable[[object], R], operation: Callable[[R, Progress], Awaitable[Result]]) -> Handler:
    """Return the handler that parses its arguments and sends the operation's progress and result as JSON."""

    async def handle(arguments: Mapping[str, object], send: Send) -> object:
        request = _parsed(parse, arguments)

        def on_progress(done: int, of: int, what: str) -> None:
            send({"done": done, "of": of, "what": what})

        return (await operation(request, on_progress)).to_json()

    return handle


def _without_arguments(operation: Callable[[], Awaitable[dict[str, object]]]) -> Handler:
    """Return the handler of a command that has no arguments."""

    async def handle(arguments: Mapping[str, object], _: Send) -> object:
        _parsed(_nothing, arguments)
        return await operation()

    return handle


def _nothing(value: object) -> None:
    with fields_of(value, "the request"):
        pass


def _parsed(parse: Callable[[object], R], arguments: Mapping[str, object]) -> R:
    """Return the request. Raise ArchiverError if the arguments are none."""
    try:
        return parse(arguments)
    except MessageError as error:
        raise bad_request(str(error)) from None
