"""The user we run as, and what that user may do with the directories and files of the configuration."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.config.paths import journal_path, last_exit_path, lock_path, stage_files
from archiverd.core.errors import ArchiverError
from archiverd.core.wording import pluralise
from archiverd.detached import run_detached
from archiverd.doctor.examination import Examination
from archiverd.doctor.finding import Finding, Status, failed, ok, warning
from archiverd.doctor.subject import user_name
from archiverd.process import mounts
from archiverd.watch.directory_scan import scan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from archiverd.config.models import Settings

USER, UMASK = "user", "umask"
WORK_DIR, WORK_FILES, LOCK_PLACE = "work_dir", "work_dir files", "work_dir file system"
RECORDS, NEWEST, WATCHING = "run_records_dir", "newest run records", "run_records_dir watch"

NEWEST_RUNS = 5
"""Newest run directories whose files are tried."""


def examinations(settings: Settings) -> list[Examination]:
    """Return the examinations of this module, in the order of the report."""

    def each(*checks: Callable[[Settings], Finding]) -> Callable[[], AsyncGenerator[Finding]]:
        async def run() -> AsyncGenerator[Finding]:
            for one in checks:
                finding = await run_detached(lambda check=one: check(settings))  # type: ignore[misc]
                yield finding
                if finding.status is Status.FAILED:
                    return

        return run

    return [
        Examination((USER,), each(_user)),
        Examination((WORK_DIR,), each(_work_dir)),
        Examination((WORK_FILES,), each(_work_files)),
        Examination((LOCK_PLACE,), each(_lock_place)),
        Examination((RECORDS, NEWEST), each(_records, _newest)),
        Examination((WATCHING,), each(_watching)),
        Examination((UMASK,), each(_umask)),
    ]


def _user(settings: Settings) -> Finding:
    """Are we the user that archiverd runs as? Every line about permissions is about the user we are."""
    me, work_dir = user_name(), settings.app.work_dir
    try:
        owner = user_name(work_dir.stat().st_uid)
    except OSError:
        owner = me
    if owner != me:
        return warning(
            USER,
            f"you are {me}, but {work_dir} belongs to {owner}: what is said of permissions holds for {me}",
            f"sudo -u {owner} archiverd check",
        )
    if os.geteuid() == 0:
        return warning(
            USER,
            "you are root, whom no permission stops",
            "run archiverd, and this check, as a user of its own (systemd: User=archiver)",
        )
    return ok(USER, f"{me} (uid {os.geteuid()})")


def _work_dir(settings: Settings) -> Finding:
    """May we make, change and remove files in the work directory?"""
    path = settings.app.work_dir
    if not os.path.lexists(path):
        if can_be_made(path):
            return ok(WORK_DIR, f"{path} is not there yet; the first start makes it")
        return failed(
            WORK_DIR,
            f"{path} is not there and {user_name()} cannot make it{obstacle(path)}",
            f"mkdir -p {path} && chown {user_name()} {path} (as root)",
        )
    if not path.is_dir():
        return failed(WORK_DIR, f"{path} is not a directory", "correct app.work_dir")
    try:
        with os.scandir(path) as entries:
            next(entries, None)
        with tempfile.TemporaryFile(dir=path) as file:  # has no name: nobody sees it
            file.write(b"x")
            file.flush()
    except OSError as error:
        return failed(WORK_DIR, f"{path} cannot be written: {error.strerror}{obstacle(path)}", give(path))
    return ok(WORK_DIR, f"{path} ({permissions(path)})")


def _work_files(settings: Settings) -> Finding:
    """May we read and write the files that are there?"""
    log_file = settings.app.log_file
    both = [journal_path(settings), lock_path(settings)]
    both += [path.with_name(path.name + ending) for path in both[:1] for ending in ("-wal", "-shm")]
    replaced = [path for files in stage_files(settings) for path in (files.state, files.failures)]
    directories = {path.parent for path in (*replaced, *both, *([log_file] if log_file else []))}
    denied = [
        path
        for path, mode in [
            *((path, os.R_OK | os.W_OK) for path in both),
            *((path, os.R_OK) for path in (*replaced, last_exit_path(settings))),
            *(
                (directory, os.W_OK | os.X_OK)
                for directory in sorted(directories)
                if directory != settings.app.work_dir
            ),
            *([(log_file, os.W_OK)] if log_file else []),
        ]
        if os.path.lexists(path) and not os.access(path, mode, effective_ids=True)
    ]
    missing = [directory for directory in sorted(directories - {settings.app.work_dir}) if not directory.is_dir()]
    wrong = [f"{path}: Permission denied{obstacle(path)}" for path in denied]
    wrong += [f"{directory} is not a directory" for directory in missing]
    if wrong:
        remedy = f"mkdir -p {missing[0]}" if missing else _let_us(settings.app.work_dir, denied)
        return failed(WORK_FILES, "; ".join(wrong[:3]), remedy)
    return ok(WORK_FILES, "journal, lock, state files, failure logs and log file may be read and written")


def _let_us(work_dir: Path, denied: Sequence[Path]) -> str:
    """Return the remedy for files and directories that we may not use; what is elsewhere may serve others too."""
    elsewhere = [path for path in denied if path.parent != work_dir]
    if not elsewhere:
        return give(work_dir)
    path = elsewhere[0]
    return f"chown {user_name()} {path} (as root), or have app.log_file and the other files of [app] elsewhere"


def _lock_place(settings: Settings) -> Finding:
    """Are lock and journal on a local disk? flock and SQLite's WAL mean nothing between the hosts of a network one."""
    kinds = {}
    for key, path in (("app.work_dir", settings.app.work_dir), ("app.lock_file", lock_path(settings).parent)):
        kinds[key] = mounts.file_system(path)
        if kinds[key] in mounts.NETWORK:
            return failed(
                LOCK_PLACE,
                f"{path} is on {kinds[key]}, a network file system: two archiverd could run at once, unnoticed",
                f"set {key} to a path on a local disk" + (" (e.g. below /var/lib)" if key == "app.work_dir" else ""),
            )
    return ok(LOCK_PLACE, f"{' and '.join(sorted(set(kinds.values()) - {''})) or 'unknown'}, local")


def _records(settings: Settings) -> Finding:
    """Can the run-records directory be listed?"""
    path = settings.source_files.run_records_dir
    try:
        runs = scan(path).runs
    except ArchiverError as error:
        remedy = "correct source_files.run_records_dir; is it mounted?"
        if isinstance(error.__cause__, PermissionError):
            remedy = f"add {user_name()} to the group that may read {path} (usermod -aG), then start a new session"
        return failed(RECORDS, f"{error}: {path}{obstacle(path)}", remedy)
    if not runs:
        return warning(
            RECORDS,
            f"{path} holds no run directory (a name of digits)",
            "right for a new detector; else correct source_files.run_records_dir, or mount it",
        )
    return ok(
        RECORDS, f"{path}: {pluralise(len(runs), 'run directory', 'run directories')}, {min(runs)} to {max(runs)}"
    )


def _newest(settings: Settings) -> Finding:
    """Can the files of the newest run records be read?"""
    root = settings.source_files.run_records_dir
    newest = sorted(scan(root).runs)[-NEWEST_RUNS:]
    unread = []
    for run in newest:
        try:
            with os.scandir(root / str(run)) as entries:
                files = sorted(entry.path for entry in entries if entry.is_file())
            unread += [file for file in files if not os.access(file, os.R_OK, effective_ids=True)]
        except FileNotFoundError:
            continue
        except OSError:
            unread.append(str(root / str(run)))
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        return failed(
            NEWEST,
            f"{unread[0]}{more}: Permission denied{obstacle(Path(unread[0]))}",
            f"let the group of {user_name()} read what DAQInterface writes (its umask, setgid on {root}); "
            f"for what is there: chmod -R g+rX {root}",
        )
    listed = ", ".join(map(str, newest))
    return ok(NEWEST, f"every file of {listed} may be read" if newest else "there is none")


def _watching(settings: Settings) -> Finding:
    """See whether the way of watching suits the file system."""
    root = settings.source_files.run_records_dir
    kind, mode = mounts.file_system(root), settings.watch.mode
    network = kind in mounts.NETWORK
    if network and mode == "inotify":
        return warning(
            WATCHING,
            f"{kind or 'unknown file system'} tells nothing of what other hosts write, so ended runs are seen only "
            f"every {settings.watch.rescan_seconds:g} s",
            'set watch.mode = "auto" or "poll"',
        )
    polled = mode == "poll" or (mode == "auto" and network)
    how = f"listed every {settings.watch.poll_seconds:g} s" if polled else "watched"
    return ok(WATCHING, f"{kind or 'unknown file system'}, {how}")


def _umask(settings: Settings) -> Finding:
    """May others read what we write, and only read?"""
    umask = int(settings.app.umask, 8)
    if umask & stat.S_IRGRP:
        return warning(
            UMASK,
            f"app.umask = {settings.app.umask}: the group cannot read what archiverd writes, artdaqDB's files included",
            'set app.umask = "0022" (or "0027")',
        )
    if not umask & stat.S_IWOTH:
        return warning(
            UMASK,
            f"app.umask = {settings.app.umask}: everybody may change what archiverd writes",
            'set app.umask = "0022" (or "0002" for a group that writes too)',
        )
    return ok(UMASK, f"{settings.app.umask}, whatever the shell's or the unit's is")


def nearest(path: Path) -> Path:
    """Return ``path``, or the first above it that is there."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def can_be_made(path: Path) -> bool:
    """Tell whether we may make a directory that is not there, with those above it."""
    above = nearest(path)
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK, effective_ids=True)


def permissions(path: Path) -> str:
    """Return mode and owner as ``ls -ld`` shows them."""
    found = path.stat()
    return f"{stat.filemode(found.st_mode)} {user_name(found.st_uid)}"


def obstacle(path: Path) -> str:
    """Return in parentheses whose permissions stop us on the way to ``path``; empty if unknown."""
    for one in (*reversed(path.absolute().parents), path):
        try:
            shown = permissions(one)
        except OSError:
            return ""
        if one.is_dir() and one != path and not os.access(one, os.X_OK, effective_ids=True):
            return f" ({one} is {shown})"
    return f" ({shown})"


def give(path: Path) -> str:
    """Return the remedy for a directory that must be ours."""
    return f"chown -R {user_name()} {path} (as root), and chmod u+rwX where that is missing"
