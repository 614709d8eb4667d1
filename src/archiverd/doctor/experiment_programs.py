"""The experiment's own programs, where they are configured: conftoolp, its libraries, and the tools."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from archiverd.artdaqdb.backends import through_conftoolp, through_tools
from archiverd.artdaqdb.filesystem.store import SCHEME
from archiverd.artdaqdb.tools.command import environment, run_command
from archiverd.detached import run_detached
from archiverd.doctor.examination import LONGEST_SECONDS, Examination
from archiverd.doctor.finding import Finding, Status, failed, ok, skipped, warning

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from archiverd.config.models import ArtdaqDb

BUNDLE, LIBRARIES, IMPORT, ANSWERS = "conftoolp bundle", "conftoolp libraries", "conftoolp import", "conftoolp database"
TOOLS = "artdaqDB tools"

_MISSING = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
_BUNDLE_REMEDY = (
    "artdaq_db.conftoolp_dir must be the directory that holds conftoolp.py, _conftoolp.so and their libraries"
)


def conftoolp_examinations(database: ArtdaqDb, seconds: float) -> list[Examination]:
    """Return the examinations where conftoolp is the backend; one of its calls may take ``seconds``.

    A FileSystemDB is not asked through the library: that would take the writer's lock.
    """
    on_files = database.database_uri.startswith(SCHEME)

    async def run() -> AsyncGenerator[Finding]:
        directory = database.conftoolp_dir
        if directory is None:
            yield failed(BUNDLE, "conftoolp_dir is required", _BUNDLE_REMEDY)
            return
        bundle = await run_detached(lambda: _bundle(directory))
        yield bundle
        if bundle.status is Status.FAILED:
            return
        libraries = await _libraries(directory)
        yield libraries
        if libraries.status is Status.FAILED:
            return
        bounded = database.model_copy(update={"call_timeout_seconds": min(database.call_timeout_seconds, seconds)})
        library = through_conftoolp(bounded, 1)
        await library.check_import()
        yield ok(IMPORT, f"{database.conftoolp_python or sys.executable} imports it")
        if not on_files:
            try:
                await library.open()
                yield ok(ANSWERS, "the library lists its versions")
            finally:
                await library.close()

    names = (BUNDLE, LIBRARIES, IMPORT) if on_files else (BUNDLE, LIBRARIES, IMPORT, ANSWERS)
    return [Examination(names, run, LONGEST_SECONDS)]


def tools_examinations(database: ArtdaqDb) -> list[Examination]:
    """Return the examinations where bulkloader and bulkdownloader are the backend."""

    async def run() -> AsyncGenerator[Finding]:
        await through_tools(database).check_tools()
        where = f"on {database.remote_host}, over ssh" if database.remote_host else "on this host"
        yield ok(TOOLS, f"bulkloader and bulkdownloader are there, {where}")

    return [Examination((TOOLS,), run, LONGEST_SECONDS)]


def _bundle(directory: Path) -> Finding:
    """Are conftoolp.py and its extension module there?"""
    if not directory.is_dir():
        return failed(BUNDLE, f"{directory} is not a directory", _BUNDLE_REMEDY)
    module = directory / "conftoolp.py"
    if not os.access(module, os.R_OK, effective_ids=True):
        how = "may not be read" if module.exists() else "is not there"
        return failed(BUNDLE, f"No module named 'conftoolp': {module} {how}", _BUNDLE_REMEDY)
    extension = _extension(directory)
    if extension is None:
        return warning(BUNDLE, f"{directory} holds conftoolp.py but no _conftoolp.so", _BUNDLE_REMEDY)
    return ok(BUNDLE, f"{module}, {extension.name}")


def _extension(directory: Path) -> Path | None:
    """Return the extension module of the library, whichever Python it was built for."""
    return next(iter(sorted(directory.glob("_conftoolp*.so"))), None)


async def _libraries(directory: Path) -> Finding:
    """Are all shared libraries found that the extension needs, as its child process would search for them?"""
    extension, ldd = await run_detached(lambda: _extension(directory)), shutil.which("ldd")
    if extension is None or ldd is None:
        return skipped(LIBRARIES, "there is no _conftoolp.so" if extension is None else "there is no ldd on PATH")
    output = await run_command([ldd, str(extension)], environment(os.environ, {}, str(directory)), 5.0)
    text = output.stdout.decode(errors="replace")
    missing = sorted(set(_MISSING.findall(text)))
    if missing:
        return failed(
            LIBRARIES,
            f"{missing[0]}: cannot open shared object file: No such file or directory"
            + (f" (nor {', '.join(missing[1:])})" if missing[1:] else ""),
            f"put it into {directory}, or into LD_LIBRARY_PATH where archiverd is started",
        )
    if output.code:
        return failed(
            LIBRARIES, f"{extension}: {(output.stderr or text).strip()}", "copy the bundle anew: it is damaged"
        )
    return ok(LIBRARIES, f"all {text.count('=>')} that {extension.name} needs are found")
