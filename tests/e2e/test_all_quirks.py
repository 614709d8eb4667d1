"""Every oddity there is, in one run-records directory, through the whole program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiverd import fhicl
from archiverd.core.machine import State
from archiverd.runrecord.blob import unpack
from archiverd.runrecord.converters.registry import BY_DEFAULT
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import read_run_record

if TYPE_CHECKING:
    from .conftest import Site

QUIRKS = 123
FIRST = 1000


def values(fcl: bytes) -> object:
    """Return what a FHiCL text says, without its spacing and comments."""
    return fhicl.parse_values(fcl, "x")


def as_stored(fcl: bytes) -> bytes:
    """Return a text as artdaqDB's format makes it: to a document and back."""
    return fhicl.from_json(fhicl.to_json(fcl, "x", "T"), "x")


def test_every_quirk_is_archived_and_none_hinders_another(site: Site) -> None:
    """All 123 quirks and every odd name beside them: each run verified, each file accounted for, no value changed."""
    arguments = ("--runs", str(QUIRKS + 1), "--quirks", "--profile", "demo", "--fcl", "dumped", "--gaps", "0")
    site.make(*arguments, "--first", str(FIRST), "--crash", "0")
    site.settings = "[watch]\nfinal_wait_seconds = 2.0\n"  # some lack files that they name
    site.configure()
    daemon = site.start("run")
    unlistable = {run for run, facts in site.planned().items() if facts["quirks"] == ["unreadable_directory"]}
    unlistable = {run for run in unlistable if not _listable(site, run)}
    wanted = set(range(FIRST, FIRST + QUIRKS)) - unlistable
    rows = site.wait(lambda rows: all(run in rows and rows[run].state is State.VERIFIED for run in wanted))
    assert site.stop(daemon) == 130
    doubles = {run for run, row in rows.items() if row.state is State.IGNORED}
    assert set(rows) - doubles == set(range(FIRST, FIRST + QUIRKS + 1)), "no odd name was taken for a run"
    assert all((site.records / str(run)).is_symlink() for run in doubles)
    assert "UNEXPECTED ERROR" not in site.log
    for run in sorted(wanted):
        site.assert_proven(rows[run])
        assert_faithful(site, run)


def assert_faithful(site: Site, run: int) -> None:
    """What UconDB holds of a run says what its record says, entity by entity; every file has a known fate."""
    record = read_run_record(site.records / str(run), run)
    prepared = prepare(record, BY_DEFAULT)
    held = dict(unpack(site.blob(run)).files)
    meant = {file.name: file.fcl for file in (*prepared.files, *prepared.update)}
    assert set(held) == {*meant, "hashes.fcl", "schema.fcl"}
    for name, fcl in meant.items():
        assert held[name] == as_stored(fcl), f"run {run}: {name}"
        assert values(held[name] or b"\n") == values(fcl), f"run {run}: {name}"
    names = {file.name for file in record.files} | {left.name for left in record.left_out}
    sources = {file.source for file in prepared.files if file.source} | {one.name for one in prepared.rejected}
    assert names == sources | {left.name for left in prepared.left_out}


def _listable(site: Site, run: int) -> bool:
    """Tell whether we may list a run's directory (root may list any)."""
    try:
        return bool(list((site.records / str(run)).iterdir()))
    except PermissionError:
        return False
