"""What people, disks and other programs do to run records that have ended."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.life import Detector
    from tests.simulation.records import Record
    from tests.simulation.tree import Node

DAY = 86_400.0


class Editors:
    """Befall the records of a detector: one of them at a time, at any moment."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._world, self._server = detector.world, detector.files
        self._kinds: dict[Callable[[Record], None], float] = {
            self._add: 2.0,
            self._edit: 2.0,
            self._edit_in_secret: 1.0,
            self._remove: 1.0,
            self._append_total_events: 1.0,
            self._correct_stop: 0.5,
            self._change_modes: 1.0,
            self._touch: 0.5,
            self._deny_file: 1.0,
            self._deny_directory: 0.5,
            self._replace: 0.7,
        }

    def begin(self) -> None:
        """Put the next deed on the agenda."""
        rate = self._detector.rates.edits
        if rate:
            self._detector.agenda.after(self._world.dice.expovariate(rate / DAY), self._act)

    def _act(self) -> None:
        dice = self._world.dice
        ended = [one for one in self._detector.records.values() if one.ended]
        if ended and not self._world.peaceful:
            recent = dice.random() < 0.5
            record = dice.choice(ended[-3:] if recent else ended)
            (kind,) = dice.choices(list(self._kinds), list(self._kinds.values()))
            kind(record)
        self.begin()

    def disturb_reader(self, directory: Node) -> None:
        """Change a record between two files that the importer reads of it, all files at once."""
        if not self._world.chance(0.01):
            return
        record = next((one for one in self._detector.records.values() if one.node is directory), None)
        if record is None or not self._detector.is_imported_first(record.run):
            return
        self._world.note("changed while it was read")
        names = [name for name in record.files if name.endswith(".fcl")]
        if len(names) > 1 and self._world.dice.random() < 0.3:
            self._server.remove(directory, names.pop())
        for name in names:
            self._server.write(directory, name, record.files[name] + self._line("r"))
        record.changed(self._world.time(), names[0], late=bool(record.late))

    def _line(self, name: str) -> bytes:
        return f"{name}: {self._detector.scribe.token()}\n".encode()

    def _write(self, record: Record, name: str, data: bytes, what: str, mtime: float | None = None) -> None:
        self._server.write(record.node, name, data, mtime=mtime)
        record.changed(self._world.time(), name, late=True)
        self._world.note(what)

    def _some_fcl(self, record: Record) -> str:
        names = sorted(name for name in record.files if name.endswith(".fcl"))
        return self._world.dice.choice(names) if names else "component01.fcl"

    def _add(self, record: Record) -> None:
        name = f"added{self._world.dice.randrange(10)}.fcl"
        self._write(record, name, self._line("a"), "file added")

    def _edit(self, record: Record) -> None:
        name = self._some_fcl(record)
        self._write(record, name, record.files.get(name, b"") + self._line("e"), "file edited")

    def _edit_in_secret(self, record: Record) -> None:
        """Edit a file so that its size and its modification time stay."""
        name = self._some_fcl(record)
        entries = record.node.entries or {}
        if name in entries:
            data = self._line("v1")
            mtime = entries[name].mtime_ns / 1e9
            rest = entries[name].data.partition(b"\n")[2]
            self._write(record, name, data + rest, "file edited in secret", mtime)

    def _remove(self, record: Record) -> None:
        name = self._some_fcl(record)
        if name in record.files and len(record.files) > 1:
            self._server.remove(record.node, name)
            record.changed(self._world.time(), name, late=True)
            self._world.note("file removed")

    def _append_total_events(self, record: Record) -> None:
        data = record.files.get("metadata.txt", b"") + f"Total events: {self._detector.scribe.token()}\n".encode()
        self._write(record, "metadata.txt", data, "late Total events")

    def _correct_stop(self, record: Record) -> None:
        data = record.files.get("metadata.txt", b"") + b"DAQInterface stop time: Mon Jan  1 00:00:00 2024\n"
        data += f"Corrected by: {self._detector.scribe.token()}\n".encode()
        self._write(record, "metadata.txt", data, "stop time corrected")

    def _change_modes(self, record: Record) -> None:
        """Change nothing but modes: that is no difference."""
        self._server.change_modes(record.node, self._world.dice.choice((0o444, 0o644, 0o664)))
        self._world.note("chmod -R")

    def _touch(self, record: Record) -> None:
        """Write the same bytes again: that is no difference either."""
        name = self._some_fcl(record)
        if name in record.files:
            self._server.write(record.node, name, record.files[name])
            self._world.note("file touched")

    def _deny_file(self, record: Record) -> None:
        name = self._some_fcl(record)
        if name in record.files:
            self._deny((record.node.entries or {})[name], record, "file unreadable")

    def _deny_directory(self, record: Record) -> None:
        self._deny(record.node, record, "directory unreadable")

    def _deny(self, node: Node, record: Record, what: str) -> None:
        """Let nobody read a file or a directory for a while."""
        node.denied = self._world.dice.choice((errno.EACCES, errno.EIO, errno.ESTALE))
        record.denials += 1
        self._world.note(what)

        def permit() -> None:
            node.denied = 0
            record.permit()

        self._detector.agenda.after(self._world.dice.expovariate(1 / 7200.0), permit)

    def _replace(self, record: Record) -> None:
        """Let another run be written under the number of an archived one."""
        if self._detector.is_verified(record.run):
            self._detector.replace(record)
            self._world.note("number reused")
