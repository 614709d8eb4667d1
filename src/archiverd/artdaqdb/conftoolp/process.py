"""One worker process: started when it is needed, killed at a call's deadline, replaced after any crash.

It leads a session of its own, so that it is killed with whatever it started and no terminal's signal reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archiverd.artdaqdb.conftoolp.failures import broken, cannot_start, crashed, hung, not_importable
from archiverd.artdaqdb.conftoolp.frames import encode, receive

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPT = Path(__file__).with_name("worker.py")
START_SECONDS = 60.0
"""So long a worker may take to import the library, which may lie on a slow network file system."""
LEAVE_SECONDS = 5.0
"""So long an idle worker may take to end once its stdin is closed."""
LAST_WORDS_SECONDS = 0.05
"""So long a child that is to be killed may take to end by itself."""
LONGEST_COMPLAINT = 16 << 10
"""So many of the last bytes of a worker's stderr are kept."""
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function of the library returned: whether it worked, and its text (artdaqdb_format.md section D.1)."""

    success: bool
    text: str


class Worker:
    """A place for one child process. Calls must come one at a time."""

    def __init__(self, python: str, variables: Mapping[str, str], seconds: float) -> None:
        """Have ``python`` run the script with exactly these environment variables; a call has ``seconds``."""
        self._command = (python, str(SCRIPT), str(os.getpid()))
        self._variables = dict(variables)
        self._seconds = seconds
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is no child."""
        return self._child.process.pid if self._child is not None else None

    async def start(self) -> None:
        """Have a child ready. Raise ArtdaqDBError if it cannot be started or cannot import the library."""
        if self._child is not None and self._child.process.returncode is not None:
            await self._kill()
        if self._child is None:
            self._child = await _spawn(self._command, self._variables)
            ready = await self._exchange(None, "import conftoolp", START_SECONDS)
            if "raised" in ready:
                await self._kill()
                raise not_importable(str(ready["raised"]), self._command[0])

    async def call(self, function: str, *arguments: str) -> Answer:
        """Call a function of the library. Raise ArtdaqDBError if it does not return: then nobody knows what it did."""
        await self.start()
        request = encode({"function": function, "arguments": arguments})
        message = await self._exchange(request, function, self._seconds)
        if "raised" in message:
            raise broken(function, str(message["raised"]))
        return Answer(bool(message["success"]), str(message["text"]))

    async def close(self) -> None:
        """Let an idle child end by itself, and kill it if it does not."""
        child = self._child
        if child is not None and child.process.stdin is not None:
            child.process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await child.process.wait()
        await self._kill()

    async def _exchange(self, request: bytes | None, what: str, seconds: float) -> dict[str, Any]:
        """Send a request and return the answer; whatever hinders that costs the child its life."""
        child = self._child
        if child is None or child.process.stdin is None or child.process.stdout is None:
            raise RuntimeError("the worker has no child")
        try:
            async with asyncio.timeout(seconds):
                if request is not None:
                    child.process.stdin.write(request)
                    await child.process.stdin.drain()
                return await receive(child.process.stdout)
        except TimeoutError:
            await self._kill()
            raise hung(what, seconds) from None
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            code = await self._kill()
            raise crashed(what, code, child.complaint) from None
        except BaseException:
            await self._kill()
            raise

    async def _kill(self) -> int:
        """Kill the child with all it started; return how it ended, as `subprocess` counts."""
        child, self._child = self._child, None
        return await child.kill() if child is not None else 0


class _Child:
    """A running process and the last it said on stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._said = b""
        self._listening = asyncio.create_task(self._listen(), name="conftoolp-stderr")

    @property
    def complaint(self) -> str:
        return self._said.decode(errors="replace").strip()

    async def kill(self) -> int:
        """Kill the child's whole group; return how the child ended, once it has."""
        try:
            with contextlib.suppress(TimeoutError):  # one that crashed is given the time to say how
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await asyncio.shield(self._listening)
        finally:  # also if cancelled meanwhile
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
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
            self._said = (self._said + piece)[-LONGEST_COMPLAINT:]


async def _spawn(command: tuple[str, ...], variables: Mapping[str, str]) -> _Child:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=variables, start_new_session=True
        )
    except OSError as error:
        raise cannot_start(command[0], error) from error
    return _Child(process)
