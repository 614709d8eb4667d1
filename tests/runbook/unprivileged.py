"""Run a command whose permissions count, also where the tests run as root.

python unprivileged.py COMMAND…    without the capabilities that let root pass by every permission

What root owns stays its own, so that a directory of mode 0 is closed to it as it is to anybody. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
"""prctl(2), capabilities(7)."""


def main(command: list[str]) -> None:
    """Give the capabilities up and become ``command``."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "the capabilities of root cannot be given up here")
    os.execvp(command[0], command)  # noqa: S606 - the command is all there is to run


if __name__ == "__main__":
    main(sys.argv[1:])
