"""scripts/setup: finds an interpreter and a compiler, says what is missing, does each step once, heals what is half.

Interpreters and compilers are small shell scripts here that write down what they were asked to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import DEADLINE_SECONDS

SETUP = Path(__file__).parents[2] / "scripts" / "setup"

FITTING = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$*" in
    *"-m venv "*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
    *"sysconfig"*) echo fits ;;
    *"install --require-hashes"*) [ ! -e "$FAIL_PIP" ] || exit 1 ;;
esac
"""
SAYING = "#!/bin/sh\necho '{}'\n"
BROKEN = "#!/bin/sh\necho 'no such version' >&2\nexit 127\n"
COMPILER = "#!/bin/sh\ncat >/dev/null\n"
TOOLS = ("bash", "sh", "dirname", "basename", "find", "sort", "xargs", "sha256sum", "mkdir", "cp", "rm", "touch", "cat")


class Checkout:
    """A directory with what scripts/setup needs, and a PATH with nothing but what is put there."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.calls = root / "project", root / "bin", root / "calls"
        for directory in ("scripts", "requirements", "native/src", "src"):
            (self.root / directory).mkdir(parents=True)
        shutil.copy(SETUP, self.root / "scripts" / "setup")
        for name in ("requirements/dev.lock", "pyproject.toml", "native/src/engine.cpp"):
            (self.root / name).write_text("first\n")
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        self.calls.touch()

    def put(self, name: str, script: str) -> None:
        """Put a command on the PATH."""
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the set-up."""
        known = {"PATH": str(self.bin), "CALLS": str(self.calls), "FAIL_PIP": str(self.root / "offline")}
        command = [str(self.root / "scripts" / "setup")]
        return subprocess.run(
            command, env=known | environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )

    def steps(self) -> list[str]:
        """Return which steps were done since last asked."""
        calls = self.calls.read_text()
        self.calls.write_text("")
        known = {"venv": "-m venv", "packages": "install --require-hashes", "project": "--editable ."}
        return [step for step, words in known.items() if words in calls]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a checkout with nothing on its PATH but plain tools."""
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """Return a checkout that was set up."""
    checkout.put("python3.12", FITTING)
    checkout.put("c++", COMPILER)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert checkout.steps() == ["venv", "packages", "project"]
    return checkout


def test_a_module_that_moved_is_found_again(ready: Checkout) -> None:
    """A module more or less means a new installation, for an editable one remembers where each is; an edit not."""
    module = ready.root / "src" / "room.py"
    for text in ("one", "two"):
        module.write_text(text)
        assert ready.setup().returncode == 0
        assert ready.steps() == (["project"] if text == "one" else [])
    module.rename(module.with_name("other.py"))
    assert ready.setup().returncode == 0
    assert ready.steps() == ["project"]


def test_nothing_is_done_twice(ready: Checkout) -> None:
    """A second set-up does nothing and says nothing."""
    done = ready.setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ready.steps() == []


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ("requirements/dev.lock", ["packages", "project"]),
        ("pyproject.toml", ["project"]),
        ("native/src/engine.cpp", ["project"]),
        ("scripts/other", []),
    ],
)
def test_a_change_makes_what_depends_on_it_run_again(ready: Checkout, changed: str, steps: list[str]) -> None:
    """A new lock reinstalls the packages, native code rebuilds the engine, anything else nothing."""
    (ready.root / changed).write_text("second\n")
    assert ready.setup().returncode == 0
    assert ready.steps() == steps


def test_a_set_up_that_was_cut_short_starts_anew(checkout: Checkout) -> None:
    """Where installing packages failed, the next set-up makes the environment from scratch."""
    checkout.put("python3.12", FITTING)
    checkout.put("c++", COMPILER)
    (checkout.root / "offline").touch()
    assert checkout.setup().returncode != 0
    checkout.steps()
    (checkout.root / "offline").unlink()
    assert checkout.setup().returncode == 0
    assert checkout.steps() == ["venv", "packages", "project"]


def test_an_environment_whose_interpreter_is_gone_is_made_anew(ready: Checkout) -> None:
    """An upgrade that takes the interpreter away heals by itself."""
    (ready.root / ".venv" / "bin" / "python").unlink()
    assert ready.setup().returncode == 0
    assert ready.steps() == ["venv", "packages", "project"]


def test_a_moved_checkout_is_set_up_again(ready: Checkout) -> None:
    """An environment's scripts hold its path, so elsewhere it is made anew."""
    ready.root = ready.root.rename(ready.root.with_name("elsewhere"))
    assert ready.setup().returncode == 0
    assert ready.steps() == ["venv", "packages", "project"]


def test_a_broken_shim_is_passed_over(checkout: Checkout) -> None:
    """An interpreter that is only a name on the PATH does not stop the search."""
    checkout.put("python3.13", BROKEN)
    checkout.put("python3.11", FITTING)
    checkout.put("c++", COMPILER)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert "python3.11" in done.stdout


def test_the_interpreter_asked_for_is_taken(checkout: Checkout) -> None:
    """PYTHON comes first; where it does not fit, that is said and the next is taken."""
    checkout.put("python3.14", FITTING)
    checkout.put("mine", FITTING)
    checkout.put("c++", COMPILER)
    assert "/mine" in checkout.setup(PYTHON=str(checkout.bin / "mine")).stdout
    shutil.rmtree(checkout.root / ".venv")
    checkout.put("mine", SAYING.format("has no Python.h"))
    said = checkout.setup(PYTHON=str(checkout.bin / "mine")).stdout
    assert "is passed over: it has no Python.h" in said
    assert "python3.14" in said


def test_without_a_fitting_interpreter_the_reasons_are_told(checkout: Checkout) -> None:
    """Every interpreter found is named with what it lacks, then what to install; nothing is left behind."""
    checkout.put("python3.12", SAYING.format("has no venv or ensurepip"))
    checkout.put("python3", SAYING.format("is Python 3.9, too old"))
    done = checkout.setup()
    assert done.returncode == 1
    for words in ("python3.12 has no venv or ensurepip", "python3 is Python 3.9, too old", "python3-dev", "dnf"):
        assert words in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_without_a_compiler_that_is_told(checkout: Checkout) -> None:
    """A missing or too old compiler is named with what to install."""
    checkout.put("python3.12", FITTING)
    checkout.put("g++", BROKEN)
    done = checkout.setup()
    assert done.returncode == 1
    assert "no C++20 compiler" in done.stderr
    assert "apt install g++" in done.stderr
    assert "gcc-c++" in done.stderr


def test_this_interpreter_is_judged_by_running_it(checkout: Checkout) -> None:
    """The question put to a real interpreter is one that it answers."""
    import sys

    checkout.put("c++", COMPILER)
    real = {"PYTHON": sys.executable, "PATH": f"{checkout.bin}:{os.environ['PATH']}"}
    (checkout.root / "requirements" / "dev.lock").write_text("not a requirement\n")
    done = checkout.setup(**real)
    assert f"making .venv with {sys.executable}" in done.stdout
    assert "Python 3." in done.stdout
