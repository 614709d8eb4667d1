"""Shared objects for LD_PRELOAD, made of C sources beside the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

COMPILER = os.environ.get("CC", "cc")


def compile_shim(name: str, into: Path) -> Path:
    """Compile ``<name>.c`` of this directory into a shared object; skip the test where there is no compiler."""
    if shutil.which(COMPILER) is None:
        pytest.skip("needs a C compiler")
    source, made = Path(__file__).with_name(f"{name}.c"), into / f"{name}.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"], check=True)
    return made
