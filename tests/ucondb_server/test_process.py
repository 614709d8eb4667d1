"""The life of the server process: start, readiness, refusals, end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.ucondb_server.conftest import PASSWORD, defaults, spawn
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ucondb_server.conftest import Server


def refused(data: Path, **changes: Any) -> str:
    """Start a server that must refuse, and return its one line on stderr."""
    process = spawn(**defaults(data, **changes))
    try:
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("ucondb-server: ")
    assert errors.count("\n") == 1
    return errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_0_and_nothing_said(
    launch: Callable[..., Server], tmp_path: Path, number: int
) -> None:
    """After the readiness line nothing more is printed; SIGTERM and SIGINT are an ordinary end."""
    server = launch(tmp_path / "data")
    assert server.url == f"http://127.0.0.1:{server.port}/test_on_ucon_prod/app"
    assert server.put("/data/test01/o?key=1", b"x").status == 200
    assert server.get("/data/nosuch/o").status == 500
    assert server.stop(number) == (0, "")


def test_a_put_under_way_is_finished_before_the_end(launch: Callable[..., Server], tmp_path: Path) -> None:
    """A signal lets the body that is being sent come in, answers it, and closes."""
    server = launch(tmp_path / "data")
    target = "/data/test01/o?key=1"
    login = server.login("POST", target)["Authorization"]
    head = f"POST {server.base}{target} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n"
    with server.connect() as connection:
        connection.sendall(f"{head}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(b"last")
        assert b" 200 OK" in connection.recv(1000)
    assert server.stop()[0] == 0
    assert launch(tmp_path / "data").get(target).body == b"last"


def test_a_second_server_on_the_same_directory_is_refused(launch: Callable[..., Server], tmp_path: Path) -> None:
    """The directory belongs to one process, which is named; after its end the directory is free."""
    first = launch(tmp_path / "data")
    assert f"is served by process {first.process.pid}" in refused(tmp_path / "data")
    first.process.kill()
    first.process.wait()
    assert launch(tmp_path / "data").get("/probe").body == b"OK"


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    """The address that cannot be had is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in refused(tmp_path / "data", port=port)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instance": "a/b"}, "instance 'a/b'"),
        ({"instance": ".."}, "instance '..'"),
        ({"folders": ["Test"]}, "folder or namespace 'Test'"),
        ({"namespace": "a.b"}, "folder or namespace 'a.b'"),
        ({"password": ""}, "a user and a password"),
        ({"user": "a,b"}, "comma"),
        ({"fault": "eror=1"}, "'eror' is not one of"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1:0"),
    ],
)
def test_impossible_options_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """What cannot be served is reported before anything is opened, without the password."""
    line = refused(tmp_path / "data", **changes)
    assert words in line
    assert PASSWORD not in line


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A data directory that cannot be made is an error in words."""
    (tmp_path / "file").write_bytes(b"")
    assert "File exists" in refused(tmp_path / "file")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Foreign bytes under the database's name are left alone."""
    (tmp_path / "data").mkdir()
    foreign = tmp_path / "data" / "ucondb.sqlite"
    foreign.write_bytes(b"something else entirely" * 100)
    assert "ucondb.sqlite cannot be used as a database" in refused(tmp_path / "data")
    assert foreign.read_bytes() == b"something else entirely" * 100


def test_importing_the_package_does_not_import_uvicorn() -> None:
    """Commands that do not serve do not pay for the server, and the options do not show the password."""
    program = (
        "import sys, pathlib, archiverd.ucondb_server as s\n"
        "o = s.ServerOptions(data=pathlib.Path('.'), host='', port=0, instance='i', user='u', password='geheim')\n"
        "print('uvicorn' in sys.modules, 'sqlite3' in sys.modules, 'geheim' in repr(o))\n"
    )
    path = ":".join(part for part in sys.path if part)
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert found.stdout.split() == ["False", "False", "False"]
