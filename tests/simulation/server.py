"""A UconDB as ucondb_protocol.md has it, with what can go wrong in it; it outlives the process."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from archiverd.ucondb.http import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.world import World

CHALLENGE = 'Digest realm="ucon.sim", nonce="b\'MQ==\'", algorithm=MD5, qop="auth"'
FOLDER = "sim"
FOREIGN = b"what somebody else stored under this key"


@dataclass(eq=False)
class Stored:
    """One version; ``key`` is None once another took it. Size and checksum are those of the put, whatever became of it.

    The server never checks what it sends (section 5).
    """

    key: str | None
    data: bytes
    number: int
    size: int = field(init=False)
    adler32: int = field(init=False)

    def __post_init__(self) -> None:
        self.size, self.adler32 = len(self.data), zlib.adler32(self.data)

    def record(self) -> dict[str, object]:
        """Return its metadata."""
        return {"id": self.number, "key": self.key, "data_size": self.size, "uadler32": self.adler32}


@dataclass
class Server:
    """A UconDB with some folders, in each of them one object."""

    world: World
    folders: dict[str, list[Stored]] = field(default_factory=dict)
    late: list[tuple[float, str, str, bytes]] = field(default_factory=list)
    """Puts a frozen database carries out later: when, folder, key, data."""
    away_until: float = 0.0

    def watch(self, folder: str, key: str, data: bytes) -> None:
        """Be told of every put that arrives."""

    def versions(self, folder: str = FOLDER) -> list[Stored]:
        """Return the versions of the object in a folder."""
        return self.folders.setdefault(folder, [])

    def find(self, key: str, folder: str = FOLDER) -> Stored | None:
        """Return the version under a key."""
        return next((one for one in reversed(self.versions(folder)) if one.key == key), None)

    def put(self, key: str, data: bytes, folder: str = FOLDER, *, override: bool = False) -> Stored | None:
        """Store a version and return it; None if the key is taken."""
        taken = self.find(key, folder)
        if taken is not None and not override:
            return None
        if taken is not None:
            taken.key = None
        stored = Stored(key, data, len(self.versions(folder)))
        self.versions(folder).append(stored)
        return stored

    def catch_up(self) -> None:
        """Carry out the late puts whose time has come."""
        now = self.world.time()
        due = [one for one in self.late if one[0] <= now or self.world.peaceful]
        self.late = [one for one in self.late if one not in due]
        for _, folder, key, data in due:
            self.put(key, data, folder)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request as the real server does."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        endpoint, *words = parts.path.split("/app/", 1)[1].split("/")
        folder = words[0] if words else query.get("folder", "")
        if endpoint == "probe":
            return plain_reply(200, b"OK")
        if endpoint in ("versions", "lookup_versions") and not self.versions(folder):
            return plain_reply(404, b"Object o not found")
        if endpoint == "versions":
            return plain_reply(200, json.dumps([one.record() for one in self.versions(folder)]).encode())
        if endpoint == "lookup_versions":
            return self._looked_up(method, folder, body)
        return self._posted(folder, query, headers, body) if method == "POST" else self._read(folder, query)

    def _looked_up(self, method: str, folder: str, body: bytes) -> Reply:
        """Return the records of the keys that the body asks for (section 6); what is not found is left out."""
        keys = json.loads(body)["keys"] if body else []
        if method != "POST" or not keys:
            return plain_reply(500, b"<h3>list index out of range</h3>")
        if not all(isinstance(key, str) for key in keys):
            return plain_reply(200, b"")
        held = {one.key: one for one in self.versions(folder)}
        records = [held[key].record() for key in keys if key in held]
        self.world.dice.shuffle(records)
        return plain_reply(200, b"".join(b"\x1e" + json.dumps(one).encode() + b"\n" for one in records))

    def _read(self, folder: str, query: Mapping[str, str]) -> Reply:
        found = self.find(query["key"], folder)
        if found is None and not self.versions(folder):
            return plain_reply(500, b"<h3>'NoneType' object has no attribute 'getVersion'</h3>")
        if found is None:
            return plain_reply(404, b"Version not found")
        if "meta_only" in query:
            return plain_reply(200, json.dumps(found.record()).encode())
        described = {
            "x-ucondb-version-key": query["key"],
            "x-ucondb-data-size": str(found.size),
            "x-ucondb-adler32": str(found.adler32),
        }
        return Reply(200, "OK", described, found.data)

    def _posted(self, folder: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Reply:
        if "Authorization" not in headers:
            return Reply(401, "Unauthorized", {"www-authenticate": CHALLENGE}, b"Authorization required")
        if "tv" in query:
            return plain_reply(500, b"<h3>could not convert string to float: 'x'</h3>")
        key = query["key"]
        self.watch(folder, key, body)
        stored = self.put(key, body, folder, override=query.get("override") == "yes")
        if stored is None:
            return plain_reply(500, b"<h3>duplicate key value violates unique constraint</h3>")
        if self.world.chance(0.005):  # what a proxy or a disk may do to it
            self.world.note("version cut")
            stored.data = body[: len(body) // 2]
            stored.__post_init__()
        return plain_reply(200, json.dumps(stored.record()).encode())


def plain_reply(status: int, body: bytes) -> Reply:
    """Return a reply without headers."""
    return Reply(status, "", {}, body)
