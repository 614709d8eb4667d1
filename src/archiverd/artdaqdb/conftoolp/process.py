"""One worker process: started when needed, killed at a call's deadline, replaced after a crash.

It leads a session of its own, so that it is killed with whatever it started and no terminal's signal reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.artdaqdb.conftoolp.errors import (
    cannot_start,
    crashed,
    function_raised,
    hung,
    no_answer,
    not_importable,
    out_of_memory,
)
from archiverd.artdaqdb.conftoolp.frames import encode, receive
from archiverd.artdaqdb.tools.command import kill_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from archiverd.core.errors import ArtdaqDBError

SCRIPT = Path(__file__).with_name("worker.py")
START_SECONDS = 60.0
"""Time limit for importing the library, which may be on a slow network file system."""
LEAVE_SECONDS = 5.0
"""Time limit for an idle worker to end once its stdin is closed."""
LAST_WORDS_SECONDS = 0.05
"""Time a child has to end by itself before it is killed."""
LONGEST_COMPLAINT = 16 << 10
"""Most bytes kept of the end of a worker's stderr."""
OUT_OF_MEMORY = (b"MemoryError", b"std::bad_alloc")
"""Texts of Python and the library's C++ for want of memory."""
KINDS = (b"yes", b"no", b"raised")
"""First texts of answers; see `worker`."""
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Launch:
    """How a child is started."""

    python: str
    variables: Mapping[str, str] = field(repr=False)
    """Its whole environment. The URI in it may hold a password: it must not appear in an argument or message."""
    memory: int
    """Bytes of address space beyond which its calls fail."""
    secrets: tuple[bytes, ...] = field(repr=False)
    """Texts hidden in stderr, exceptions and refusals."""
    prepare: Callable[[], Awaitable[Sequence[int]]]
    """Called before every start, while the worker has no child; returns the descriptors the child inherits.
    Raises ArtdaqDBError if it must not start."""


@dataclass(frozen=True, slots=True)
class LibraryAnswer:
    """What a function of the library returned: whether it worked, and its text (artdaqdb_format.md section D.1)."""

    success: bool
    text: bytes

    @property
    def words(self) -> str:
        """The text for messages."""
        return self.text.decode(errors="replace")


class DiedError(Exception):
    """The child ended in a call; what the call did is unknown."""

    def __init__(self, error: ArtdaqDBError) -> None:
        """Hold the error to raise if the call cannot be repeated."""
        super().__init__(error.message)
        self.error = error


@contextlib.contextmanager
def deaths_raised() -> Iterator[None]:
    """Raise the error of a child that died, for a call that is not repeated."""
    try:
        yield
    except DiedError as died:
        raise died.error from None


class Worker:
    """A worker, with at most one child process. Calls must come one at a time."""

    def __init__(self, launch: Launch, seconds: float) -> None:
        """Start children by ``launch``; a call has ``seconds``."""
        self._launch = launch
        self._seconds = seconds
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is no child."""
        return self._child.process.pid if self._child is not None else None

    async def start(self) -> None:
        """Start a child if there is none. Raise ArtdaqDBError if it cannot start or import, or DiedError."""
        if self._child is not None and self._child.process.returncode is not None:
            await self._kill()
        if self._child is None:
            inherited = await self._launch.prepare()
            self._child = await _spawn(self._launch, inherited)
            kind, text = await self._exchange(None, "import conftoolp", START_SECONDS)
            if kind != b"yes":
                await self._kill()
                raise not_importable(text.decode(errors="replace"), self._launch.python)

    async def call(self, function: str, *arguments: bytes) -> LibraryAnswer:
        """Call a function of the library.

        Raise ArtdaqDBError if it does not return in time, DiedError if the child ends: what it did is unknown then.
        """
        await self.start()
        kind, text = await self._exchange(encode(function.encode(), *arguments), function, self._seconds)
        if kind != b"yes" and any(words in text for words in OUT_OF_MEMORY):
            await self._kill()
            raise out_of_memory(function, self._launch.memory)
        if kind == b"raised":
            raise function_raised(function, text.decode(errors="replace"))
        return LibraryAnswer(kind == b"yes", text)

    async def close(self) -> None:
        """Let an idle child end, and kill it if it does not."""
        child = self._child
        if child is not None and child.process.stdin is not None:
            child.process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await child.process.wait()
        await self._kill()

    async def _exchange(self, request: bytes | None, what: str, seconds: float) -> tuple[bytes, bytes]:
        """Send a request; return the answer's kind and text. On any failure the child is killed."""
        child = self._child
        if child is None or child.process.stdin is None or child.process.stdout is None:
            raise RuntimeError("the worker has no child")
        try:
            async with asyncio.timeout(seconds):
                if request is not None:
                    child.process.stdin.write(request)
                    await child.process.stdin.drain()
                kind, text = await self._answer(child.process.stdout)
        except TimeoutError:
            await self._kill()
            raise hung(what, seconds) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await self._kill()
            complaint = self._without_secrets(child.complaint).decode(errors="replace")
            raise DiedError(crashed(what, code, complaint)) from None
        except ValueError as error:
            await self._kill()
            raise no_answer(what, str(error)) from None
        except BaseException:
            await self._kill()
            raise
        return kind, text

    async def _answer(self, stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """Return an answer's kind and text. Raise ValueError for other bytes."""
        texts = await receive(stream)
        if len(texts) != 2 or texts[0] not in KINDS:
            raise ValueError(f"a message of {len(texts)} texts")
        kind, text = texts
        return kind, text if kind == b"yes" else self._without_secrets(text)

    def _without_secrets(self, text: bytes) -> bytes:
        for secret in self._launch.secrets:
            text = text.replace(secret, b"***")
        return text

    async def _kill(self) -> int:
        """Kill the child with all it started; return its code as in `subprocess`."""
        child, self._child = self._child, None
        return await child.kill() if child is not None else 0


class _Child:
    """A running process and the end of its stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._stderr = b""
        self._listening = asyncio.create_task(self._listen(), name="conftoolp-stderr")

    @property
    def complaint(self) -> bytes:
        return self._stderr.strip()

    async def kill(self) -> int:
        """Kill the child's process group; return its code once it has ended."""
        try:
            with contextlib.suppress(TimeoutError):  # one that crashed has time to say why
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await asyncio.shield(self._listening)
        finally:  # also if cancelled meanwhile
            kill_group(self.process)
        if self.process.stdin is not None:
            self.process.stdin.close()
        code = await self.process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._listening
        return code

    async def _listen(self) -> None:
        if self.process.stderr is None:
            return
        while piece := await self.process.stderr.read(_PIECE):
            self._stderr = (self._stderr + piece)[-LONGEST_COMPLAINT:]


async def _spawn(launch: Launch, inherited: Sequence[int]) -> _Child:
    pipe = asyncio.subprocess.PIPE
    command = (launch.python, str(SCRIPT), str(os.getpid()), str(launch.memory))
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=dict(launch.variables),
            start_new_session=True,
            pass_fds=tuple(inherited),
            limit=_PIECE,
        )
    except OSError as error:
        raise cannot_start(command[0], error) from error
    return _Child(process)
