"""Validation has three results: passed, failed, not done; what was not done is made up for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State

if TYPE_CHECKING:
    from .conftest import Site

DEMO = (
    "--profile",
    "demo",
    "--fcl",
    "dumped",
    "--crash",
    "0",
    "--gaps",
    "0",
    "--no-chmod",
    "--runs",
    "3",
    "--first",
    "7",
)


def results(site: Site) -> dict[int, str]:
    """Return what `why` says of each run's validation, in one word."""
    rows = (json.loads(site.run("why", str(run), "--json").stdout)["run"] for run in site.rows())
    return {
        row["run"]: ("failed" if row["validation"] else "passed") if row["validated"] else "not done" for row in rows
    }


@pytest.mark.parametrize("way", ["once", "daemon"])
def test_what_was_not_validated_is_made_up_for(site: Site, way: str) -> None:
    """Nothing counts as passed before it was looked at; a problem that is found then is logged as any other."""
    site.settings = '[validation]\nrequired = ["components", "config_name", "sbndaq_commit_or_version"]\n'
    site.configure()
    site.make(*DEMO)
    metadata = site.records / "8" / "metadata.txt"
    metadata.write_text(metadata.read_text() + "sbndaq commit/version: v1_10_02\n")
    assert site.run("once").returncode == 0
    assert results(site) == {7: "not done", 8: "not done", 9: "not done"}
    assert "not done: the daemon does it" in site.run("why", "7").stdout
    if way == "once":
        told = site.run("once", "--validate").stderr
        assert "[Validation] [Run 7]" in told
    else:
        site.constants = {
            "archiverd.pipeline.validator.PAUSE_SECONDS": 0.0,
            "archiverd.pipeline.validator.AGAIN_SECONDS": 0.1,
        }
        daemon = site.start("run")
        site.wait(lambda rows: all(row.validated for row in rows.values()))
        site.wait_for_log("[Validation] [Run 7]")
        assert site.stop(daemon) == 130
    assert results(site) == {7: "failed", 8: "passed", 9: "failed"}
    assert "sbndaq_commit_or_version" in site.run("why", "9").stdout
    assert all(row.state is State.VERIFIED for row in site.rows().values())
    assert "[Validation] [Run 7]" not in site.run("once", "--validate").stderr
