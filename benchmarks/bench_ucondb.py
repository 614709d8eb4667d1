"""What does our UconDB client cost beside a bare put and get, and how much memory does a large blob need?

The bundled server runs in a process of its own. For each size, in alternation and with new bytes each time:
``HttpUconDB.store`` (put, read back, SHA-256, Adler-32), and the same two requests with httpx alone (login known,
connection kept, only the status checked). Then a fresh process stores a blob of --blob bytes and reads it back in a
stream; the result is the peak rise of its resident memory without the blob itself.

    python benchmarks/bench_ucondb.py --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr

from archiverd.config.models import UconDb
from archiverd.demo import processes
from archiverd.demo.runs import remove_tree
from archiverd.ucondb.client import HttpUconDB
from archiverd.ucondb.digest import authorization, parse_challenge
from archiverd.ucondb.port import Blob, StoreOutcome
from archiverd.ucondb.urls import RequestTargets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SIZES = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "20 MiB": 20 << 20}
WARM_UP = 3
MIB = 1 << 20


def settings_of(url: str, password: str) -> UconDb:
    """Return the settings of a client of the server at ``url``."""
    return UconDb(
        server_url=url,
        folder_name=processes.FOLDER,
        object_name=processes.OBJECT,
        writer_user=processes.USER,
        writer_password=SecretStr(password),
        timeout_seconds=60,
    )


async def learn_login(bare: httpx.AsyncClient, settings: UconDb) -> dict[str, str]:
    """Return the headers of a login that is valid for every put: the server compares no request with it (section 7)."""
    target = RequestTargets.of(settings).data(tv="x")
    reply = await bare.post(target)
    challenge = parse_challenge(reply.headers["www-authenticate"])
    if challenge is None:
        raise RuntimeError("the server gave no challenge")
    signed = authorization(
        challenge,
        settings.writer_user,
        settings.writer_password.get_secret_value(),
        method="POST",
        target=target,
        count=1,
        cnonce="00",
    )
    return {"Authorization": signed}


def bare_loop(
    bare: httpx.AsyncClient, settings: UconDb, login: dict[str, str]
) -> Callable[[str, bytes], Awaitable[None]]:
    """Return a function that puts a blob and gets it again with httpx alone, unchecked."""

    async def put_and_get(key: str, blob: bytes) -> None:
        put = await bare.post(
            RequestTargets.of(settings).data(full_meta="yes", key=key, tag=key), content=blob, headers=login, timeout=60
        )
        put.raise_for_status()
        got = await bare.get(RequestTargets.of(settings).data(key=key), timeout=60)
        got.raise_for_status()
        got.read()

    return put_and_get


def our_loop(ucondb: HttpUconDB) -> Callable[[str, bytes], Awaitable[None]]:
    """Return a function that stores a blob with our client."""

    async def store(key: str, blob: bytes) -> None:
        if await ucondb.store(key, Blob.of(blob), tag=key, look_first=False) is not StoreOutcome.PROVEN:
            raise RuntimeError(f"key {key} is not proven")

    return store


async def compare(settings: UconDb, seconds: float) -> None:
    """Print the table of both loops; each size takes about ``seconds``."""
    origin = re.sub(r"(//[^/]+)/.*", r"\1", settings.server_url)
    ucondb = HttpUconDB(settings, rereads=2)
    await ucondb.open()
    async with httpx.AsyncClient(base_url=origin, trust_env=False) as bare:
        loops = {"bare": bare_loop(bare, settings, await learn_login(bare, settings)), "ours": our_loop(ucondb)}
        print("| blob | rounds | bare httpx, median | store, median | speed of bare | p10-p90 bare | p10-p90 ours |")
        print("|---|---|---|---|---|---|---|")
        for name, size in SIZES.items():
            times = await take_turns(loops, name.replace(" ", ""), size, seconds)
            medians = {who: statistics.median(times[who]) for who in loops}
            spreads = [" - ".join(f"{cut * 1e3:.2f}" for cut in _p10_p90(times[who])) for who in loops]
            print(
                f"| {name} | {len(times['bare'])} | {medians['bare'] * 1e3:.2f} ms | {medians['ours'] * 1e3:.2f} ms "
                f"| {medians['bare'] / medians['ours']:.1%} | {spreads[0]} ms | {spreads[1]} ms |",
                flush=True,
            )
    await ucondb.close()


async def take_turns(
    loops: dict[str, Callable[[str, bytes], Awaitable[None]]], name: str, size: int, seconds: float
) -> dict[str, list[float]]:
    """Return the seconds of each round of each loop; the order alternates between rounds."""
    times: dict[str, list[float]] = {who: [] for who in loops}
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end or turn < 2 * WARM_UP:
        for who in list(loops)[:: 1 if turn % 2 else -1]:
            blob = os.urandom(size)
            begun = time.perf_counter()
            await loops[who](f"{name}-{who}-{turn}", blob)
            if turn >= WARM_UP:
                times[who].append(time.perf_counter() - begun)
        turn += 1
    return times


def _p10_p90(times: list[float]) -> tuple[float, float]:
    deciles = statistics.quantiles(times, n=10, method="inclusive")
    return deciles[0], deciles[-1]


async def weigh(settings: UconDb, size: int) -> None:
    """Print the peak memory that storing and reading back one blob of ``size`` bytes adds to this process."""
    ucondb = HttpUconDB(settings, rereads=2)
    await ucondb.open()
    await ucondb.store("warm-up", Blob.of(os.urandom(MIB)), tag="warm-up", look_first=False)
    idle = _memory("VmRSS")
    blob = os.urandom(size)
    _forget_peak()
    await ucondb.store("heavy", Blob.of(blob), tag="heavy", look_first=False)
    storing = _memory("VmHWM") - idle - size
    del blob
    _forget_peak()
    found = (await ucondb.summarise("heavy")).identity
    reading = _memory("VmHWM") - idle
    await ucondb.close()
    print(
        f"blob of {found.length / MIB:.1f} MiB, idle process {idle / MIB:.1f} MiB: at most {storing / MIB:+.1f} MiB "
        f"over idle and the blob while storing, {reading / MIB:+.1f} MiB over idle while reading back"
    )


def _memory(name: str) -> int:
    """Return a figure of /proc/self/status in bytes."""
    line = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if line is None:
        raise RuntimeError(f"/proc/self/status has no {name}")
    return int(line.group(1)) * 1024


def _forget_peak() -> None:
    """Reset VmHWM to the resident memory (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


async def measure(root: Path, options: argparse.Namespace) -> None:
    """Run both parts against one server in ``root``."""
    site = processes.DemoSite(root)
    site.make()
    async with processes.ucondb_server(site) as url:
        settings = settings_of(url, site.password.read_text())
        await compare(settings, options.seconds)
        child = [sys.executable, __file__, "--weigh", url, "--blob", str(options.blob)]
        await asyncio.to_thread(subprocess.run, child, check=True, input=settings.password, text=True)


def main() -> int:
    """Parse the options and measure in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="spent on each size")
    parser.add_argument("--blob", type=int, default=200_000_000, help="bytes of the large blob")
    parser.add_argument("--weigh", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.weigh:
        asyncio.run(weigh(settings_of(options.weigh, sys.stdin.read()), options.blob))
        return 0
    root = Path(tempfile.mkdtemp(prefix="archiverd-bench-"))
    try:
        asyncio.run(measure(root, options))
    finally:
        remove_tree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
