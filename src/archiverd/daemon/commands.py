"""What the running daemon does when a command asks it to, through the control socket."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.app import operations
from archiverd.app.operations import PassScope
from archiverd.config.paths import journal_path
from archiverd.core import runset
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import ON_THEIR_WAY, Stage, State
from archiverd.journal.reader import reading
from archiverd.pipeline import operator_actions
from archiverd.process import memory
from archiverd.process.shutdown import ShutdownReason
from archiverd.status import probe, report

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from archiverd.app.wiring import Parts
    from archiverd.control.server import Handler, Progress
    from archiverd.process.shutdown import Shutdown
    from archiverd.status.probe import ProbeResult
    from archiverd.watch.watcher import Watcher

LOOK_SECONDS = 0.3
"""How often it is looked how far the runs are that a command waits for."""

_log = log.get()


@dataclass(frozen=True, slots=True)
class Commands:
    """The daemon's answers; ``begun`` is when it started, in epoch seconds."""

    parts: Parts
    watcher: Watcher
    shutdown: Shutdown
    begun: float

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Return what there is to ask for, by name."""
        return {
            "status": self.status,
            "standing": self.standing,
            "drain": self.drain,
            "pause": self.pause,
            "resume": self.resume,
            "waive": self.waive,
            "release": self.release,
            "retry": self.retry,
            "once": self.once,
            "recover": self.recover,
            "reconcile": self.reconcile,
        }

    async def status(self, _: Mapping[str, object], __: Progress) -> object:
        """Tell what only the process knows: its number, age, memory, and what it has in hand."""
        return await self._about_itself()

    async def _about_itself(self) -> dict[str, object]:
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
            "filesystem": await asyncio.to_thread(self._scanned),
        }

    def _scanned(self) -> object:
        """Tell what the last scan found, as ranges, and when that was."""
        if self.watcher.scanned is None:
            return None
        found, at = self.watcher.scanned
        return {"ranges": runset.ranges(found.runs), "at": at}

    async def standing(self, asked: Mapping[str, object], _: Progress) -> object:
        """Tell how we stand (``status --json``); ``looking`` asks run records, artdaqDB and UconDB what they hold now.

        ``comparing`` holds the state files against what is so. Neither loop nor journal waits for it.
        """
        parts, looks = self.parts, None
        if asked.get("looking") is True:
            known = [run for run, state in (await parts.journal.known()).items() if state is State.VERIFIED]
            ucondb = None if parts.migration is None else parts.migration.ucondb
            looks = await probe.probe_sources(parts.settings, parts.artdaqdb, ucondb, known)
        daemon = await self._about_itself()
        return await asyncio.to_thread(self._gather, daemon, looks, asked.get("comparing") is True)

    def _gather(self, daemon: Mapping[str, object], looks: Sequence[ProbeResult] | None, comparing: bool) -> object:
        with reading(journal_path(self.parts.settings)) as db:
            return report.build_report(self.parts.settings, db, daemon, looks, comparing=comparing).to_json()

    async def drain(self, _: Mapping[str, object], __: Progress) -> object:
        """Finish what is in flight and in the queues, then leave with 0."""
        _log.info("asked to drain: finishing what is in flight and in the queues, then leaving")
        self.shutdown.ask(ShutdownReason.DRAIN_ASKED)
        return {"in_hand": sum(len(runner.in_hand) for runner in self.parts.runners)}

    async def pause(self, _: Mapping[str, object], __: Progress) -> object:
        """Take up no run until told to go on; runs are still seen."""
        return self._set_paused(paused=True)

    async def resume(self, _: Mapping[str, object], __: Progress) -> object:
        """Go on."""
        return self._set_paused(paused=False)

    def _set_paused(self, *, paused: bool) -> object:
        for runner in self.parts.runners:
            runner.paused = paused
            runner.wake.set()
        _log.warning("paused by an operator" if paused else "resumed by an operator")
        return {"paused": paused}

    async def waive(self, asked: Mapping[str, object], _: Progress) -> object:
        """Take a run out of the reckoning."""
        row = await operator_actions.waive(self.parts.journal, _run(asked.get("run")), str(asked.get("reason", "")))
        return {"run": row.run, "state": str(row.state)}

    async def release(self, asked: Mapping[str, object], _: Progress) -> object:
        """Put a run back to where it failed."""
        run = _run(asked.get("run"))
        row = await operator_actions.release(self.parts.journal, run, override=asked.get("override") is True)
        self._wake()
        return {"run": row.run, "state": str(row.state)}

    async def retry(self, asked: Mapping[str, object], progress: Progress) -> object:
        """Take up the runs of a failure log again, or those named, and tell how they end."""
        stage = _stage(asked)
        named = asked.get("runs")
        runs = frozenset(map(_run, named)) if isinstance(named, list) else frozenset()
        return await self._finish(await operations.take_up(self.parts, stage, runs), progress)

    async def once(self, asked: Mapping[str, object], progress: Progress) -> object:
        """Look at everything now, waiting retries included, and tell how it ends; the databases unless incremental."""
        await self.parts.journal.hasten()
        progress(_told(0, 0, "looking at the run records"))
        await self.watcher.look_now()
        if asked.get("incremental") is True:
            return await self._finish(PassScope(), progress)
        progress(_told(0, 0, "asking artdaqDB and UconDB what they hold"))
        return await self._finish(await operations.ask_around(self.parts), progress)

    async def recover(self, asked: Mapping[str, object], progress: Progress) -> object:
        """Ask a database what it holds, and prove again what is not verified of it."""
        progress(_told(0, 0, "asking the databases what they hold"))
        return await self._finish(await operations.take_in_held(self.parts, _stage(asked)), progress)

    async def reconcile(self, asked: Mapping[str, object], progress: Progress) -> object:
        """Compare run records, artdaqDB and UconDB."""
        found = await operations.compare(
            self.parts, deep=asked.get("deep") is True, on_progress=lambda *told: progress(_told(*told))
        )
        return found.to_json()

    async def _finish(self, task: PassScope, progress: Progress) -> object:
        """Wait until the runs of ``task`` are no longer on their way; tell how they ended.

        As in a pass of its own, a retry that is near is waited for. Raise ArchiverError if the daemon is paused, for
        nobody knows how long, or stops.
        """
        begun, distance = time.time(), operations.Distance()
        self._wake()
        while left := await self._left(task.runs):
            progress(_told(*distance.of(left)))
            if self.shutdown.asked:
                raise ArchiverError(
                    f"The daemon stops: runs wait that it does not take up any more ({sum(left.values())})",
                    remedy="nothing is lost: its next start takes them up; `archiverd status` tells when it runs",
                )
            runners = self.parts.runners
            if any(one.paused for one in runners) and not any(one.in_hand for one in runners):
                raise ArchiverError(
                    f"The daemon is paused: it does not take up the runs that wait ({sum(left.values())})",
                    remedy="`archiverd resume` lets it go on",
                )
            await asyncio.sleep(LOOK_SECONDS)
        return (await operations.sum_up(self.parts, begun, task)).to_json()

    async def _left(self, only: Collection[int] | None) -> dict[State, int]:
        """Return how many runs (of ``only``, if given) are still waited for, by state."""
        left = await operations.on_their_way(self.parts, only)
        gate = None if self.parts.migration is None else self.parts.migration.gate
        if gate is not None and gate.shut:  # those wait for UconDB, nobody knows how long
            return {state: runs for state, runs in left.items() if ON_THEIR_WAY.get(state) is Stage.IMPORT}
        return left

    def _wake(self) -> None:
        for runner in self.parts.runners:
            runner.wake.set()


def _told(done: int, of: int, what: str) -> dict[str, object]:
    """Return how far a command is, as the control socket carries it."""
    return {"done": done, "of": of, "what": what}


def _run(given: object) -> int:
    """Return an argument that is a run number. Raise ArchiverError if it is none."""
    if not isinstance(given, int) or not 1 <= given <= runset.LAST_RUN:
        raise ArchiverError("The daemon does not understand the request: run must be a run number")
    return given


def _stage(asked: Mapping[str, object]) -> Stage:
    """Return the argument ``stage``. Raise ArchiverError if it is none."""
    try:
        return Stage(str(asked.get("stage")))
    except ValueError:
        raise ArchiverError("The daemon does not understand the request: stage must be import or migrate") from None
