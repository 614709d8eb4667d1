"""Database connection errors: nothing is lost, the cause is named, and mending it is all there is to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State

if TYPE_CHECKING:
    from tests.runbook.conftest import Desk
    from tests.runbook.front import Front

STANDIN = Path(__file__).parents[1] / "artdaqdb" / "conftoolp" / "standin"
LIBRARY = "libartdaq-database_ConfigurationDB.so"


def bundle(desk: Desk) -> Path:
    """Return the directory of the experiment's library, made known to the site; empty."""
    directory = desk.root / "lib"
    directory.mkdir()
    desk.edit("artdaq_db", conftoolp_dir=str(directory), conftoolp_python=sys.executable)
    return directory


def test_both_databases_away_at_once(lone_desk: Desk) -> None:
    """Each is named by its own error; the run waits, and goes through once both are there again."""
    desk = lone_desk
    desk.one_run()
    database = desk.root / "artdaqdb"
    database.write_text("what a mount leaves that is not there")
    said = desk.archiver()
    assert (said.returncode, "ArtdaqDBError: Failed to get configurations: " in said.stderr) == (1, True)
    database.unlink()
    said = desk.archiver()
    assert (said.returncode, "UconDBError: Failed to initialize UConDB client: " in said.stderr) == (1, True)
    desk.served = True
    desk.serve()
    assert desk.archiver().returncode == 0
    desk.prove(7)


def test_the_experiments_library_that_is_not_there(desk: Desk) -> None:
    """Both lines of the guide in one, exit 1; no PYTHONPATH is needed, only the library in its directory."""
    desk.one_run()
    directory = bundle(desk)
    said = desk.archiver()
    assert said.returncode == 1
    assert "Failed to import 'conftoolp'. Ensure artdaq_database env is set up." in said.stderr
    assert "ModuleNotFoundError: No module named 'conftoolp'" in said.stderr
    assert "artdaq_db.conftoolp_dir" in said.stderr
    shutil.copy(STANDIN / "conftoolp.py", directory)
    assert desk.archiver(PYTHONPATH="").returncode == 0
    desk.prove(7)


@pytest.mark.skipif(shutil.which("cc") is None, reason="a shared library is made, and there is no C compiler")
def test_a_shared_library_that_is_not_there(desk: Desk) -> None:
    """The dynamic linker's words, exit 1; no LD_LIBRARY_PATH is needed, only the library beside the others."""
    desk.one_run()
    directory = bundle(desk)
    (directory / "conftoolp.py").write_text((STANDIN / "conftoolp.py").read_text() + "\nimport _conftoolp\n")
    compiled(directory)
    (directory / LIBRARY).rename(desk.root / LIBRARY)
    said = desk.archiver()
    assert said.returncode == 1
    assert f"ImportError: {LIBRARY}: cannot open shared object file: No such file or directory" in said.stderr
    assert "ldd _conftoolp.so" in said.stderr
    (desk.root / LIBRARY).rename(directory / LIBRARY)
    assert desk.archiver(LD_LIBRARY_PATH="").returncode == 0
    desk.prove(7)


def compiled(directory: Path) -> None:
    """Make an extension module that does nothing but need the shared library, as the real one does."""
    code = {
        "database": "int configuration_db(void) { return 0; }\n",
        "module": "#include <Python.h>\nextern int configuration_db(void);\n"
        'static struct PyModuleDef made = {PyModuleDef_HEAD_INIT, "_conftoolp", 0, -1, 0};\n'
        "PyMODINIT_FUNC PyInit__conftoolp(void) { configuration_db(); return PyModule_Create(&made); }\n",
    }
    for name, text in code.items():
        (directory / f"{name}.c").write_text(text)
    shared = ["cc", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    subprocess.run([*shared, "-o", LIBRARY, "database.c"], cwd=directory, check=True)
    library = ["-L.", f"-l:{LIBRARY}"]
    subprocess.run([*shared, "-o", "_conftoolp.so", "module.c", *library], cwd=directory, check=True)


def test_a_mongodb_that_refuses_connections(desk: Desk) -> None:
    """Told with address and cause, without the password, exit 1; with the right URI the run goes through."""
    desk.one_run()
    right = desk.changes.get("artdaq_db", {}).get("database_uri")
    desk.edit("artdaq_db", database_uri="mongodb://archiver:s3cret-pw@127.0.0.1:9/runs_archive", call_timeout_seconds=2)
    said = desk.archiver()
    assert said.returncode == 1
    assert re.search(r"ArtdaqDBError: Failed to get configurations: .*Connection refused", said.stderr)
    assert ("127.0.0.1:9" in said.stderr, "s3cret-pw" in said.stderr) == (True, False)
    desk.edit("artdaq_db", database_uri=right or f"filesystemdb://{desk.root}/artdaqdb")
    assert desk.archiver().returncode == 0
    desk.prove(7)


def test_a_filesystemdb_that_may_not_be_read(desk: Desk) -> None:
    """Told with the path, exit 1; once archiverd may, the run goes through."""
    desk.one_run()
    database = desk.root / "artdaqdb"
    database.mkdir(mode=0)
    said = desk.archiver(unprivileged=True)
    database.chmod(0o755)
    assert said.returncode == 1
    assert re.search(r"ArtdaqDBError: Failed to get configurations: .*Permission denied", said.stderr)
    assert str(database) in said.stderr
    assert desk.archiver(unprivileged=True).returncode == 0
    desk.prove(7)


def test_a_filesystemdb_uri_with_two_slashes(desk: Desk) -> None:
    """Told as a mistake of the configuration, with the right form."""
    desk.edit("artdaq_db", database_uri=f"filesystemdb:/{desk.root}/artdaqdb")
    said = desk.archiver()
    assert (said.returncode, "filesystemdb:///" in said.stderr) == (1, True)


def test_a_run_that_is_archived_already(desk: Desk) -> None:
    """The same run is recognised, whatever was forgotten; another one under its number is refused and decided on."""
    desk.one_run()
    assert desk.archiver().returncode == 0
    desk.lose_the_journal()
    again = desk.archiver()
    assert (again.returncode, "already archived" in again.stderr) == (0, False)
    desk.prove(7)
    desk.lose_the_journal()
    metadata = desk.records / "7" / "metadata.txt"
    metadata.write_text(re.sub(r"(start time: ).*", r"\1Mon Jan  1 00:00:00 UTC 2001", metadata.read_text()))
    name = re.search(r"Config name: (\S+)", metadata.read_text())
    assert name is not None
    refused = desk.archiver()
    assert refused.returncode == 1
    assert f"[Import] [Run 7] ArtdaqDBError: Configuration 7/{name[1]} is already archived." in refused.stderr
    assert "archiverd waive 7 --reason" in desk.run("why", "7").stdout
    assert desk.run("waive", "7", "--reason", "number used twice").returncode == 0
    assert desk.archiver().returncode == 0
    assert desk.versions() == {7: 1}


def test_ucondb_cannot_be_reached(lone_desk: Desk) -> None:
    """The guide's words and exit 1, the import done all the same; once the server is there the run goes through."""
    desk = lone_desk
    desk.one_run()
    said = desk.archiver()
    assert said.returncode == 1
    assert "[Migration] UconDBError: Failed to initialize UConDB client: Connection refused" in said.stderr
    assert desk.rows()[7].state is State.IMPORTED
    assert "UconDB is away" in desk.run("why", "7").stdout
    desk.served = True
    desk.serve()
    assert desk.archiver("--migrate-only").returncode == 0
    desk.prove(7)


def test_ucondb_forbids_writing(desk: Desk, front: Front) -> None:
    """The guide's words and exit 1; once the user may write the run goes through, nothing was stored twice."""
    desk.one_run()
    front.forbids_writing = True
    said = desk.archiver()
    assert said.returncode == 1
    assert "[Migration] [Run 7] UconDBError: Failed to upload blob for run 7: 403 Forbidden" in said.stderr
    assert "writer_user" in desk.run("why", "7").stdout
    front.forbids_writing = False
    assert desk.archiver("--retry-failed-migrate").returncode == 0
    assert desk.archiver().returncode == 0
    desk.prove(7)
    assert desk.versions() == {7: 1}
