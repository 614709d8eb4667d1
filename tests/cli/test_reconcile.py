"""The exit code of `reconcile`: 0 if every run is where it should be, whatever else there is to say of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from archiverd.audit.anomalies import Discrepancy
from archiverd.audit.partition import NO_DISORDER, Partition
from archiverd.cli import main
from archiverd.cli import reconcile as module
from archiverd.core.machine import State
from archiverd.watch.directory_scan import OddName, OddNames

if TYPE_CHECKING:
    from pathlib import Path

IN_ORDER = {"open", "ignored", "waived", "verified"}
EMPTY = Partition({}, (), (), (), 0, ())
OF_RUN_7 = {str(state): Partition({str(state): (7,)}, (), (), (), 0, ()) for state in (*State, *Discrepancy)}
FLAGGED = Partition({"verified": (7,)}, (), (), (), 0, (), flags=dict.fromkeys(NO_DISORDER, (7,)))
MISSING = Partition({"verified": (7,)}, (), (), (), 0, (), missing=(7,))
ODD = Partition({"verified": (7,)}, (), (), (), 0, (), odd=OddNames(1, (OddName("01502", "a rule"),)))
BOTH = Partition({"changed": (8,), "verified": (7,)}, (), (), (), 0, (), flags=dict.fromkeys(NO_DISORDER, (7,)))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        *((found, 0 if state in IN_ORDER else 1) for state, found in OF_RUN_7.items()),
        (EMPTY, 0),
        (FLAGGED, 0),
        (MISSING, 0),
        (ODD, 0),
        (BOTH, 1),
    ],
    ids=[*OF_RUN_7, "no run", "flags", "missing", "odd name", "flags and changed"],
)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_the_exit_code_by_what_was_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Partition, code: int, options: tuple[str, ...]
) -> None:
    """Open, ignored, waived and verified runs are in order; flags and odd names are only listed."""
    monkeypatch.setattr(module, "daemon_or_alone", lambda *_, **__: Partition.from_json(found.to_json()))
    config = tmp_path / "archiverd.toml"
    (tmp_path / "records").mkdir()
    config.write_text(
        f'[app]\nwork_dir = "{tmp_path}/work"\n[source_files]\nrun_records_dir = "{tmp_path}/records"\n'
        f'[artdaq_db]\ndatabase_uri = "filesystemdb://{tmp_path}/db"\n'
    )
    done = CliRunner().invoke(main.cli, ["-c", str(config), "reconcile", *options], standalone_mode=False)
    assert done.exception is None, done.output
    assert (done.return_value or 0) == code
    if options:
        assert json.loads(done.stdout)["in_order"] is (code == 0)
    elif found is FLAGGED:
        for words in ("incomplete: files that its record promises", "no end: another program", "superseded: artdaqDB"):
            assert words in done.stdout
    elif found is MISSING:
        assert "directories missing: 7: cannot tell" in done.stdout
