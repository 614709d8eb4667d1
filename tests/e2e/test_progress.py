"""Progress on a terminal, and none where there is none; interrupted in the middle."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from archiverd.core.machine import State
from tests.e2e.test_operations import DEMO, THREE_RUNS
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import Site

TWELVE_RUNS = (*DEMO, "--runs", "12", "--crash", "0", "--first", "7")
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")
ERASED = re.compile(r"[^\n]*\x1b\[2K")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """A command whose standard error is a terminal."""

    process: subprocess.Popen[bytes]
    master: int
    shown: bytes = b""

    @property
    def text(self) -> str:
        """What was shown, without control sequences."""
        return CONTROL.sub("", self.shown.decode(errors="replace"))

    @property
    def left(self) -> str:
        """What stays on the screen: the bar is erased again and again."""
        return CONTROL.sub("", ERASED.sub("", self.shown.decode(errors="replace"))).replace("\r", "")

    def read(self, until: Callable[[str], bool] = lambda _: False) -> None:
        """Read until the text is as wanted, or the command has ended."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not until(self.text):
            assert time.monotonic() < end, self.text
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    received = os.read(self.master, 65536)
                except OSError:  # the other end is closed
                    return
                if not received:
                    return
                self.shown += received
            elif self.process.poll() is not None:
                return

    def wait(self) -> int:
        """Read to the end; return the exit code."""
        self.read()
        return self.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def on_terminal(site: Site) -> Iterator[Callable[..., Terminal]]:
    """Start archiverd commands whose standard error is a terminal of 100 columns."""
    opened: list[Terminal] = []

    def starting(*command: str, **variables: str) -> Terminal:
        master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **variables}
        environment = {name: value for name, value in environment.items() if value}
        argv = [sys.executable, "-m", "archiverd", "--config", str(site.root / "archiverd.toml"), *command]
        process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a background job ignores it
        )
        os.close(slave)
        opened.append(Terminal(process, master))
        return opened[-1]

    yield starting
    for one in opened:
        one.process.kill()
        one.process.communicate()
        os.close(one.master)


def slow_down(site: Site, seconds: float = 0.3) -> None:
    """Let UconDB answer after so many seconds, and one run at a time be taken up."""
    site.children[0].terminate()
    site.children[0].wait()
    site.serve("--fault", f"latency={seconds}")
    site.configure(batch_size=1)


def test_a_pass_shows_how_far_it_is(site: Site, on_terminal: Callable[..., Terminal]) -> None:
    """Done and total, what is happening, and an estimate; then the summary, with the bar gone."""
    site.make(*THREE_RUNS)
    shown = on_terminal("once", NO_COLOR="")
    assert shown.wait() == 0
    assert re.search(r"once [^\n]*\d/6 [^\n]*\d+ (queued|importing|imported|uploading)", shown.text), shown.text
    assert COLOUR.search(shown.shown)
    assert (
        len(re.findall(r"(?m)^\S+ \S+ INFO    \[Migration\] \[Run [789]\] verified in UconDB .*=\d+$", shown.left)) == 3
    )
    assert shown.text.rstrip().endswith("3 runs imported, 3 verified, 0 still open, 0 failed")
    assert re.search(r"reconcile [^\n]*3/3 [^\n]*blobs compared", _shown(on_terminal("reconcile", "--deep")))
    site.lose_the_journal()
    assert re.search(
        r"recover [^\n]*asking the databases.*recover [^\n]*\d/\d", _shown(on_terminal("recover", "import")), re.DOTALL
    )


def _shown(one: Terminal) -> str:
    assert one.wait() == 0
    return one.text


def test_no_color_and_quiet_are_honoured(site: Site, on_terminal: Callable[..., Terminal]) -> None:
    """NO_COLOR leaves the bar and takes the colours; --quiet takes the bar; no terminal, no control characters."""
    site.make(*THREE_RUNS)
    plain = on_terminal("once", NO_COLOR="1")
    assert plain.wait() == 0
    assert not COLOUR.search(plain.shown)
    assert re.search(r"once [^\n]*\d/6", plain.text)
    quiet = on_terminal("-q", "once")
    assert quiet.wait() == 0
    assert b"\x1b" not in quiet.shown
    assert "\x1b" not in site.run("once").stderr


def test_a_daemons_progress_is_shown_too(site: Site, on_terminal: Callable[..., Terminal]) -> None:
    """The command waits for the daemon; interrupted, it says that the daemon goes on, and leaves with 130."""
    slow_down(site, 1.0)
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    site.make(*TWELVE_RUNS)
    waiting = on_terminal("once")
    waiting.read(lambda text: "looking at the run records" in text)
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.wait() == 130
    assert "the daemon goes on with `once`; `archiverd status` tells how far it is" in waiting.text
    site.freeze()
    shown = on_terminal("once")
    progress = re.compile(r"once [^\n]*\d+/\d+ [^\n]*\d+ (queued|import|upload)")
    shown.read(lambda text: progress.search(text) is not None)
    site.thaw()
    assert shown.wait() == 0
    assert progress.search(shown.text), shown.text
    assert {row.state for row in site.rows().values()} == {State.VERIFIED}
    assert set(site.versions()) == set(range(7, 19))
    assert site.stop(daemon) == 130


def test_nobody_waits_for_a_paused_daemon(site: Site) -> None:
    """A pass beside it would never end: it says so and ends, with a remedy."""
    daemon = site.start("run")
    site.wait(lambda _: (site.work / "archiverd.sock").exists())
    assert site.run("pause").returncode == 0
    site.make(*THREE_RUNS)
    refused = site.run("once")
    assert (
        refused.returncode,
        "The daemon is paused: it does not take up the runs that wait (3)" in refused.stderr,
    ) == (
        1,
        True,
    )
    assert "\nRemedy: `archiverd resume` lets it go on\n" in refused.stderr
    assert site.run("resume").returncode == 0
    assert site.run("once").returncode == 0
    assert site.stop(daemon) == 130


def test_an_interrupt_in_the_middle_drains(site: Site, on_terminal: Callable[..., Terminal]) -> None:
    """Ctrl-C: what is in hand is finished, the bar says so, exit 130; the next pass does the rest, each run once."""
    slow_down(site)
    site.make(*TWELVE_RUNS)
    shown = on_terminal("once")
    shown.read(lambda text: "uploading" in text)
    site.freeze()
    shown.process.send_signal(signal.SIGINT)
    shown.read(lambda text: "interrupt: finishing" in text)
    site.thaw()
    assert shown.wait() == 130
    assert "interrupt: finishing what is in flight and in the queues, then leaving" in shown.text
    states = {row.state for row in site.rows().values()}
    assert states <= {State.VERIFIED, State.IMPORTED, State.QUEUED}
    assert State.IMPORTED in states
    assert site.run("once", "--incremental").returncode == 0
    assert set(site.versions().values()) == {1}
    assert len(site.versions()) == 12
