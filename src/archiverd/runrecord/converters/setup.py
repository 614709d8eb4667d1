"""setup.txt: the shell script that set up the DAQ (run_records.md 1.3 and 5)."""

from __future__ import annotations

from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.spelling import string


def to_fhicl(data: bytes) -> str:
    """Return setup.fcl: the script as one string, byte for byte; no newline at the end."""
    return f"setup_script: {string(data.decode('latin-1'))}"


SETUP: Final = TextConverter(name="setup", to_fhicl=to_fhicl, blob_place=3)
