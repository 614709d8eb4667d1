"""The runs that a process has in hand, for the process after it: none may end archiverd again and again.

A run whose record or blob kills the process (no memory left, a fault in a library, a ``kill -9`` of a daemon
that stands still) would be taken up first at every start, and the runs beside it never be archived. After such a death
the runs that were in hand are *suspects*: they go last, and alone. One that was alone in hand at ``DEATHS`` deaths is
set aside; one whose work came to an end, however, is no suspect any more.

The directory ``in_hand`` in the work directory has a file for each run in hand, ``process.json`` of the process itself,
and ``suspects.json``. Nothing in it is synced: what a machine loses that stops tells nothing about a run.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from archiverd import log
from archiverd.core import runset
from archiverd.core.errors import ArchiverError, Retry
from archiverd.core.machine import Stage
from archiverd.detached import run_detached
from archiverd.process.boot import boot_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

DEATHS: Final = 3
"""Deaths of the process with one run alone in hand after which that run is set aside."""
MOST_SUSPECTS: Final = 10_000
"""Most suspects that are kept: more than any process has in hand."""

_PROCESS: Final = "process.json"
_SUSPECTS: Final = "suspects.json"

_log = log.get()


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """A run in the hands of a stage."""

    stage: Stage
    run: int


def count_death(suspects: Mapping[Holding, int], held: Iterable[Holding]) -> dict[Holding, int]:
    """Return the suspects, each with its deaths alone in hand, after a death with ``held`` in hand."""
    last = set(held)
    alone = len(last) == 1
    return {**suspects, **{one: suspects.get(one, 0) + alone for one in last}}


def set_aside_error(holding: Holding) -> ArchiverError:
    """Return the failure of a run that was alone in hand at ``DEATHS`` deaths."""
    return ArchiverError(
        f"archiverd ended {DEATHS} times while it worked on this run alone",
        retry=Retry.PERMANENT,
        remedy="the system's log may tell why (out of memory, a fault of a library); after that was mended `archiverd "
        f"release {holding.run}` tries it again, `archiverd waive {holding.run} --reason …` does without it",
        run=holding.run,
    )


@dataclass(slots=True)
class Hands:
    """What this process has in hand, and which runs are suspects since the last one died."""

    directory: Path | None = None
    """Where the marks are; None for no marks."""
    boot: Callable[[], str] = boot_id
    suspects: dict[Holding, int] = field(default_factory=dict)
    """With the deaths of a process that had the run alone in hand."""
    held: set[Holding] = field(default_factory=set)
    wakes: list[asyncio.Event] = field(default_factory=list)
    """Set whenever a run is let go while there are suspects: one of them may be picked then."""
    _picking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def begin(self) -> None:
        """Learn from what the last process left, and begin anew. A directory that cannot be used teaches nothing."""
        await self._use(self._begin)
        if self.suspects:
            _log.warning(
                "archiverd ended without being asked to: the runs that it had in hand go last, one at a time",
                suspects=runset.show({one.run for one in self.suspects}),
            )

    async def asked(self) -> None:
        """Note that the process was asked to stop, or is done: from now on its end counts against no run."""
        await self._use(lambda directory: (directory / _PROCESS).unlink(missing_ok=True))

    def held_by(self, stage: Stage) -> frozenset[int]:
        """Return the runs that a stage has in hand."""
        return frozenset(one.run for one in self.held if one.stage is stage)

    def condemned(self) -> list[Holding]:
        """Return the suspects that are to be set aside."""
        return sorted(one for one, deaths in self.suspects.items() if deaths >= DEATHS)

    def suspected(self, stage: Stage) -> frozenset[int]:
        """Return the runs that are suspects in a stage."""
        return frozenset(one.run for one in self.suspects if one.stage is stage)

    async def pick(
        self, stage: Stage, ask: Callable[[frozenset[int], frozenset[int] | None], Awaitable[int | None]]
    ) -> int | None:
        """Return the next run for a stage, which is in hand from now on; a suspect if nothing else is to be done.

        ``ask`` returns the next waiting run that is not in its first set, and is in its second if that is given.
        """
        async with self._picking:
            if any(one in self.suspects for one in self.held):
                return None
            run = await ask(self.suspected(stage), None)
            if run is None and not self.held:
                run = await self._pick_suspect(stage, ask)
            if run is not None:
                self.held.add(Holding(stage, run))
            return run

    async def _pick_suspect(
        self, stage: Stage, ask: Callable[[frozenset[int], frozenset[int] | None], Awaitable[int | None]]
    ) -> int | None:
        """Return the next suspect for a stage, of those with the fewest deaths first."""
        for deaths in sorted({deaths for one, deaths in self.suspects.items() if one.stage is stage}):
            alike = {one.run for one, found in self.suspects.items() if (one.stage, found) == (stage, deaths)}
            run = await ask(frozenset(), frozenset(alike))
            if run is not None:
                return run
        return None

    def put_back(self, holding: Holding) -> None:
        """Note that a run that was picked is not taken up after all."""
        self.held.discard(holding)

    async def take(self, holding: Holding) -> None:
        """Leave a mark that the work on a run begins."""
        self.held.add(holding)
        await self._use(lambda directory: (directory / _name(holding)).touch())

    async def let_go(self, holding: Holding) -> None:
        """Take the mark away: the work on the run has come to an end. It is no suspect any more."""
        try:
            await self._use(lambda directory: (directory / _name(holding)).unlink(missing_ok=True))
        finally:
            self.held.discard(holding)
        for wake in self.wakes if self.suspects else ():
            wake.set()
        await self.forgive(holding)

    async def forgive(self, holding: Holding) -> None:
        """Suspect a run no more."""
        if self.suspects.pop(holding, None) is not None:
            left = dict(self.suspects)
            await self._use(lambda directory: _write_suspects(directory, left))

    async def _use(self, work: Callable[[Path], object]) -> None:
        """Do something in the directory; without one, or where it cannot be used, nothing: it is a precaution."""
        directory = self.directory
        if directory is None:
            return
        try:
            await run_detached(lambda: work(directory))
        except OSError as error:
            _log.debug(f"cannot note what is in hand: {error}")

    def _begin(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        process = _read_json(directory / _PROCESS)
        left = {one: path for path in directory.iterdir() if (one := _holding(path.name)) is not None}
        self.suspects = _read_suspects(_read_json(directory / _SUSPECTS))
        boot = self.boot()
        if left and boot and isinstance(process, dict) and process.get("boot") == boot:
            self.suspects = count_death(self.suspects, left)
            _write_suspects(directory, self.suspects)
        for path in left.values():
            path.unlink(missing_ok=True)
        (directory / _PROCESS).write_text(json.dumps({"version": 1, "boot": boot}))


def _write_suspects(directory: Path, suspects: Mapping[Holding, int]) -> None:
    named = {_name(one): deaths for one, deaths in sorted(suspects.items())[:MOST_SUSPECTS]}
    new = directory / f"{_SUSPECTS}.new"
    new.write_text(json.dumps({"version": 1, "suspects": named}))
    new.replace(directory / _SUSPECTS)


def _name(holding: Holding) -> str:
    return f"{holding.stage}-{holding.run}"


def _holding(name: str) -> Holding | None:
    """Return the run and stage of a file's name; None for another file."""
    stage, _, run = name.partition("-")
    if stage not in list(Stage) or not (run.isascii() and run.isdigit()) or len(run) > len(str(runset.LAST_RUN)):
        return None
    return Holding(Stage(stage), int(run))


def _read_json(path: Path) -> object:
    """Return the content of a file of ours; None if there is none or it cannot be parsed. Raise OSError."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _read_suspects(content: object) -> dict[Holding, int]:
    """Return the suspects in a file's content; none if it has another form."""
    named = content.get("suspects") if isinstance(content, dict) else None
    if not isinstance(named, dict):
        return {}
    found = {_holding(str(name)): deaths for name, deaths in named.items() if isinstance(deaths, int)}
    return {one: deaths for one, deaths in found.items() if one is not None}
