"""The files of one made-up run record, as DAQInterface v3_14_01 names and writes them (run_records.md section 1)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from archiverd.demo import detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archiverd.demo.detector import Process

DAY = 86_400.0
BASE = f"/home/{detector.NAME}/daq"
LOGS = "/daq/log"
PACKAGES = ("artdaq", "artdaq-core", "lantern-artdaq")
CONFIGURATIONS = ("beam_standard", "beam_zero_bias", "cosmics_crossing", "pedestal_all", "calibration_laser")


@dataclass(frozen=True, slots=True)
class DemoFile:
    """One file of a run record."""

    name: str
    content: bytes
    age: float
    """Seconds from its last change to the copy; the copy preserves that time."""


@cache
def files(seed: int, era: int, partition: int) -> tuple[DemoFile, ...]:
    """Return the files of every run with one configuration (an ``era``), equal in all of them."""
    rng = random.Random(f"{seed}/{era}/{partition}")  # noqa: S311 - made-up runs, not secrets
    config = f"{rng.choice(CONFIGURATIONS)}_{era:05} common_code"
    everyone = detector.processes(partition)
    configured = {f"{label}.fcl": text for label, text in detector.fhicl(everyone, partition, rng).items()}
    configured["boot.txt"] = _boot(everyone)
    configured["ranks.txt"] = _ranks(everyone)
    configured["environment.txt"] = _environment(partition)
    configured["metadata.txt"] = _metadata(config, everyone, partition, rng)
    copied = {  # `cp -p` of files that people edit: each has its own age
        "setup.txt": (SETUP, 200 * DAY),
        "settings.txt": (SETTINGS, 30 * DAY),
        "known_boardreaders_list.txt": (_known_boardreaders(everyone), 12 * DAY),
    }
    age = rng.uniform(20.0, 90.0)
    return (
        *(DemoFile(name, text.encode(), age) for name, text in configured.items()),
        *(DemoFile(name, text.encode(), age) for name, (text, age) in copied.items()),
    )


def _boot(everyone: Sequence[Process]) -> str:
    """Return boot.txt: how everything but the board readers is started."""
    head = f"DAQ setup script: {BASE}/setup_daq.sh\n\n# 0 to 4, in order of verbosity\ndebug level: 1\n\n"
    blocks = [
        f"{process.kind} host: {process.host}\n{process.kind} label: {process.label}\n\n"
        for process in everyone
        if process.kind != "BoardReader"
    ]
    return head + "".join(blocks)


def _ranks(everyone: Sequence[Process]) -> str:
    """Return ranks.txt: five columns padded with blanks."""
    header = f"{'host':<30}{'port':<10}{'label':<20}{'subsystem':<15}{'rank':<10}\n\n"
    return header + "".join(f"{p.host:<29} {p.port:<9} {p.label:<19} {'1':<14} {p.rank:<9}\n" for p in everyone)


def _environment(partition: int) -> str:
    """Return environment.txt, the only file that names the partition."""
    variables = {
        "FHICL_DIRECTORY": "IGNORED",
        "KNOWN_BOARDREADERS_LIST": f"{BASE}/known_boardreaders_list",
        "LOGDIR": LOGS,
        "LOGFILE": f"{LOGS}/DAQInterface_partition{partition}.log",
        "PARTITION_NUMBER": str(partition),
        "PORT": str(10_000 + 1_000 * partition),
        "PROCESS_MANAGEMENT_METHOD": "direct",
        "SETTINGS": f"{BASE}/settings",
        "STANDARD_SOURCEFILE_SOURCED": "true",
        "TTY": f"pts/{3 + partition}",
    }
    return "".join(f"export DAQINTERFACE_{name}={value}\n" for name, value in variables.items())


def _known_boardreaders(everyone: Sequence[Process]) -> str:
    """Return known_boardreaders_list.txt, with one entry that has a command prefix."""
    lines = ["# name host port subsystem allowed_processors prefix"]
    lines += [f"{p.label} {p.host} -1 1" for p in everyone if p.kind == "BoardReader"]
    lines.append(f'spare01 {detector.NAME}-spare01.example.org -1 1 0-15 "/usr/bin/nice -n 5 "')
    return "\n".join(lines) + "\n"


def _metadata(config: str, everyone: Sequence[Process], partition: int, rng: random.Random) -> str:
    """Return metadata.txt as it is before the time lines are appended (run_records.md section 1.2)."""
    readers = sorted(process.label for process in everyone if process.kind == "BoardReader")
    lines = [f"Config name: {config}"]
    lines += [f"Component #{index}: {label}" for index, label in enumerate(readers)]
    lines += [
        f"DAQInterface directory: {detector.HOST}:{BASE}/DAQInterface",
        f"DAQInterface logfile: {detector.HOST}:{LOGS}/DAQInterface_partition{partition}.log",
        "",
        "# <git commit hash> <lines added> <lines removed> <comment> <time> <branch>, then build time and version",
        "",
    ]
    for package in ("DAQInterface", *PACKAGES, "sbndaq"):
        commit = f"{rng.getrandbits(160):040x} 0 {rng.choice([0, 0, 12])}"
        said = '"Keep the last fragment of a pulse" "Tue Oct 15 09:11:12 2024 -0500" "develop"'
        lines += [f"{package} commit/version: {commit} {said} {BUILD}", ""]
    lines += ["", "process management method: direct", "", ""]
    lines += ["process manager logfiles: ", f"{LOGS}/pmt/launch_attempt_{detector.HOST}_partition{partition}", ""]
    stamp = f"202503{rng.randrange(1, 29):02}{rng.randrange(24):02}{rng.randrange(60):02}00"
    for kind in ("BoardReader", "EventBuilder", "DataLogger", "Dispatcher", "RoutingManager"):
        lines += ["", f"{kind.lower()} logfiles: "]
        lines += [_logfile(process, stamp, rng) for process in everyone if process.kind == kind]
    return "\n".join(lines) + "\n"


def _logfile(process: Process, stamp: str, rng: random.Random) -> str:
    """Return where a process logs, with its host in front."""
    name = f"{process.label}-{process.host.partition('.')[0]}-{process.port}"
    return f"{process.host}:{LOGS}/{name}/{name}-{stamp}-{rng.randrange(2_000, 400_000)}.log"


BUILD = '"time from BuildInfo undetermined" "version from BuildInfo undetermined"'

SETUP = f"""\
#!/bin/bash
# Sets up the DAQ of {detector.NAME} on every node; DAQInterface sources it before it starts a process.

echo -e "\\033[1mSetting up the DAQ\\033[0m"
if [[ -z "$DAQINTERFACE_PARTITION_NUMBER" ]]; then
\techo "DAQINTERFACE_PARTITION_NUMBER is not set: nothing done." >&2
\treturn 1
fi

source {BASE}/products/setup
setup lantern_artdaq v1_10_06 -q e28:prof
export TRACE_FILE="/tmp/trace_buffer_$USER"
export FHICL_FILE_PATH="{BASE}/fcl:$FHICL_FILE_PATH"
ulimit -c unlimited
toffS 'Dispatcher*' 8-31  # quiet
"""

SETTINGS = f"""\
# Settings of DAQInterface at {detector.NAME}

log_directory: {LOGS}
data_directory_override: /data/{detector.NAME}
record_directory: /daq/run_records
package_hashes_to_save: [ {", ".join(PACKAGES)} ]

boardreader timeout: 120
eventbuilder timeout: 30
datalogger timeout: 30
dispatcher timeout: 30

boardreader_priorities_on_stop: trigger* tpc* .*
advanced_memory_usage: true
all_events_to_all_dispatchers: false  # true needs twice the network
"""

OPERATOR_NOTES = b"""\
# Notes of the shift

- 14:20 crate tpc03 power-cycled, baseline looks fine again
- 14:35 short run for the PMT group; they want it *kept*
"""
"""A file that a person put into a run record: no rule of any schema takes it, and it is not FHiCL."""
