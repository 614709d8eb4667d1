"""The child: calls the experiment's library for us, one call at a time, until its stdin closes.

Run as a script, by whichever Python the library was built for (3.6 or newer), so it uses the standard library only and
imports nothing of archiverd: ``python worker.py <pid of the parent>``. A message is four bytes of length, the most
significant first, and so many bytes of JSON. First it says whether ``import conftoolp`` worked; then it answers each
``{"function": …, "arguments": […]}`` with ``{"success": …, "text": …}``, or with ``{"raised": …}``.
"""

import ctypes
import importlib
import json
import os
import signal
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

PR_SET_PDEATHSIG = 1
"""Number of the option in <linux/prctl.h>."""


def main() -> None:
    """Answer calls until the parent closes our stdin. Whatever the library prints goes to stderr."""
    die_with_parent(int(sys.argv[1]))
    del sys.path[0]  # our own directory: the library must not find our modules
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        try:
            library = importlib.import_module("conftoolp")
        except Exception as error:  # noqa: BLE001  whatever it is, the parent is to tell it
            send(answers, raised(error))
            return
        send(answers, {"success": True, "text": "ready"})
        while True:
            request = receive(requests)
            if request is None:
                return
            send(answers, answer(library, request))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the parent dies: inside a call of the library nobody sees that stdin closed."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that
        sys.exit(1)


def answer(library: object, request: "dict[str, object]") -> "dict[str, object]":
    """Make one call; an exception is an answer too."""
    try:
        success, text = getattr(library, str(request["function"]))(*request["arguments"])  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001  the worker lives on
        return raised(error)
    return {"success": bool(success), "text": str(text)}


def raised(error: Exception) -> "dict[str, object]":
    """Return an exception as Python's last line of a traceback would show it."""
    return {"raised": "{}: {}".format(type(error).__name__, error)}  # noqa: UP032


def receive(stream: "IO[bytes]") -> "dict[str, object] | None":
    """Return the next request, None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    message = json.loads(stream.read(struct.unpack(">I", head)[0]).decode())
    return dict(message)


def send(stream: "IO[bytes]", message: "dict[str, object]") -> None:
    """Write one message, all of it."""
    body = json.dumps(message).encode()
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
