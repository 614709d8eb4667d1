"""`export`: a run's files back from both databases, beside a daemon and without one."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from archiverd.config.loader import load
from archiverd.core.machine import State
from archiverd.runrecord.blob import unpack
from archiverd.ucondb.client import make_ucondb
from archiverd.ucondb.port import Blob
from tests.e2e.test_operations import ONE_RUN, THREE_RUNS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Site


def put(site: Site, key: str, blob: bytes, *, over: bool = False) -> None:
    """Put a blob of another's into UconDB."""

    async def storing() -> None:
        ucondb = make_ucondb(load(site.root / "archiverd.toml"))
        await ucondb.open()
        theirs = Blob.of(blob)
        await (ucondb.replace(key, theirs, tag=key) if over else ucondb.store(key, theirs, tag=key, look_first=True))
        await ucondb.close()

    asyncio.run(storing())


def files(directory: Path) -> dict[str, bytes]:
    """Return a directory's files."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("running", [True, False], ids=["daemon", "alone"])
def test_a_run_comes_back_from_both_databases(site: Site, running: bool) -> None:
    """The blob's files byte for byte, and the same from artdaqDB, beside a daemon that holds its lock."""
    site.make(*THREE_RUNS)
    if running:
        daemon = site.start("run")
        site.wait(lambda rows: len(rows) == 3 and all(row.state is State.VERIFIED for row in rows.values()))
    else:
        assert site.run("once").returncode == 0
    theirs, ours = site.root / "out" / "ucondb", site.root / "out" / "artdaqdb"
    done = site.run("export", "7", str(theirs))
    assert done.returncode == 0, done.stderr
    assert "bytes from UconDB; the bytes that were proven" in done.stderr
    assert files(theirs) == dict(unpack(site.blob(7)).files)
    assert "metadata.fcl" in files(theirs)
    told = json.loads(site.run("export", "7", str(ours), "--from", "artdaqdb", "--json").stdout)
    assert (told["source"], told["directory"], told["proven"]) == ("artdaqdb", str(ours), None)
    assert files(ours) == files(theirs)
    assert {file["file"]: file["bytes"] for file in told["files"]} == {n: len(d) for n, d in files(ours).items()}
    if running:
        assert site.stop(daemon) == 130


def test_what_cannot_be_exported_is_said_in_words(site: Site) -> None:
    """An unknown run, a directory in use, one of the run records, an unknown folder: exit 1 and nothing written."""
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    out = site.root / "out"
    for arguments, words in (
        (("8", str(out)), "UconDBError: Failed to read run 8 back from UconDB: there is no version under that key"),
        (("8", str(out), "--from", "artdaqdb"), "ArtdaqDBError: Run 8 is not in artdaqDB"),
        (("7", str(site.records)), "is there already, and not an empty directory"),
        (("7", str(site.records / "9")), f"{site.records}/9 lies below {site.records}, where only others write"),
        (("7", str(site.root / "artdaqdb" / "new")), "where only others write"),
    ):
        refused = site.run("export", *arguments)
        assert (refused.returncode, words in refused.stderr, "\nRemedy: " in refused.stderr) == (1, True, True), words
    shutil.rmtree(site.root / "artdaqdb")
    gone = site.run("export", "7", str(out), "--from", "artdaqdb")
    assert (gone.returncode, "Run 7 is not in artdaqDB" in gone.stderr) == (1, True)
    text = (site.root / "archiverd.toml").read_text()
    (site.root / "archiverd.toml").write_text(text.replace('"test01"', '"nowhere"'))
    refused = site.run("export", "7", str(out))
    assert (refused.returncode, "check ucon_db.folder_name" in refused.stderr) == (1, True)
    (site.root / "archiverd.toml").write_text(text.partition("[ucon_db]")[0])
    refused = site.run("export", "7", str(out), "--from", "ucondb")
    assert (refused.returncode, "[ucon_db] is not configured" in refused.stderr) == (1, True)
    assert not out.exists()


def test_blobs_of_others_are_unpacked_with_care(site: Site) -> None:
    """The older tool's have no escapes; names that lead elsewhere become plain files; no other bytes pass as proven."""
    frame = b"Run Number: %d\nPacked on Oct 26 14:30 UTC\n"
    blob = b"Start of Record\n" + frame % 5 + b"\n#####\n%s:\n#####\na: 1\n#####\nb: 2\n\nEnd of Record\n" + frame % 5
    put(site, "5", blob % b"../../escaped.fcl")
    out = site.root / "out"
    done = site.run("export", "5", str(out))
    assert (done.returncode, "'../../escaped.fcl' written as %2E.%2F..%2Fescaped.fcl" in done.stderr) == (0, True)
    assert files(out) == {"%2E.%2F..%2Fescaped.fcl": b"a: 1\n#####\nb: 2\n"}
    assert not list(site.root.rglob("escaped.fcl"))
    site.make(*ONE_RUN)
    assert site.run("once").returncode == 0
    put(site, "7", blob.replace(b"Run Number: 5", b"Run Number: 7") % b"a.fcl", over=True)
    wrong = site.run("export", "7", str(site.root / "wrong"))
    assert (wrong.returncode, "these are not the bytes that were proven" in wrong.stderr) == (1, True)
    assert files(site.root / "wrong") == {"a.fcl": b"a: 1\n#####\nb: 2\n"}
