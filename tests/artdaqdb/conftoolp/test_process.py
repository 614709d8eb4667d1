"""A worker: frames survive noise, a crash or hang costs one child, and a killed daemon leaves none."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.conftoolp.process import SCRIPT, DiedError, LibraryAnswer, Worker
from archiverd.core.errors import ArtdaqDBError, Blame, Retry
from tests.artdaqdb.conftoolp.conftest import MEMORY, launch
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIBRARY = """
    import os, signal, subprocess, sys, time
    print("noise at import")

    def echo(*texts):
        print("noise")
        os.write(1, b"noise of the C++ part\\n")
        subprocess.run(["echo", "noise of a child"])
        return True, "|".join(texts)

    def refuse():
        return False, "no"

    def fail():
        raise TypeError("in method 'fail'")

    def abort():
        print("Failed Assertion", file=sys.stderr, flush=True)
        os.abort()

    def end(code):
        os._exit(int(code))

    def segfault():
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(started):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "600"])
        with open(started, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)

    def environment(name):
        return True, os.environ.get(name, "")

    def path():
        return True, repr(sys.path)

    def version():
        return True, sys.version

    def devour():
        held = []
        while True:
            held.append(bytearray(16 << 20))

    def score():
        with open("/proc/self/oom_score_adj") as file:
            return True, file.read().strip()

    def bad_alloc():
        return False, "Error: Dynamic exception type: std::bad_alloc"

    def tell(where, text):
        if where == "stderr":
            print(text, file=sys.stderr, flush=True)
            os.abort()
        if where == "exception":
            raise RuntimeError(text)
        return False, text

    def scribble():
        for number in os.listdir("/proc/self/fd"):
            try:
                os.write(int(number), b"scribbled over all that is open")
            except OSError:
                pass
        return True, ""
"""


@asynccontextmanager
async def library(
    tmp_path: Path, text: str = LIBRARY, seconds: float = 30, memory: int = MEMORY
) -> AsyncIterator[Worker]:
    """Give a worker whose library is ``text``."""
    (tmp_path / "conftoolp.py").write_text(textwrap.dedent(text))
    variables = {**os.environ, "PYTHONPATH": str(tmp_path), "URI": "x://y"}
    worker = Worker(launch(variables, memory=memory, secrets=(b"s3cret",)), seconds)
    try:
        yield worker
    finally:
        await worker.close()


def old_python(version: str) -> str | None:
    """Return the path of a Python ``3.x`` that runs, on PATH or among those pyenv keeps; None if there is none."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = (str(path) for path in sorted(home.glob(f"versions/{version}*/bin/python{version}")))
    for program in filter(None, (shutil.which(f"python{version}"), *kept)):
        if not subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode:
            return program
    return None


def gone(pid: int) -> bool:
    """Tell whether no process of this session, which ``pid`` led, is alive."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == pid and fields[0] not in "ZX":
                return False
    return True


async def until_gone(pid: int) -> None:
    """Wait until a session is dead."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not gone(pid):
            await asyncio.sleep(0.01)


async def test_noise_on_stdout_does_not_reach_the_answers(tmp_path: Path) -> None:
    """Whatever the library, its C++ part or its children print, every answer is whole and the right one."""
    async with library(tmp_path) as worker:
        for number in range(5):
            assert await worker.call("echo", b"%d" % number, b"\xc3\xa9\xff\n") == LibraryAnswer(
                success=True, text=b"%d|\xc3\xa9\xff\n" % number
            )


async def test_large_texts_pass(tmp_path: Path) -> None:
    """A text much larger than a pipe goes there and back."""
    async with library(tmp_path) as worker:
        assert (await worker.call("echo", b"x" * 30_000_000)).text == b"x" * 30_000_000


async def test_refusals_and_exceptions_are_answers(tmp_path: Path) -> None:
    """False with a text is returned, an exception raised here; the child lives on in both cases."""
    async with library(tmp_path) as worker:
        assert await worker.call("refuse") == LibraryAnswer(success=False, text=b"no")
        pid = worker.pid
        with pytest.raises(ArtdaqDBError, match=r"conftoolp\.fail raised TypeError: in method 'fail'"):
            await worker.call("fail")
        with pytest.raises(ArtdaqDBError, match="AttributeError"):
            await worker.call("nosuch")
        assert worker.pid == pid


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("abort",), "conftoolp was ended by SIGABRT in abort: Failed Assertion"),
        (("segfault",), "conftoolp was ended by SIGSEGV in segfault: noise of a child"),
        (("end", b"3"), "conftoolp ended with exit code 3 in end: noise of a child"),
    ],
)
async def test_a_crash_costs_one_child_and_the_next_is_there_at_once(
    tmp_path: Path, call: tuple[str, ...], told: str
) -> None:
    """However the library ends its process, the call fails in words and the next call is answered by a new child."""
    async with library(tmp_path) as worker:
        await worker.call("echo")
        pid = worker.pid
        with pytest.raises(DiedError) as caught:
            await worker.call(*call)
        assert caught.value.error.message == told
        assert caught.value.error.retry is Retry.TRANSIENT
        assert (await worker.call("echo", b"again")).text == b"again"
        assert worker.pid != pid


@pytest.mark.parametrize("call", ["devour", "bad_alloc"])
async def test_a_call_that_wants_too_much_memory_costs_one_child(tmp_path: Path, call: str) -> None:
    """A call that takes memory without end fails at the limit, in Python or the library; the next has a new child."""
    async with library(tmp_path, memory=512 << 20) as worker:
        await worker.start()
        pid = worker.pid
        assert pid is not None
        with pytest.raises(ArtdaqDBError) as caught:
            await worker.call(call)
        assert caught.value.message == f"conftoolp ran out of memory in {call}: a worker may have 512 MB"
        assert caught.value.retry is Retry.TRANSIENT
        await until_gone(pid)
        assert (await worker.call("echo", b"again")).text == b"again"


async def test_a_child_is_the_first_to_go_when_memory_is_short(tmp_path: Path) -> None:
    """The kernel is to end the child first, not the daemon."""
    async with library(tmp_path) as worker:
        assert (await worker.call("score")).text == b"1000"
    assert Path("/proc/self/oom_score_adj").read_text().strip() != "1000"


@pytest.mark.parametrize("where", ["stderr", "exception", "answer"])
async def test_no_message_holds_a_secret(tmp_path: Path, where: str) -> None:
    """The library's messages about its URI are shown without the password, and no argument of the child holds one."""
    async with library(tmp_path) as worker:
        await worker.start()
        arguments = Path(f"/proc/{worker.pid}/cmdline").read_bytes()
        told = b"cannot log in to mongodb://w:s3cret@host/db"
        try:
            shown = (await worker.call("tell", where.encode(), told)).words
        except DiedError as died:
            shown = f"{died.error.message} {died.error.remedy} {died.error.context}"
        except ArtdaqDBError as error:
            shown = f"{error.message} {error.remedy} {error.context}"
        assert "mongodb://w:***@host/db" in shown
        assert "s3cret" not in shown
        assert b"s3cret" not in arguments
        assert "s3cret" not in repr(worker.__dict__)
        assert (await worker.call("echo", b"s3cret")).text == b"s3cret", "data is not touched"


async def test_bytes_that_are_no_answer_cost_one_child(tmp_path: Path) -> None:
    """A library that writes over the worker's pipe is killed; the next call has a clean one."""
    async with library(tmp_path) as worker:
        with pytest.raises(ArtdaqDBError, match="conftoolp gave no answer to scribble but a message of") as caught:
            await worker.call("scribble")
        assert caught.value.retry is Retry.TRANSIENT
        assert (await worker.call("echo", b"again")).text == b"again"


async def test_a_hung_call_is_killed_with_all_it_started(tmp_path: Path) -> None:
    """At its deadline the child and its own children die, even if they ignore SIGTERM; the next call works."""
    async with library(tmp_path, seconds=3.0) as worker:
        with pytest.raises(ArtdaqDBError, match=r"did not return from hang within 3 s and was killed"):
            await worker.call("hang", bytes(tmp_path / "started"))
        pid = int((tmp_path / "started").read_text())
        await until_gone(pid)
        assert (await worker.call("echo", b"again")).text == b"again"


async def test_a_cancelled_call_leaves_no_answer_behind(tmp_path: Path) -> None:
    """After a cancelled call the next one gets its own answer, from a new child."""
    async with library(tmp_path) as worker:
        task = asyncio.create_task(worker.call("hang", bytes(tmp_path / "started")))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (tmp_path / "started").exists():
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await worker.call("echo", b"again")).text == b"again"


async def test_a_child_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    """A child that somebody killed between calls is missed by at most the one call that finds it dying."""
    async with library(tmp_path) as worker:
        await worker.call("echo")
        pid = worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until_gone(pid)
        with contextlib.suppress(DiedError):
            await worker.call("echo", b"once")
        assert (await worker.call("echo", b"again")).text == b"again"
        assert worker.pid != pid


async def test_a_number_that_is_anothers_by_now_is_not_killed(tmp_path: Path) -> None:
    """A child that ended long ago may have left its number to a stranger, who is let live."""
    async with library(tmp_path) as worker:
        await worker.call("echo")
        child = worker._child
        assert child is not None
        os.kill(child.process.pid, signal.SIGKILL)
        await child.process.wait()
        stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
        try:
            child.process.pid = stranger.pid
            assert (await worker.call("echo", b"again")).text == b"again"
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


async def test_closing_ends_the_child(tmp_path: Path) -> None:
    """An idle child ends by itself when its stdin closes."""
    async with library(tmp_path) as worker:
        await worker.call("echo")
        pid = worker.pid
        assert pid is not None
        await worker.close()
        assert worker.pid is None
        assert gone(pid)


async def test_the_environment_is_the_childs_own(tmp_path: Path) -> None:
    """The library sees the variables given to it, and no module of ours on its path."""
    async with library(tmp_path) as worker:
        assert (await worker.call("environment", b"URI")).text == b"x://y"
        assert str(SCRIPT.parent) not in (await worker.call("path")).words.replace("'", " ").split()
    assert "URI" not in os.environ


ENSURE = "ImportError: Failed to import 'conftoolp'. Ensure artdaq_database env is set up."


@pytest.mark.parametrize(
    ("text", "told", "remedy"),
    [
        (None, "ModuleNotFoundError: No module named 'conftoolp'", "conftoolp.py and _conftoolp.so"),
        ("import _conftoolp", "ModuleNotFoundError: No module named '_conftoolp'", "conftoolp.py and _conftoolp.so"),
        (
            (
                "raise ImportError('libartdaq-database_ConfigurationDB.so: cannot open shared object file: "
                "No such file or directory')"
            ),
            (
                "ImportError: libartdaq-database_ConfigurationDB.so: cannot open shared object file: "
                "No such file or directory"
            ),
            "ldd _conftoolp.so",
        ),
        ("raise SystemError('another Python')", "SystemError: another Python", "was it built for this Python?"),
    ],
)
async def test_a_library_that_cannot_be_imported(tmp_path: Path, text: str | None, told: str, remedy: str) -> None:
    """A missing module or library is reported in the guide's words, with a remedy."""
    async with library(tmp_path, text or "") as worker:
        if text is None:
            (tmp_path / "conftoolp.py").unlink()
        with pytest.raises(ArtdaqDBError) as caught:
            await worker.start()
        assert caught.value.message == f"{told}; {ENSURE}"
        assert remedy in caught.value.remedy
        assert caught.value.blame is Blame.BACKEND
        assert worker.pid is None


async def test_a_library_that_is_missing_for_the_loader(tmp_path: Path) -> None:
    """A shared library that the dynamic loader does not find is reported in its words, which the guide has."""
    text = "import ctypes\ntry:\n    ctypes.CDLL('libartdaq-database_ConfigurationDB.so')\n"
    async with library(tmp_path, text + "except OSError as error:\n    raise ImportError(str(error))\n") as worker:
        with pytest.raises(ArtdaqDBError) as caught:
            await worker.start()
    wanted = "ImportError: libartdaq-database_ConfigurationDB.so: cannot open shared object file: No such file"
    assert caught.value.message.startswith(wanted)


async def test_a_library_that_ends_its_process_when_imported(tmp_path: Path) -> None:
    """An abort during the import is reported as one."""
    async with library(tmp_path, "import os; os.abort()") as worker:
        with pytest.raises(DiedError, match="conftoolp was ended by SIGABRT in import conftoolp"):
            await worker.start()
        assert worker.pid is None


def test_the_script_is_for_old_pythons_too() -> None:
    """The worker's script is Python 3.6, and imports nothing but the standard library."""
    parsed = ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    imports = [node for node in ast.walk(parsed) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert names <= sys.stdlib_module_names - {"__future__"}


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9"])
async def test_an_old_python_runs_the_script(tmp_path: Path, version: str) -> None:
    """A library built for an old Python is called by that Python, and its crash is contained there too."""
    program = old_python(version)
    if program is None:
        pytest.skip(f"no Python {version} on PATH or in pyenv that runs")
    (tmp_path / "conftoolp.py").write_text(textwrap.dedent(LIBRARY))
    worker = Worker(launch({"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}, python=program), 30)
    assert (await worker.call("version")).words.startswith(f"{version}.")
    assert (await worker.call("echo", b"\xc3\xa9\xff")).text == b"\xc3\xa9\xff"
    with pytest.raises(DiedError, match="conftoolp was ended by SIGABRT in abort"):
        await worker.call("abort")
    assert (await worker.call("echo", b"again")).text == b"again"
    await worker.close()


async def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    """A wrong conftoolp_python is named with its setting."""
    with pytest.raises(ArtdaqDBError, match=r"Cannot run .*nosuch for conftoolp") as caught:
        await Worker(launch({}, python=str(tmp_path / "nosuch")), 5).start()
    assert caught.value.blame is Blame.BACKEND
    assert "conftoolp_python" in caught.value.remedy


PARENT = """
import asyncio, os, sys
from archiverd.artdaqdb.conftoolp.process import Worker
from tests.artdaqdb.conftoolp.conftest import launch

async def main():
    worker = Worker(launch({**os.environ, "PYTHONPATH": sys.argv[1]}), 600)
    await worker.call(sys.argv[2], sys.argv[3].encode())

asyncio.run(main())
"""


async def test_a_killed_daemon_leaves_no_child_inside_a_call(tmp_path: Path) -> None:
    """SIGKILL of the parent kills a child that is blocked in the library and does not see its stdin close."""
    (tmp_path / "conftoolp.py").write_text(textwrap.dedent(LIBRARY).replace('subprocess.Popen(["sleep", "600"])', ""))
    started = tmp_path / "started"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), "hang", str(started), stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (started.exists() and started.read_text()):
            await asyncio.sleep(0.01)
    child = int(started.read_text())
    assert not gone(child)
    parent.kill()
    await parent.wait()
    await until_gone(child)
