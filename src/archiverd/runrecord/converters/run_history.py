"""RunHistory.fcl and RunHistory2.fcl, generated from metadata.txt (run_records.md section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archiverd.runrecord.converter import GeneratedFile
from archiverd.runrecord.entries import quoted
from archiverd.runrecord.spelling import distinct, strings

if TYPE_CHECKING:
    from archiverd.runrecord.metadata import Metadata


def run_history(run: int, metadata: Metadata | None) -> str:
    """Return RunHistory.fcl: the run number, and what metadata.txt, if there is one, says of the configuration."""
    parts = [f"run_number: {run}"]
    if metadata is not None:
        parts.append(f"config_name: {quoted(metadata.configuration or '', guarded=True)}")
        parts.append(f"components: {strings(metadata.components, guarded=True)}")
    return "".join(f"{part}\n\n" for part in parts)


def run_history_update(_run: int, metadata: Metadata | None) -> str | None:
    """Return RunHistory2.fcl: the start and stop times in file order, under their newer names; None before the stop."""
    if metadata is None or metadata.last("stop") is None:
        return None
    names = distinct([f"DAQInterface_{line.which}_time" for line in metadata.times])
    return "".join(f"{name}: {quoted(line.text)}\n" for name, line in zip(names, metadata.times, strict=True))


RUN_HISTORY: Final = GeneratedFile(name="RunHistory", generate=run_history, blob_place=8)
RUN_HISTORY_UPDATE: Final = GeneratedFile(
    name="RunHistory2", generate=run_history_update, blob_place=9, comes_with_end=True, is_update=True
)
