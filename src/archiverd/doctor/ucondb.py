"""The way to UconDB, step by step: URL, name, port, certificate, answer, folder, login. Nothing is stored there."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import time
from typing import TYPE_CHECKING

from archiverd.config.ucondb import URL_FORM, ServerUrl, missing_for_migration, parse_server_url
from archiverd.core.errors import UconDBError
from archiverd.detached import run_detached
from archiverd.doctor import certificate
from archiverd.doctor.examination import LONGEST_SECONDS, Examination
from archiverd.doctor.finding import Finding, Status, failed, ok, skipped, warning
from archiverd.status.report import TLS_OFF
from archiverd.ucondb.client import HttpUconDB
from archiverd.ucondb.http import system_message, tls_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from archiverd.config.models import Settings

URL, NAME, PORT, CERTIFICATE = "UconDB URL", "UconDB name", "UconDB port", "UconDB certificate"
ANSWER, FOLDER, LOGIN, PENDING, CLOCK = (
    "UconDB answer",
    "UconDB folder",
    "UconDB login",
    "UconDB pending folder",
    "clock",
)

STEP_SECONDS = 4.0
"""Longest time of one step: a firewall that swallows packets never answers."""
WARNED_DAYS = 21.0
"""Days before its end from which a certificate is to be renewed."""
SKEW_WARNED, SKEW_FAILED = 5.0, 120.0
"""Seconds between our clock and UconDB's, which is given to the second."""
FREE_KEY = "0"
"""No run has this number."""


def examinations(settings: Settings, *, migrating: bool) -> list[Examination]:
    """Return the examinations of this module, in the order of the report."""
    pending = (PENDING,) if settings.ucon_db.pending_folder_name else ()
    names = (URL, NAME, PORT, CERTIFICATE, ANSWER, CLOCK, FOLDER, LOGIN, *pending) if migrating else (URL,)

    async def run() -> AsyncGenerator[Finding]:
        if not migrating:
            yield skipped(URL, "UconDB is not looked at with --import-only")
            return
        server, finding = _url(settings.ucon_db.server_url)
        yield finding
        if server is None:
            return
        async with contextlib.aclosing(_reach(settings, server)) as reaching:
            async for finding in reaching:
                yield finding
                if finding.status is Status.FAILED:
                    return
        async with contextlib.aclosing(_ask(settings)) as asking:
            async for finding in asking:
                yield finding

    return [Examination(names, run, LONGEST_SECONDS)]


def _url(url: str) -> tuple[ServerUrl | None, Finding]:
    """Return where the server is, unless the URL cannot be meant; it is never shown: it may hold a password."""
    form = f"the form is {URL_FORM}, without user or password"
    if not url:
        return None, failed(URL, "server_url is required", f"set ucon_db.server_url: {form}")
    try:
        server = parse_server_url(url)
    except ValueError as error:
        return None, failed(URL, f"ucon_db.server_url {error}", form)
    return server, ok(URL, url)


async def _reach(settings: Settings, server: ServerUrl) -> AsyncGenerator[Finding]:
    """Look up the name, connect, prove the certificate."""
    try:
        async with asyncio.timeout(STEP_SECONDS):
            found = await run_detached(lambda: socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM))
    except TimeoutError:
        yield failed(NAME, f"no name server answers within {STEP_SECONDS:g} s", "see /etc/resolv.conf and the network")
        return
    except OSError as error:
        remedy = f"correct ucon_db.server_url; `getent hosts {server.host}` must give an address"
        yield failed(NAME, f"the server's name {server.host} cannot be resolved: {error.strerror}", remedy)
        return
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    yield ok(NAME, f"{server.host} is {', '.join(addresses)}")
    address, finding = await _connect(server, addresses)
    yield finding
    if address is not None:
        yield await _certificate(settings, server, address)


async def _connect(server: ServerUrl, addresses: list[str]) -> tuple[str | None, Finding]:
    """Return the address that takes connections, and the line about it."""
    messages: list[str] = []
    seconds = STEP_SECONDS / len(addresses)
    for address in addresses:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                _, writer = await asyncio.open_connection(address, server.port)
        except TimeoutError:
            messages.append(f"Connection timed out (connect timeout={seconds:g}): {address}, port {server.port}")
        except OSError as error:
            messages.append(f"{system_message(error)}: {address}, port {server.port}")
        else:
            milliseconds = (time.monotonic() - begun) * 1000
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return address, ok(PORT, f"{address}, port {server.port}: connected in {milliseconds:.0f} ms")
    remedy = (
        "is the UconDB server up, and the port of ucon_db.server_url right? ask its administrators"
        if all("refused" in one for one in messages)
        else "a firewall or a route is in the way: ask for access to that port from this host"
    )
    return None, failed(PORT, "; ".join(messages), remedy)


async def _certificate(settings: Settings, server: ServerUrl, address: str) -> Finding:
    """Prove the certificate as uploads will."""
    u = settings.ucon_db
    if server.scheme == "http":
        if ipaddress.ip_address(address).is_loopback:
            return ok(CERTIFICATE, "http:// on this host: there is none")
        message = "http:// encrypts nothing and proves nothing: nobody knows which server gets the runs"
        return warning(CERTIFICATE, message, "use https:// in ucon_db.server_url, if the server offers it")
    if not u.verify_tls:
        return await _unverified(server, address)
    return await _proof(server, address, u.ca_file)


async def _proof(server: ServerUrl, address: str, ca_file: Path | None) -> Finding:
    """Shake hands as uploads will; if the certificate is not proven, say what it contains."""
    try:
        context = await asyncio.to_thread(tls_context, verify=True, ca_file=ca_file)
    except OSError as error:
        message = f"cannot use {ca_file}: {system_message(error)}"
        return failed(CERTIFICATE, message, "ucon_db.ca_file must be a readable PEM file of certificates")
    try:
        async with asyncio.timeout(STEP_SECONDS):
            found = await certificate.proven(address, server.port, server.host, context)
    except ssl.SSLCertVerificationError as error:
        seen = await _shown(server, address)
        message = f"TLS certificate verification failed: {error.verify_message}"
        return failed(
            CERTIFICATE,
            message + (f"; {seen.to_json()}" if seen else ""),
            _certificate_remedy(error, server, seen, ca_file),
        )
    except TimeoutError:
        return failed(CERTIFICATE, f"no TLS handshake within {STEP_SECONDS:g} s", "ask the UconDB administrators")
    except OSError as error:
        remedy = "does the server speak TLS on that port? if not, correct ucon_db.server_url (http:// or the port)"
        return failed(CERTIFICATE, system_message(error), remedy)
    if found.days < WARNED_DAYS:
        message = f"expires in {found.days:.0f} days: {found.to_json()}"
        return warning(CERTIFICATE, message, "ask the UconDB administrators to renew it")
    return ok(CERTIFICATE, f"proven for {found.days:.0f} more days: {found.to_json()}")


async def _unverified(server: ServerUrl, address: str) -> Finding:
    seen = await _shown(server, address)
    remedy = "remove that line; ucon_db.ca_file names the certificates of a private authority"
    return warning(CERTIFICATE, TLS_OFF + (f"; {seen.to_json()}" if seen else ""), remedy)


async def _shown(server: ServerUrl, address: str) -> certificate.Certificate | None:
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await certificate.shown(address, server.port, server.host)
    except TimeoutError:
        return None


def _certificate_remedy(
    error: ssl.SSLCertVerificationError, server: ServerUrl, seen: certificate.Certificate | None, ca_file: Path | None
) -> str:
    """Return the remedy for a certificate that is not proven: never to ignore that, as `curl -k` does."""
    words = error.verify_message.lower()
    if "mismatch" in words or "not valid for" in words:
        names = " or ".join(seen.hosts) if seen and seen.hosts else "the name in the certificate"
        return f"write {names} instead of {server.host} in ucon_db.server_url, or have it certified for {server.host}"
    if "expired" in words or "not yet valid" in words:
        return "ask the UconDB administrators to renew it; if its dates are right, this host's clock is not"
    now = f" (it is {ca_file} now)" if ca_file else ""
    return f"put the certificate of the authority that issued it into a PEM file and name that in ucon_db.ca_file{now}"


async def _ask(settings: Settings) -> AsyncGenerator[Finding]:
    """Ask the server, the folder, and whether our login is taken."""
    missing = missing_for_migration(settings.ucon_db)
    async with _opened(settings, settings.ucon_db.folder_name) as ucondb:
        begun = time.monotonic()
        await ucondb.check_server()
        yield ok(ANSWER, f"server and database answer in {(time.monotonic() - begun) * 1000:.0f} ms")
        yield await _clock(ucondb)
        if missing:
            yield skipped(FOLDER, f"{missing[0]} is required")
        else:
            await ucondb.look_up(FREE_KEY)
            yield ok(FOLDER, f"{settings.ucon_db.folder_name} is there")
        yield await _login(settings, ucondb, missing)
    if settings.ucon_db.pending_folder_name:
        yield await _pending(settings, missing)


async def _login(settings: Settings, ucondb: HttpUconDB, missing: list[str]) -> Finding:
    """Check that our user may write, by a request that can store nothing (ucondb_protocol.md section 7)."""
    if missing:
        return skipped(LOGIN, f"{missing[0]} is required")
    user, folder = settings.ucon_db.writer_user, settings.ucon_db.folder_name
    try:
        await ucondb.check_login()
    except UconDBError as error:
        return failed(LOGIN, str(error), _login_remedy(error, user, folder))
    return ok(LOGIN, f"{user} may write to {folder}; nothing was stored")


def _login_remedy(error: UconDBError, user: str, folder: str) -> str:
    """Return what to do about a login that is refused: 401 is who we are, 403 what we may."""
    status = error.context.get("status")
    if status == 403:
        return f"{user} is known and may not write to {folder}: ask the UconDB administrators for write access"
    if status == 401 and "proxy" not in error.remedy:
        return f"user or password is wrong for {folder}: correct ucon_db.writer_user, writer_password or folder_name"
    return error.remedy


async def _pending(settings: Settings, missing: list[str]) -> Finding:
    """Check that the pending folder is there and takes our login."""
    folder = settings.ucon_db.pending_folder_name
    if missing:
        return skipped(PENDING, f"{missing[0]} is required")
    try:
        async with _opened(settings, folder) as ucondb:
            await ucondb.look_up(FREE_KEY)
            await ucondb.check_login()
    except UconDBError as error:
        return failed(PENDING, str(error), _login_remedy(error, settings.ucon_db.writer_user, folder))
    return ok(PENDING, f"{folder} is there and {settings.ucon_db.writer_user} may write to it; nothing was stored")


async def _clock(ucondb: HttpUconDB) -> Finding:
    """Compare our clock with UconDB's, to the second."""
    greeting = await ucondb.read_server_info()
    if greeting.clock is None:
        return skipped(CLOCK, "the server does not tell its time")
    skew = time.time() - greeting.clock
    here = f"{time.strftime('%Y-%m-%d %H:%M:%S %Z')}, UconDB {greeting.version}"
    if abs(skew) < SKEW_WARNED:
        return ok(CLOCK, f"agrees with UconDB's: {here}")
    message = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} UconDB's: {here}"
    remedy = "see whether chronyd or ntpd runs (timedatectl); if it is right here, tell the UconDB administrators"
    return (failed if abs(skew) > SKEW_FAILED else warning)(CLOCK, message, remedy)


@contextlib.asynccontextmanager
async def _opened(settings: Settings, folder: str) -> AsyncIterator[HttpUconDB]:
    """Give a client that is not patient; what its settings lack is made up, and then not asked for."""
    u = settings.ucon_db
    made_up = {"object_name": u.object_name or "unset", "writer_user": u.writer_user or "unset"}
    section = u.model_copy(update={**made_up, "timeout_seconds": min(u.timeout_seconds, STEP_SECONDS)})
    ucondb = HttpUconDB(section, folder=folder or "unset", rereads=0)
    await ucondb.open()
    try:
        yield ucondb
    finally:
        await ucondb.close()
