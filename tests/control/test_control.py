"""The control socket: commands in, progress and one answer out, and no client that can hold the daemon up."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archiverd.control.client import DaemonGoneError, NobodyListensError, ask, ask_now, call
from archiverd.control.fields import fields_of, integer
from archiverd.control.protocol import LONGEST_PATH, LONGEST_REPLY, LONGEST_REQUEST, choose_path, find_path
from archiverd.control.server import Limits, Progress, serving
from archiverd.core.errors import ArchiverError, FhiclError, Retry, UconDBError, error_stage
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = DEADLINE_SECONDS

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from archiverd.control.server import serving

async def die(arguments, progress):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with serving(Path(sys.argv[1]), {"die": die}):
        print("listening", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def echo(arguments: Mapping[str, object], progress: Progress) -> object:
    """Return the arguments."""
    return dict(arguments)


async def count(arguments: Mapping[str, object], progress: Progress) -> object:
    """Send three steps."""
    for step in range(3):
        progress({"done": step})
    return "counted"


async def refuse(arguments: Mapping[str, object], progress: Progress) -> object:
    """Fail as a database fails."""
    with error_stage("Migration"):
        raise UconDBError(
            "503 from UconDB", retry=Retry.TRANSIENT, remedy="wait", run=7, context={"status": 503, "at": Path("/x")}
        )


async def misspell(arguments: Mapping[str, object], progress: Progress) -> object:
    """Fail as the FHiCL engine fails."""
    raise FhiclError("no value", file="a.fcl", line=3, column=9)


async def stumble(arguments: Mapping[str, object], progress: Progress) -> object:
    """Fail as nobody expected, out of a task group."""
    async with asyncio.TaskGroup():
        raise KeyError("who wrote this")


async def swell(arguments: Mapping[str, object], progress: Progress) -> object:
    """Return more than a reply may have."""
    return "x" * LONGEST_REPLY


async def flood(arguments: Mapping[str, object], progress: Progress) -> object:
    """Send more progress than any socket buffer takes, in lines that fit in part, and return a long result."""
    for step in range(50):
        progress({"step": step, "filling": "x" * 150_000})
    return "y" * 1_000_000


HANDLERS = {
    "echo": echo,
    "count": count,
    "refuse": refuse,
    "misspell": misspell,
    "stumble": stumble,
    "swell": swell,
    "flood": flood,
}


async def exchange(path: Path, sent: bytes, *, end: bool = False) -> bytes:
    """Send raw bytes, and return everything that comes back until the daemon closes."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(sent)
        if end:
            writer.write_eof()
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    finally:
        writer.close()


async def test_a_command_gets_its_arguments_and_its_result_comes_back(tmp_path: Path) -> None:
    """Both ways of asking give what the handler returned."""
    async with serving(tmp_path, HANDLERS):
        assert await ask(tmp_path, "echo", {"run": 5}, seconds=SECONDS) == {"run": 5}
        assert await asyncio.to_thread(ask_now, tmp_path, "echo", {"run": "é"}, SECONDS) == {"run": "é"}


async def test_progress_comes_before_the_result_and_in_order(tmp_path: Path) -> None:
    """A client that reads sees every step."""
    seen: list[object] = []
    now: list[object] = []
    async with serving(tmp_path, HANDLERS):
        assert await ask(tmp_path, "count", {}, seconds=SECONDS, on_progress=seen.append) == "counted"
        assert await asyncio.to_thread(ask_now, tmp_path, "count", {}, SECONDS, now.append) == "counted"
    assert seen == now == [{"done": step} for step in range(3)]


async def test_an_error_arrives_as_the_class_that_was_raised(tmp_path: Path) -> None:
    """Message, remedy, context, run, stage and retry class come through; so does an error with a position."""
    async with serving(tmp_path, HANDLERS):
        with pytest.raises(UconDBError, match="503 from UconDB") as caught:
            await ask(tmp_path, "refuse", {}, seconds=SECONDS)
        with pytest.raises(FhiclError, match=r"a\.fcl:3:9: no value"):
            await ask(tmp_path, "misspell", {}, seconds=SECONDS)
    error = caught.value
    assert (error.remedy, error.run, error.retry, error.exit_code) == ("wait", 7, Retry.TRANSIENT, 1)
    assert error.context == {"status": 503, "at": "/x"}
    assert error.stage == "Migration"


async def test_a_mistake_of_ours_is_told_and_the_daemon_goes_on(tmp_path: Path) -> None:
    """An unexpected exception becomes an error of exit code 2, and the next command is answered."""
    async with serving(tmp_path, HANDLERS):
        with pytest.raises(ArchiverError, match="KeyError: 'who wrote this'") as caught:
            await ask(tmp_path, "stumble", {}, seconds=SECONDS)
        assert caught.value.exit_code == 2
        with pytest.raises(ArchiverError, match="The reply has"):
            await ask(tmp_path, "swell", {}, seconds=SECONDS)
        assert await ask(tmp_path, "echo", {}, seconds=SECONDS) == {}


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"{\n", "Expecting"),
        (b"[]\n", "not a JSON object"),
        (b"[" * 60_000 + b"\n", "nested too deeply"),
        (b"\xff\n", "codec"),
        (b'{"command": "dance"}\n', "there is no command 'dance'; there are count, echo"),
        (b'{"command": ["echo"]}\n', "there is no command"),
        (b'{"command": "echo"}', "ends before its line does"),
        (b'"' + b"x" * LONGEST_REQUEST + b"\n", f"more than {LONGEST_REQUEST} bytes"),
    ],
)
async def test_a_bad_request_gets_a_clear_error(tmp_path: Path, sent: bytes, message: str) -> None:
    """What is not a request, or too long a one, is answered with what is wrong about it."""
    async with serving(tmp_path, HANDLERS) as path:
        reply = json.loads(await exchange(path, sent, end=True))
    assert reply["ok"] is False
    assert message in reply["error"]["message"]


async def test_the_longest_request_is_taken(tmp_path: Path) -> None:
    """The bound is exact: a line of 64 KiB passes, one byte more does not."""
    frame = len(json.dumps({"fill": "", "command": "echo"})) + 1
    async with serving(tmp_path, HANDLERS):
        fill = "x" * (LONGEST_REQUEST - frame)
        assert await ask(tmp_path, "echo", {"fill": fill}, seconds=SECONDS) == {"fill": fill}
        with pytest.raises(ArchiverError, match="more than 65536 bytes"):
            await ask(tmp_path, "echo", {"fill": fill + "x"}, seconds=SECONDS)


@settings(deadline=None, max_examples=60)
@example(b"")
@example(b"\n")
@example(b'{"command": null}\n')
@given(sent=st.binary(max_size=300) | st.binary(max_size=100).map(lambda some: some + b"\n"))
def test_no_bytes_can_hurt_the_daemon(sent: bytes) -> None:
    """Whatever is sent is answered with one error line or, if it is nothing, with the end; then others are served."""

    async def check(work_dir: Path) -> None:
        async with serving(work_dir, HANDLERS) as path:
            reply = await exchange(path, sent, end=True)
            assert json.loads(reply)["ok"] is False if sent else not reply
            assert await ask(work_dir, "echo", {}, seconds=SECONDS) == {}

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory)))


async def test_a_client_that_never_asks_is_sent_away(tmp_path: Path) -> None:
    """A connection without a request ends after the time to read, with an error that says so."""
    async with serving(tmp_path, HANDLERS, Limits(read_seconds=0.05)) as path:
        assert b"did not come within 0.05 s" in await exchange(path, b'{"comm')


async def test_a_client_that_stops_reading_holds_nothing(tmp_path: Path) -> None:
    """Its progress is left out, its reply given up in time, and its place is free for the next."""
    async with serving(tmp_path, HANDLERS, Limits(connections=1, write_seconds=0.05)) as path:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(str(path))
            deaf.sendall(b'{"command": "flood"}\n')
            async with asyncio.timeout(SECONDS):
                while True:
                    try:
                        assert await ask(tmp_path, "echo", {}, seconds=SECONDS) == {}
                    except ArchiverError as busy:
                        assert "answers 1 commands already" in busy.message  # noqa: PT017 - any other one is wrong
                    else:
                        break


async def test_a_client_that_reads_late_gets_whole_lines(tmp_path: Path) -> None:
    """Progress that did not fit is left out line by line; what comes is in order, and the result is complete."""
    seen: list[int] = []
    async with serving(tmp_path, HANDLERS):
        result = await ask(tmp_path, "flood", {}, seconds=SECONDS, on_progress=lambda sent: seen.append(sent["step"]))  # type: ignore[index]
    assert result == "y" * 1_000_000
    assert seen == sorted(seen)
    assert 0 < len(seen) < 50


async def test_more_clients_than_places_are_turned_away(tmp_path: Path) -> None:
    """The seventeenth gets an error that the daemon is busy; the sixteen are all answered."""
    gate, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(arguments: Mapping[str, object], progress: Progress) -> object:
        begun.release()
        await gate.wait()
        return arguments["number"]

    async with serving(tmp_path, {"wait": wait}), asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(tmp_path, "wait", {"number": n}, seconds=SECONDS)) for n in range(16)]
        for _ in asked:
            await begun.acquire()
        with pytest.raises(ArchiverError, match="answers 16 commands already"):
            await ask(tmp_path, "wait", {"number": 16}, seconds=SECONDS)
        gate.set()
        assert [await task for task in asked] == list(range(16))


async def test_a_client_that_waits_is_told_when_the_daemon_ends(tmp_path: Path) -> None:
    """At the end of the block the handler is cancelled and its client gets a clear error at once."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(arguments: Mapping[str, object], progress: Progress) -> object:
        begun.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(tmp_path, {"wait": wait}):
        waiting = asyncio.create_task(ask(tmp_path, "wait", {}, seconds=SECONDS))
        await begun.wait()
    assert ended.is_set()
    with pytest.raises(DaemonGoneError, match="stopped before it answered"):
        await waiting


async def test_a_result_that_is_not_as_it_must_be_is_an_error(tmp_path: Path) -> None:
    """A daemon of another version whose result has other fields is not half understood."""

    def parse(value: object) -> int:
        with fields_of(value, "a count") as fields:
            return fields.take("run", integer)

    async with serving(tmp_path, HANDLERS):
        assert await asyncio.to_thread(call, tmp_path, "echo", {"run": 5}, parse, SECONDS) == 5
        for wrong in ({"run": "5"}, {}, {"run": 5, "more": 1}):
            with pytest.raises(ArchiverError, match="The daemon's answer is not understood") as caught:
                await asyncio.to_thread(call, tmp_path, "echo", wrong, parse, SECONDS)
            assert "of the same version?" in caught.value.remedy


async def test_a_silent_daemon_is_given_up(tmp_path: Path) -> None:
    """A daemon that accepts nothing, as a frozen one, costs the client its own time limit and no more."""
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(tmp_path / "archiverd.sock"))
        frozen.listen()
        with pytest.raises(ArchiverError, match=r"did not answer status within 0\.05 s"):
            ask_now(tmp_path, "status", {}, 0.05)
        with pytest.raises(ArchiverError, match=r"did not answer status within 0\.05 s"):
            await ask(tmp_path, "status", {}, seconds=0.05)


async def test_the_socket_is_for_the_group_and_goes_with_the_daemon(tmp_path: Path) -> None:
    """Mode 0660 whatever the umask; no file is left, and then nobody listens."""
    before = os.umask(0o077)
    try:
        async with serving(tmp_path, HANDLERS) as path:
            assert path == tmp_path / "archiverd.sock"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(before)
    assert not path.exists()
    with pytest.raises(NobodyListensError):
        ask_now(tmp_path, "echo", {}, SECONDS)


async def test_a_killed_daemons_socket_is_replaced(tmp_path: Path) -> None:
    """After SIGKILL in the midst of a command its client knows, the file is stale, and the next daemon takes over."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"listening\n"
        with pytest.raises(DaemonGoneError):
            await ask(tmp_path, "die", {}, seconds=SECONDS)
    assert (tmp_path / "archiverd.sock").is_socket()
    with pytest.raises(NobodyListensError):
        ask_now(tmp_path, "echo", {}, SECONDS)
    async with serving(tmp_path, HANDLERS):
        assert await ask(tmp_path, "echo", {}, seconds=SECONDS) == {}


async def test_only_our_own_files_are_removed(tmp_path: Path) -> None:
    """A file that no daemon made stops the start; a successor's file outlives us."""
    path = tmp_path / "archiverd.sock"
    path.write_text("notes")
    with pytest.raises(ArchiverError, match="is not a socket"):
        async with serving(tmp_path, HANDLERS):
            pass
    path.unlink()
    async with serving(tmp_path, HANDLERS):
        path.rename(tmp_path / "ours")
        path.write_text("a successor's")
    assert path.read_text() == "a successor's"


async def test_a_long_work_dir_is_served_from_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client and daemon meet though only the daemon knows the runtime directory, and nothing is left of it."""
    work_dir = tmp_path / ("w" * 120)
    work_dir.mkdir()
    with pytest.raises(NobodyListensError):
        ask_now(work_dir, "echo", {}, SECONDS)
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("RUNTIME_DIRECTORY", runtime)
        async with serving(work_dir, HANDLERS) as path:
            monkeypatch.delenv("RUNTIME_DIRECTORY")
            assert path.parent == Path(runtime)
            assert find_path(work_dir) == path
            assert await ask(work_dir, "echo", {"run": 1}, seconds=SECONDS) == {"run": 1}
        assert not list(Path(runtime).iterdir())
        assert not list(work_dir.iterdir())


async def test_a_directory_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket is made where somebody else could put theirs."""
    work_dir = tmp_path / ("w" * 120)
    work_dir.mkdir()
    with tempfile.TemporaryDirectory() as runtime:
        Path(runtime).chmod(0o777)
        monkeypatch.setenv("RUNTIME_DIRECTORY", runtime)
        with pytest.raises(ArchiverError, match="not a directory of ours alone"):
            async with serving(work_dir, HANDLERS):
                pass


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=150))
def test_the_path_always_fits_the_kernel(name: str) -> None:
    """The path is in the work directory exactly if it fits there, else short, and each work directory's own."""
    work_dir = Path("/w") / name.strip("/")
    path = choose_path(work_dir, {"XDG_RUNTIME_DIR": "/run/user/1", "RUNTIME_DIRECTORY": "/" + "r" * 100}, 1)
    direct = work_dir / "archiverd.sock"
    assert len(os.fsencode(path)) <= LONGEST_PATH
    assert (path == direct) == (len(os.fsencode(direct)) <= LONGEST_PATH)
    assert path in {direct, choose_path(work_dir, {"XDG_RUNTIME_DIR": "/run/user/1"}, 2)}


def test_without_a_runtime_directory_a_private_one_is_taken() -> None:
    """The last resort is a directory of the user's own below /tmp."""
    assert choose_path(Path("/" + "w" * 120), {}, 42).parent == Path("/tmp/archiverd-42")


def test_asking_at_once_needs_no_asyncio() -> None:
    """`status` stays quick: the client's module loads neither asyncio nor the log."""
    shown = "import sys, archiverd.control.client; print([m for m in ('asyncio', 'structlog') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", shown], text=True) == "[]\n"
