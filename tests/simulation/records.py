"""Run records and those who write them: DAQInterface, copies that stall, people who edit.

Each record knows what is true of it: what its directory has held at any moment, and what may differ from its archive
because it came so late that nothing could tell that it would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.agenda import Agenda
    from tests.simulation.tree import FileServer, Node
    from tests.simulation.world import World

TOKEN = re.compile(rb"\b\d{8}7\b")
"""A number that stands in one file of one record only; it survives every conversion."""
STOP_LINE = b"DAQInterface stop time: "
PROMPT_SECONDS = 0.9
"""Longest pause of a writer within which every look sees that it writes: less than ``watch.settle_seconds``."""
HELD_SECONDS = 540.0
"""Longest time without a change that a record is waited for if it shows that more comes: less than
``watch.final_wait_seconds``."""

Facts = dict[str, tuple[bytes, ...]]
"""By file, without its suffix, the tokens in it."""


def facts_of(files: dict[str, bytes]) -> Facts:
    """Return what files hold, however they are written."""
    return {name.rpartition(".")[0]: tuple(TOKEN.findall(data)) for name, data in files.items()}


def is_part(name: str) -> bool:
    """Tell whether a file belongs to the record, rather than to a copy or an editor."""
    return not name.startswith(".") and not name.endswith(("~", ".part"))


@dataclass(eq=False)
class Record:
    """One directory of a run, and what is true of it."""

    run: int
    node: Node
    server: FileServer
    watched: Callable[[], float]
    """Gives the seconds in which a process could have seen the records."""
    promised: frozenset[str] = frozenset()
    """The files that its own texts name."""
    states: list[Facts] = field(default_factory=list)
    """What its directory has held, each moment."""
    late: dict[str, float] = field(default_factory=dict)
    """By file, when it last changed so late that nothing could tell that it would."""
    denials: int = 0
    """How many of its files cannot be read now, or whether its directory cannot."""
    begun_at: float = 0.0
    """When it was begun, in seconds in which a process could have seen it."""
    stands: set[tuple[str, tuple[bytes, ...] | None]] = field(default_factory=set)
    """By file, what it held (None: it was gone) when an operator let stand what was archived of it."""
    rearchived: bool = False
    """Whether an operator wanted it archived again: what was removed stands beside what is there."""
    disturbed: bool = False
    """Whether anything befell it of which the archive may tell something."""
    ended: bool = False
    """Whether its writer has written everything."""
    quiet_since: float = 0.0
    """When anything but a copy's temporary file changed last, in seconds of the world."""

    @property
    def files(self) -> dict[str, bytes]:
        """What its directory holds, temporary files left out."""
        return {name: one.data for name, one in (self.node.entries or {}).items() if is_part(name)}

    @property
    def facts(self) -> Facts:
        """What its directory holds now."""
        return facts_of(self.files)

    @property
    def stopped(self) -> bool:
        """Whether its stop line is there."""
        return STOP_LINE in self.files.get("metadata.txt", b"")

    @property
    def more_shown(self) -> bool:
        """Whether it shows that more of it is to come."""
        names = self.node.entries or {}
        written = {name for name, data in self.files.items() if data}
        rc = "rc_info_start.txt" in names and "rc_info_stop.txt" not in names
        named = bool(self.promised & written) and bool(self.promised - written)
        return rc or named or any(not is_part(name) for name in names)

    def let_stand(self, *, all_files: bool) -> None:
        """Note that an operator lets stand what was archived of its files, or of those that are gone."""
        names, now = {name for state in self.states for name in state}, self.facts
        self.stands |= {(name, now.get(name)) for name in names if all_files or name not in now}
        self.rearchived |= not all_files

    def permit(self) -> None:
        """Note that somebody lets a file be read again: what changed meanwhile can be seen only from now on."""
        self.denials -= 1
        self.late = dict.fromkeys(self.late, self.watched())

    def changed(self, now: float, name: str, *, late: bool) -> None:
        """Note that a file changed just now."""
        if is_part(name):
            self.quiet_since = now
            self.states.append(self.facts)
            if late:
                self.late[name.rpartition(".")[0]] = self.watched()
                self.disturbed = True


@dataclass(frozen=True)
class Step:
    """One thing that a writer does, after a pause in seconds."""

    pause: float
    name: str
    do: Callable[[], None]


@dataclass(eq=False)
class Writer:
    """Writes one record, step by step, whether archiverd lives or not."""

    world: World
    agenda: Agenda
    record: Record
    steps: list[Step]
    on_end: Callable[[Record], None]
    late: bool = False
    """Whether it has paused for so long that the record may have been archived as it was."""

    def begin(self) -> None:
        """Begin to write."""
        self._next()

    def _next(self) -> None:
        if not self.steps:
            self.record.ended = True
            self.on_end(self.record)
            return
        self.agenda.after(self.steps[0].pause, self._step)

    def _step(self) -> None:
        record, step = self.record, self.steps.pop(0)
        quiet = self.world.time() - record.quiet_since
        held = record.more_shown and quiet < HELD_SECONDS
        self.late |= record.stopped and step.pause > PROMPT_SECONDS and not held
        step.do()
        record.changed(self.world.time(), step.name, late=self.late)
        self._next()


class Scribe:
    """Makes up records and who writes them."""

    def __init__(self, world: World, agenda: Agenda, server: FileServer, watched: Callable[[], float]) -> None:
        self._world = world
        self._agenda = agenda
        self._server = server
        self._watched = watched

    def token(self) -> int:
        """Return a number that stands nowhere else."""
        return 10 * self._world.dice.randrange(10**7, 10**8) + 7

    def begin(self, run: int, on_end: Callable[[Record], None]) -> Record:
        """Let somebody write the record of a run, in one way or another; ``on_end`` is told when it is whole."""
        world, dice, server = self._world, self._world.dice, self._server
        node = server.make_directory()
        record = Record(run, node, server, self._watched, begun_at=self._watched(), quiet_since=world.time())
        how = dice.choices(("daq", "rsync", "cp"), (3.0, 1.0, 2.0))[0]
        names = [f"component{number:02}.fcl" for number in range(1, dice.randint(2, 3))]
        names += ["tpc01.fcl"] if dice.random() < 0.7 else []
        if dice.random() < 0.7:
            record.promised = frozenset(names)
        start, stop = (datetime.fromtimestamp(world.wall() - ago, UTC).ctime() for ago in (3600, 5))
        metadata = f"Config name: sim {self.token()}\n".encode()
        for number, name in enumerate(sorted(record.promised)):
            metadata += f"Component #{number}: {name.removesuffix('.fcl')}\n".encode()
        metadata += f"DAQInterface start time: {start}\n".encode()
        files = {name: self._fcl() for name in names} | {"metadata.txt": metadata}
        stopped = STOP_LINE + f"{stop}\n".encode()
        steps = self._live(record, files, stopped) if how == "daq" else self._copy(record, files, stopped, how)
        world.note(f"written by {how}")
        server.enter(str(run), node)
        Writer(world, self._agenda, record, steps, on_end).begin()
        return record

    def _fcl(self) -> bytes:
        dice = self._world.dice
        last = dice.randint(8, 16) if dice.random() < 0.15 else dice.randint(1, 3)
        lines = [f"v{number}: {self.token()}\n" for number in range(1, last + 1)]
        return "".join(lines).encode()

    def _live(self, record: Record, files: dict[str, bytes], stopped: bytes) -> list[Step]:
        """Write as DAQInterface does: the start, and much later the stop line and what follows it."""
        dice, server, node = self._world.dice, self._server, record.node
        steps = [self._writing(record, name, data, dice.uniform(0.0, 0.3)) for name, data in files.items()]
        rc = dice.random() < 0.3
        if rc:
            steps.append(self._writing(record, "rc_info_start.txt", self._rc_info(), 0.1))
        if dice.random() < 0.03:
            self._world.note("run crashes")
            return steps
        metadata = files["metadata.txt"] + stopped
        duration = dice.expovariate(1 / 7200.0)
        steps.append(Step(duration, "metadata.txt", lambda: server.write(node, "metadata.txt", metadata)))
        if rc:
            steps.append(self._writing(record, "rc_info_stop.txt", self._rc_info(), dice.uniform(0.0, 400.0)))
        return steps

    def _rc_info(self) -> bytes:
        return f"value: {self.token()}\n".encode()

    def _copy(self, record: Record, files: dict[str, bytes], stopped: bytes, how: str) -> list[Step]:
        """Copy a record that ended elsewhere, in the order of names; the copy may stall anywhere."""
        dice = self._world.dice
        whole = files | {"metadata.txt": files["metadata.txt"] + stopped}
        if dice.random() < 0.3:
            whole |= {name: self._rc_info() for name in ("rc_info_start.txt", "rc_info_stop.txt")}
        old = self._world.server_time() - dice.uniform(0.0, 1e6)
        steps: list[Step] = []
        for name in sorted(whole):
            lines = whole[name].splitlines(keepends=True)
            under = f".{name}.{dice.randrange(10**5, 10**6)}" if how == "rsync" else name
            grown = [b"".join(lines[:end]) for end in range(1, len(lines) + 1)]
            steps += [self._writing(record, under, data, dice.uniform(0.0, 0.8), old) for data in grown]
            if how == "rsync":
                steps.append(self._renaming(record, under, name, dice.uniform(0.0, 0.2)))
        if dice.random() < 0.5:
            stalled = dice.randrange(1, len(steps))
            pause = dice.choice((dice.uniform(1.0, 5.0), dice.uniform(5.0, 500.0), dice.uniform(500.0, 90_000.0)))
            steps[stalled] = Step(pause, steps[stalled].name, steps[stalled].do)
            self._world.note("copy stalls")
        return steps

    def _writing(self, record: Record, name: str, data: bytes, pause: float, mtime: float | None = None) -> Step:
        return Step(pause, name, lambda: self._server.write(record.node, name, data, mtime=mtime))

    def _renaming(self, record: Record, name: str, new: str, pause: float) -> Step:
        return Step(pause, new, lambda: self._server.rename(record.node, name, new))
