"""`archiverd check --bundle FILE`: what a maintainer asks for, in one file and without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import platform
import shutil
import sqlite3
import ssl
import sys
import tarfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd import __version__
from archiverd.artdaqdb.tools.command import run_command
from archiverd.config.paths import journal_path, last_exit_path
from archiverd.config.provenance import origins
from archiverd.config.secrecy import HIDDEN
from archiverd.core.errors import ArchiverError
from archiverd.detached import run_detached
from archiverd.disk import RealDisk
from archiverd.doctor import redaction
from archiverd.doctor.bundle_environment import describe_environment, read_daemon_environment
from archiverd.doctor.checkup import to_json
from archiverd.doctor.files import permissions
from archiverd.doctor.machine import requirements
from archiverd.doctor.process_state import make_status_report
from archiverd.journal.queries import select_counts, select_holds
from archiverd.journal.schema import connect, select_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from archiverd.doctor.finding import Finding
    from archiverd.doctor.subject import Subject

LINES = 100
"""Last lines of the log that are taken."""
PART_SECONDS = 10.0
"""Longest time that a part may take."""
LOG_BYTES = 2 << 20
"""Bytes at the end of a log file that are searched for its last lines."""

README = """What `archiverd check --bundle` wrote on {when}, with archiverd {version}.

config.txt        every setting, and where its value came from
{name:<17} the configuration file
check.txt         what `archiverd check` found; check.json the same as JSON
status.json       what `archiverd status --json` says
journal.json      the journal: schema version, runs by state, backends that are left alone
log.txt           the last {lines} lines of the log
last_exit.json    how the last process ended: exit code, time, reason
environment.txt   variables that matter, of this command and of the running daemon
versions.txt      archiverd, Python, packages, operating system
work_dir.txt      the files in the work directory

Secrets were taken out wherever they stood and read {hidden} now.
"""


@dataclass(frozen=True, slots=True)
class Material:
    """What the parts of a bundle are made of."""

    subject: Subject
    findings: Sequence[Finding]
    daemon: Mapping[str, str]
    """The environment of the running daemon; empty if it cannot be read."""
    redact: redaction.Redactor


def refuse_if_there(path: Path) -> None:
    """Raise ArchiverError if ``path`` is taken, or in a directory that is not there; called before all the work."""
    if os.path.lexists(path):
        raise ArchiverError(f"{path} is there already and is not overwritten", remedy="name another file, or remove it")
    if not path.absolute().parent.is_dir():
        raise ArchiverError(f"There is no directory {path.absolute().parent}", remedy="make it, or name another file")


async def write_bundle(path: Path, subject: Subject, findings: Sequence[Finding]) -> list[str]:
    """Write the bundle, for its owner's eyes only; return the names of its parts.

    A part that cannot be made says why. Raise ArchiverError if ``path`` is there already.
    """
    daemon = await run_detached(lambda: read_daemon_environment(subject.settings))
    redact = await run_detached(lambda: redaction.make_redactor(subject.path, subject.settings, os.environ, daemon))
    material = Material(subject, findings, daemon, redact)
    parts = _plan_parts(material)
    texts = await asyncio.gather(*(_make_part(make) for make in parts.values()))
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    name = "config.*" if subject.path is None else _file_name(subject.path)
    readme = README.format(when=when, version=__version__, name=name, lines=LINES, hidden=HIDDEN)
    contents = {"README.txt": readme} | {part: redact(text) for part, text in zip(parts, texts, strict=True)}
    try:
        await run_detached(lambda: RealDisk().create(path, _pack(contents), mode=0o600))
    except FileExistsError:
        refuse_if_there(path)
        raise
    return list(contents)


def _plan_parts(material: Material) -> dict[str, Callable[[], Awaitable[str]]]:
    """Return the functions that make the parts, by the names of the parts."""
    subject, settings = material.subject, material.subject.settings
    parts: dict[str, Callable[[], Awaitable[str]]] = {
        "check.txt": _threaded(lambda: _report(material.findings)),
        "check.json": _threaded(lambda: json.dumps(to_json(material.findings), indent=1)),
        "versions.txt": _threaded(_versions),
        "environment.txt": _threaded(lambda: describe_environment(subject.path, material.daemon)),
        "config.txt": _threaded(lambda: _config(subject)),
    }
    if subject.path is not None:
        path = subject.path
        parts[_file_name(path)] = _threaded(lambda: material.redact.redact_file(path.read_text(errors="replace")))
    if settings is not None:
        parts |= {
            "status.json": _threaded(lambda: json.dumps(make_status_report(settings).to_json(), indent=1)),
            "journal.json": _threaded(lambda: _journal(journal_path(settings))),
            "last_exit.json": _threaded(lambda: last_exit_path(settings).read_text(errors="replace")),
            "work_dir.txt": _threaded(lambda: _listing(settings.app.work_dir)),
        }
    log_file = None if settings is None else settings.app.log_file
    parts["log.txt"] = _systemd_log if log_file is None else _threaded(lambda: _log_file(log_file))
    return parts


def _threaded(work: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    return lambda: run_detached(work)


async def _make_part(make: Callable[[], Awaitable[str]]) -> str:
    """Return a part, or why it could not be made: a maintainer learns from that too."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            return await make()
    except Exception as error:  # noqa: BLE001 - whatever it is, the part says so
        return f"could not be made: {type(error).__name__}: {error}\n"


def _file_name(path: Path) -> str:
    return f"config-file{path.suffix or '.toml'}"


def _report(findings: Sequence[Finding]) -> str:
    lines = []
    for one in findings:
        lines.append(f"{one.status:<8} {one.name}: {one.message}")
        lines += [f"         remedy: {one.remedy}"] if one.remedy else []
    return "\n".join(lines) + "\n"


def _versions() -> str:
    system = platform.freedesktop_os_release() if os.path.exists("/etc/os-release") else {}
    facts = {
        "archiverd": __version__,
        "python": f"{sys.version.replace(chr(10), ' ')} ({sys.executable})",
        "kernel": " ".join(platform.uname()),
        "system": system.get("PRETTY_NAME", "unknown"),
        "libc": " ".join(platform.libc_ver()),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
    }
    for name, _ in requirements():
        with contextlib.suppress(metadata.PackageNotFoundError):
            facts[name] = metadata.version(name)
    return "".join(f"{name}: {value}\n" for name, value in facts.items())


def _config(subject: Subject) -> str:
    text = f"file: {subject.path}\n"
    if subject.error is not None:
        text += f"{subject.error.name}: {subject.error}\n"
    if subject.settings is None or subject.path is None:
        return text
    for one in origins(subject.settings, subject.path, subject.environment):
        name = f"{one.section}.{one.key}" if one.section else one.key
        text += f"{name} = {one.value}    # {one.source}\n"
    return text


def _journal(path: Path) -> str:
    if not path.exists():
        return json.dumps({"path": str(path), "exists": False}) + "\n"
    with contextlib.closing(connect(str(path), read_only=True)) as db:
        version = select_version(db)
        facts = {
            "path": str(path),
            "bytes": path.stat().st_size,
            "schema_version": version,
            "counts": {str(state): count for state, count in select_counts(db).items()} if version else {},
            "holds": [{"backend": one.backend, "cause": one.cause} for one in select_holds(db)] if version else [],
        }
    return json.dumps(facts, indent=1) + "\n"


def _listing(directory: Path) -> str:
    lines = [f"{permissions(directory)} {directory}"]
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            found = entry.stat(follow_symlinks=False)
            changed = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.st_mtime))
            lines.append(f"{permissions(Path(entry.path))} {found.st_size:>12} {changed} {entry.name}")
    return "\n".join(lines) + "\n"


def _log_file(path: Path) -> str:
    """Return the last lines of the log file, and of the one before if it was rotated just now."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda one: one.stat().st_mtime, reverse=True)
    lines: list[str] = []
    for one in (path, *older[:1]):
        if one.exists() and len(lines) < LINES:
            lines = _tail(one)[-(LINES - len(lines)) :] + lines
    return f"the last {len(lines)} lines of {path}:\n" + "\n".join(lines) + "\n"


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
        return file.read().decode(errors="replace").splitlines()[-LINES:]


async def _systemd_log() -> str:
    """Return the last lines in the systemd journal, if there is one."""
    program = shutil.which("journalctl")
    if program is None:
        return "app.log_file is not set, and there is no journalctl\n"
    words = [program, "--no-pager", "--quiet", f"--lines={LINES}", "--output=short-iso", "--identifier=archiverd"]
    output = await run_command(words, os.environ, PART_SECONDS)
    text = output.stdout.decode(errors="replace")
    return f"{' '.join(words)}\n{text or 'no lines: '}{output.stderr}"


def _pack(contents: Mapping[str, str]) -> bytes:
    """Return a .tar.gz with one directory of these texts."""
    now = time.time()
    top = time.strftime("archiverd-%Y%m%d-%H%M%S", time.localtime(now))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in contents.items():
            data = text.encode("utf-8", "replace")
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime, member.mode = len(data), int(now), 0o600
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
