"""The stand-in answers as the real library did, so what holds with the one holds with the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

from archiverd.artdaqdb.conftoolp.process import Worker
from tests.artdaqdb.conftoolp.conftest import STANDIN, launch

CALLS = Path(__file__).with_name("calls.jsonl")
"""Calls of the real library on an empty database, in order, with its answers; stack traces are left out."""


async def test_the_recorded_calls_are_answered_alike(tmp_path: Path) -> None:
    """Every call gets the recorded answer; configurations of one second may stand in another order."""
    variables = {"PYTHONPATH": str(STANDIN), "ARTDAQ_DATABASE_URI": f"filesystemdb://{tmp_path}/db"}
    worker = Worker(launch({**os.environ, **variables}), 60)
    different = []
    for line in CALLS.read_text().splitlines():
        call = json.loads(line)
        answer = await worker.call(call["function"], *(one.encode() for one in call["arguments"]))
        told, recorded = _parts(call["function"], answer.words), _parts(call["function"], call["text"])
        if answer.success != call["success"] or told != recorded:
            different.append((call, answer))
    await worker.close()
    assert different == []


def _parts(function: str, text: str) -> object:
    """Return an answer as it is compared."""
    if "Dynamic exception type" in text:
        return text.partition("std::exception::what:")[2]
    if function == "find_configurations":
        return sorted(text.split(",")) if "{" not in text else sorted(map(str, json.loads(text)["search"]))
    return text
