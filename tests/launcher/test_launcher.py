"""run_archiver.sh: the older tool's flags, and what archiverd is called with for them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import DEADLINE_SECONDS

LAUNCHER = Path(__file__).parents[2] / "run_archiver.sh"
RECORDER = '#!/bin/sh\nprintf "%s\\n" "$@" > "$(dirname "$0")/called"\necho "$PATH" > "$(dirname "$0")/path"\nexit 42\n'
FLAGS = (
    *("--incremental", "--import-only", "--migrate-only", "--retry-failed-import", "--retry-failed-migrate"),
    *("--report-status", "--compare-state", "--recover-import-state", "--recover-migrate-state", "--validate"),
    *("-v", "--verbose", "-q", "--quiet", "-h", "--help"),
)


@dataclass
class Desk:
    """A copy of the launcher beside an archiverd that only writes down how it was called."""

    home: Path
    work: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call the launcher from the work directory."""
        return subprocess.run(
            [str(self.home / LAUNCHER.name), *arguments],
            cwd=self.work,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def called(self, *arguments: str) -> list[str]:
        """Return what archiverd was called with, without the global part that is always there."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (42, "")
        words = (self.home / ".venv" / "bin" / "called").read_text().splitlines()
        assert words[0] == "--work-dir-log"
        return words[1:]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A launcher, and a directory to call it from."""
    desk = Desk(tmp_path / "home", tmp_path / "work here")
    program = desk.home / ".venv" / "bin" / "archiverd"
    program.parent.mkdir(parents=True)
    desk.work.mkdir()
    shutil.copy2(LAUNCHER, desk.home)
    program.write_text(RECORDER)
    program.chmod(0o755)
    return desk


@pytest.mark.parametrize(
    ("flags", "command"),
    [
        ("", "once"),
        ("--incremental", "once --incremental"),
        ("--import-only", "once --import-only"),
        ("--migrate-only --validate", "once --migrate-only --validate"),
        ("--validate --import-only --incremental", "once --incremental --import-only --validate"),
        ("--retry-failed-import", "retry import"),
        ("--retry-failed-migrate", "retry migrate"),
        ("--retry-failed-migrate --validate", "retry migrate"),
        ("--recover-import-state", "recover import"),
        ("--recover-migrate-state", "recover migrate"),
        ("--report-status", "status --probe"),
        ("--compare-state --report-status", "status --probe --compare-state"),
        ("-v", "--verbose once"),
        ("--verbose --incremental --incremental", "--verbose once --incremental"),
        ("-q --report-status", "--quiet status --probe"),
        ("--quiet", "--quiet once"),
    ],
)
def test_each_flag_has_its_command(desk: Desk, flags: str, command: str) -> None:
    """The older tool's command lines, cron's included, go on working; the exit code is archiverd's."""
    assert desk.called("site.yaml", *flags.split()) == _with_config("site.yaml", command)
    assert desk.called(*flags.split(), "site.yaml") == _with_config("site.yaml", command)


def _with_config(config: str, command: str) -> list[str]:
    """Return the words of a command with the configuration where the launcher puts it."""
    words = command.split()
    at = sum(word in {"--verbose", "--quiet"} for word in words)
    return [*words[:at], "--config", config, *words[at:]]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--import-only --migrate-only", "--import-only and --migrate-only exclude each other"),
        ("--retry-failed-import --retry-failed-migrate", "exclude each other"),
        ("--report-status --recover-import-state", "exclude each other"),
        ("--retry-failed-import --incremental", "exclude each other"),
        ("--report-status --migrate-only", "exclude each other"),
        ("--report-status --validate", "exclude each other"),
        ("--compare-state", "--compare-state goes with --report-status"),
        ("--incremetal", "there is no flag --incremetal"),
        ("--init-venv", "--init-venv is no more"),
        ("other.yaml", "one configuration at a time: site.yaml, other.yaml"),
    ],
)
def test_what_does_not_go_together_is_refused(desk: Desk, flags: str, told: str) -> None:
    """Conflicting modes and unknown flags say what is wrong, exit 1 and start nothing."""
    done = desk.run("site.yaml", *flags.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert not (desk.home / ".venv" / "bin" / "called").exists()


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_flag(desk: Desk, flag: str) -> None:
    """`run_archiver.sh config.yaml --help` explains itself and starts nothing."""
    done = desk.run("config.yaml", flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert [flag for flag in FLAGS if flag not in done.stdout] == []


def test_the_configuration_is_looked_for(desk: Desk) -> None:
    """None named: config.yaml here, then beside the launcher, then archiverd's own search."""
    assert desk.called() == ["once"]
    (desk.home / "config.yaml").touch()
    assert desk.called() == ["--config", str(desk.home / "config.yaml"), "once"]
    (desk.work / "config.yaml").touch()
    assert desk.called() == ["--config", "./config.yaml", "once"]


def test_the_environment_file_is_looked_for(desk: Desk) -> None:
    """archiver.env stands beside the launcher, as it did, or else beside the configuration; it is not executed."""
    site = desk.work / "a site"
    site.mkdir()
    (site / "archiver.env").write_text("touch executed\n")
    config = str(site / "config.yaml")
    assert desk.called(config) == ["--config", config, "--env-file", str(site / "archiver.env"), "once"]
    (desk.home / "archiver.env").write_text("touch executed\n")
    assert desk.called(config) == ["--config", config, "--env-file", str(desk.home / "archiver.env"), "once"]
    assert not (desk.work / "executed").exists()


def test_strange_names_stay_one_word(desk: Desk) -> None:
    """Blanks, quotes and dollar signs in a configuration's name mean nothing to the launcher."""
    name = "a b'\"$(touch x)*.yaml"
    assert desk.called(name) == ["--config", name, "once"]
    assert list(desk.work.iterdir()) == []


def test_archiverd_is_found_beside_the_launcher_or_on_path(desk: Desk, tmp_path: Path) -> None:
    """.venv beside it, bin beside it (an installed environment), then PATH; a link to the launcher is followed."""
    link = tmp_path / "link.sh"
    link.symlink_to(desk.home / LAUNCHER.name)
    assert (
        subprocess.run([str(link)], env={"PATH": "/usr/bin:/bin"}, check=False, timeout=DEADLINE_SECONDS).returncode
        == 42
    )
    (desk.home / ".venv" / "bin").rename(desk.home / "bin")
    assert desk.run().returncode == 42
    (desk.home / "bin").rename(tmp_path / "elsewhere")
    done = desk.run()
    assert (done.returncode, "archiverd is neither in" in done.stderr) == (1, True)
    path = f"{tmp_path / 'elsewhere'}:/usr/bin:/bin"
    command = [str(desk.home / LAUNCHER.name)]
    assert subprocess.run(command, env={"PATH": path}, check=False, timeout=DEADLINE_SECONDS).returncode == 42


def test_tools_of_a_bundle_beside_it_are_found(desk: Desk) -> None:
    """A bulkloader in lib/ is on PATH, behind the system's programs."""
    (desk.home / "lib").mkdir()
    desk.called()
    assert (desk.home / ".venv" / "bin" / "path").read_text().strip() == f"/usr/bin:/bin:{desk.home / 'lib'}"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    """The launcher is clean shell."""
    done = subprocess.run(
        ["shellcheck", str(LAUNCHER)], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.stdout == ""
