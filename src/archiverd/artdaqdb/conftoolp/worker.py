"""The child process: calls the experiment's library, one call at a time, until its stdin closes.

Run as a script, by whichever Python the library was built for (3.6 or newer), so it uses the standard library only and
imports nothing of archiverd: ``python worker.py <pid of the parent> <bytes of memory>``. A message is a count of texts,
then the length and the bytes of each; numbers are four bytes, the most significant first, and texts UTF-8. First it
says whether ``import conftoolp`` worked; then it answers each ``function, arguments…`` with ``yes`` or ``no`` (what the
function said of its success) and its text, or with ``raised`` and the exception.
"""

import ctypes
import importlib
import os
import resource
import signal
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

PR_SET_PDEATHSIG = 1
"""Number of the option in <linux/prctl.h>."""
FIRST_TO_GO = b"1000"
"""Makes the kernel end this process first when memory is short, not the daemon (proc_pid_oom_score_adj(5))."""


def main() -> None:
    """Answer calls until the parent closes our stdin. Whatever the library prints goes to stderr."""
    die_with_parent(int(sys.argv[1]))
    limit_memory(int(sys.argv[2]))
    del sys.path[0]  # our own directory: the library must not find our modules
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        try:
            library = importlib.import_module("conftoolp")
        except Exception as error:  # noqa: BLE001  the parent reports it
            send(answers, raised(error))
            return
        send(answers, (b"yes", b"ready"))
        while True:
            try:
                request = receive(requests)
            except EOFError:
                return
            send(answers, answer(library, request))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the parent dies: during a call nothing notices that stdin closed."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that
        sys.exit(1)


def limit_memory(size: int) -> None:
    """Limit our memory, so that a call fails here before the whole machine runs short."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as score:
            score.write(FIRST_TO_GO)
    except OSError:
        pass  # the limit holds without


def answer(library: object, request: "list[bytes]") -> "tuple[bytes, bytes]":
    """Make one call; an exception is an answer too."""
    try:
        function, *arguments = (text.decode("utf-8", "surrogateescape") for text in request)
        success, text = getattr(library, function)(*arguments)
        return b"yes" if success else b"no", str(text).encode("utf-8", "surrogateescape")
    except Exception as error:  # noqa: BLE001  the worker lives on
        return raised(error)


def raised(error: Exception) -> "tuple[bytes, bytes]":
    """Return an exception as Python's last line of a traceback would show it."""
    shown = "{}: {}".format(type(error).__name__, error)  # noqa: UP032
    return b"raised", shown.encode("utf-8", "backslashreplace")


def receive(stream: "IO[bytes]") -> "list[bytes]":
    """Return the texts of the next request.

    Raise EOFError at the stream's end, also within a request: half a text must never reach the library.
    """
    count = number(stream)
    return [exactly(stream, number(stream)) for _ in range(count)]


def number(stream: "IO[bytes]") -> int:
    """Return the next number. Raise EOFError if there is none."""
    return int(struct.unpack(">I", exactly(stream, 4))[0])


def exactly(stream: "IO[bytes]", size: int) -> bytes:
    """Return the next ``size`` bytes. Raise EOFError if there are fewer."""
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def send(stream: "IO[bytes]", texts: "tuple[bytes, bytes]") -> None:
    """Write one message, all of it."""
    stream.write(struct.pack(">I", len(texts)))
    for text in texts:
        stream.write(struct.pack(">I", len(text)))
        stream.write(text)
    stream.flush()


if __name__ == "__main__":
    main()
