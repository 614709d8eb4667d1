"""The converters: the examples of run_records.md section 5, and arbitrary files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd import fhicl
from archiverd.runrecord.converters.registry import TEXT_CONVERTERS
from archiverd.runrecord.converters.run_history import run_history, run_history_update
from archiverd.runrecord.metadata import configuration_name, parse
from archiverd.runrecord.preparation import prepare
from archiverd.runrecord.record import RecordFile, RunRecord

RANKS_HEADER = "host                          port      label               subsystem      rank      \n\n"
RANKS_FCL = """\
ranks: {
  header: ["host", "port", "label", "subsystem", "rank"]
  rank0: ["sbnd-tpc01-daq", "11100", "tpc01", "1", "0"]
}
"""
ORACLE = {
    "metadata": (
        """\
Config name: run2-beam-noSN-00012
Component #0: ptb01PULL
Component #1: tpc01
DAQInterface directory: h:/d
# note
sbndaq commit/version: v1_10_06 "t" "v"

process management method: direct


datalogger logfiles:\x20

dispatcher logfiles:\x20
h:/log/D1.log

DAQInterface start time: Tue Mar 11 20:47:19 UTC 2025
""",
        """\
config_name: "run2-beam-noSN-00012"
components: ["ptb01PULL", "tpc01"]
DAQInterface_directory: "h:/d"
# note
sbndaq_commit_or_version: "v1_10_06  t   v "
process_management_method: "direct"

datalogger_logfiles: []

dispatcher_logfiles: ["h:/log/D1.log"]
daqinterface_start_time: "Tue Mar 11 20:47:19 UTC 2025"
""",
    ),
    "boot": (
        """\
debug level: 4
# EVENT BUILDERS
Subsystem id: 1

EventBuilder host: sbnd-evb02-daq
EventBuilder label: EventBuilder2

request_address: "227.128.12.26"
Dispatcher host: localhost
Dispatcher label: Dispatcher1
Dispatcher port: 6021
Dispatcher subsystem: 2
""",
        """\
debug_level: 4
request_address: "227.128.12.26"
subsystem_settings: [ { id: "1" } ]
artdaq_process_settings: [ { name: "EventBuilder" label: "EventBuilder2" host: "sbnd-evb02-daq" },
  { name: "Dispatcher" label: "Dispatcher1" host: "localhost" port: 6021 subsystem: "2" } ]
""",
    ),
    "known_boardreaders_list": (
        'tpc01 h -1 1\n# comment\ncrt01 h -1 "a b "\n',
        'tpc01: ["h", "-1", "1"]\ncrt01: ["h", "-1", "a b " ]\n',
    ),
    "settings": (
        "# seconds\nboardreader timeout: 60\nadvanced_memory_usage: True\nhashes: [ artdaq, x ]\nlog (dir): /daq/log\n",
        'boardreader_timeout: 60\nadvanced_memory_usage: true\nhashes: [ artdaq, x ]\nlog_dir_: "/daq/log"\n',
    ),
    "setup": ('#!/bin/sh\n\techo "a\\b"\n', 'setup_script: "#!/bin/sh\\n\techo \\"a\\\\b\\"\\n"'),
    "environment": (
        "export DAQINTERFACE_LOGDIR=/daq/log\nexport DAQINTERFACE_PARTITION_NUMBER=1\n",
        'DAQINTERFACE_LOGDIR: "/daq/log"\nDAQINTERFACE_PARTITION_NUMBER: "1"\n',
    ),
    "ranks": (
        RANKS_HEADER + "sbnd-tpc01-daq                11100     tpc01               1              0        \n",
        RANKS_FCL,
    ),
    "rc_info_start": ("comment: beam on\nshifter: 7\n", 'comment: "beam on"\nshifter: 7\n'),
}
ALIASES = {"config": "boot", "rc_info_stop": "rc_info_start"}
"""Files that are converted by another's function."""
CONVERTED = sorted(TEXT_CONVERTERS)


def converted(name: str, data: bytes) -> bytes:
    """Return the FHiCL of one text file."""
    prepared = prepare(RunRecord(1, (RecordFile(f"{name}.txt", data),)), [name])
    assert not prepared.rejected
    (file,) = prepared.files
    return file.fcl


@pytest.mark.parametrize("name", sorted(ORACLE))
def test_oracle(name: str) -> None:
    """An ordinary file is converted, byte for byte, as it always was (run_records.md section 5)."""
    text, expected = ORACLE[name]
    assert converted(name, text.encode()) == expected.encode()


@pytest.mark.parametrize("name", ALIASES)
def test_files_that_are_converted_alike(name: str) -> None:
    """config.txt, the boot file of the oldest layout, is converted like boot.txt, and the two rc_info files alike."""
    text, expected = ORACLE[ALIASES[name]]
    assert converted(name, text.encode()) == expected.encode()


def test_every_converter_has_its_example() -> None:
    """Each converter has an ordinary file and its FHiCL above."""
    assert sorted({*ORACLE, *ALIASES}) == CONVERTED


def test_run_history() -> None:
    """RunHistory.fcl has the run, the configuration and the components, an empty line after each."""
    metadata = parse(ORACLE["metadata"][0].encode())
    expected = 'run_number: 19661\n\nconfig_name: "run2-beam-noSN-00012"\n\ncomponents: ["ptb01PULL", "tpc01"]\n\n'
    assert run_history(19661, metadata) == expected


@pytest.mark.parametrize("prefix", ["DAQInterface start time|DAQInterface stop time", "Start time|Stop time"])
def test_run_history_update(prefix: str) -> None:
    """RunHistory2.fcl has the times in file order under their newer names, whichever layout wrote them."""
    start, stop = prefix.split("|")
    metadata = parse(f"{start}: a\n\n{stop}: b\n".encode())
    assert run_history_update(1, metadata) == 'DAQInterface_start_time: "a"\nDAQInterface_stop_time: "b"\n'


LINES = {
    "metadata": [
        "Config name: {}",
        "Component #0: {}",
        "{} logfiles: {}",
        "{}",
        "a commit/version: {}",
        "# {}",
        "{}: {}",
        "",
    ],
    "boot": ["{}: {}", "EventBuilder {}: {}", "EventBuilder label: {}", "Subsystem source: {}", "x: [{}]", "# {}", ""],
    "settings": ["{}: {}", "x: [ {}, {} ]", "x: [ {},", "{} ]", "x: {} # {}", "{}"],
    "known_boardreaders_list": ["{} {}", '{} h "{}"', '{} "{}', "# {}", '{} {}="{}"'],
    "environment": ["export {}={}", "{}", "export A={}"],
    "ranks": ["{} 1 {} 1 {}", "host port label rank", "{}\t{}\t{}\t{}", "{}"],
    "rc_info_start": ["{}: {}", "{}"],
}
ODD = [
    "\\",
    '"',
    "'",
    "#",
    "[",
    "]",
    "{",
    "é",
    "\0",
    "\x0c",
    " ",
    "a",
    "1",
    ".",
    ":",
    "-",
    "%",
    "//",
    "components",
    "=",
]
WORDS = st.lists(st.sampled_from(ODD), max_size=5).map("".join)


def texts(name: str) -> st.SearchStrategy[bytes]:
    """Return files whose lines nearly follow the grammar of ``name``."""
    line = st.builds(
        lambda form, words: form.format(*words), st.sampled_from(LINES[name]), st.lists(WORDS, min_size=4, max_size=4)
    )
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    return st.lists(st.tuples(line, ends), max_size=6).map(lambda lines: "".join(a + b for a, b in lines).encode())


@pytest.mark.parametrize("name", sorted(LINES))
@given(data=st.data())
def test_odd_lines(name: str, data: st.DataObject) -> None:
    """Lines that nearly follow the grammar become FHiCL with no key twice, so that nothing overwrites anything."""
    fcl = converted(name, data.draw(texts(name)))
    _check(fcl, name)


@pytest.mark.parametrize("name", CONVERTED)
@given(data=st.binary(max_size=120))
def test_any_bytes(name: str, data: bytes) -> None:
    """Any bytes at all become FHiCL with no key twice."""
    _check(converted(name, data), name)


def _check(fcl: bytes, name: str) -> None:
    """Check that a text is FHiCL without repeated keys; and metadata.fcl what its readers need."""
    tree = fhicl.parse_values(fcl, name)
    assert isinstance(tree, dict)
    keys = [key for key, _ in tree["main"]]
    assert len(keys) == len(set(keys))
    if name == "metadata":
        assert b"#####" not in fcl
        assert b"End of Record" not in fcl
        for key in (b"config_name", b"components", b"sbndaq_commit_or_version"):
            assert len(re.findall(key + rb":\s", fcl)) <= 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (None, "standard"),
        ("", "standard"),
        ("Config name:  \n", "standard"),
        ("Config name: a\nConfig name: b\n", "b"),
        ('Config name: "low gain"\n', "low_gain"),
        ("Config name: np04/a  b\n", "np04_a__b"),
        ("Config name: ..\n", "%2E."),
        ("Config name: a%b*c?\n", "a%25b%2Ac%3F"),
    ],
)
def test_configuration_name(text: str | None, name: str) -> None:
    """The configuration's name is one that artdaqDB takes, the same for the same text, and never empty."""
    assert configuration_name(None if text is None else parse(text.encode())) == name


@given(st.binary(max_size=300))
def test_any_configuration_name(name: bytes) -> None:
    """Whatever the configuration is called, its name is short and plain."""
    result = configuration_name(parse(b"Config name: " + name.replace(b"\n", b"").replace(b"\r", b"")))
    assert re.fullmatch(r"[A-Za-z0-9_%-][A-Za-z0-9_.%-]{0,199}", result)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings", 'x: [ "' + '\\"' * 200_000),
        ("settings", "x: [ a,\n" * 20_000),
        ("known_boardreaders_list", '"' * 200_001 + "\\" * 200_001),
        ("known_boardreaders_list", "a # " * 50_000),
        ("metadata", "a " + " " * 200_000 + "x logfiles x: y\n" + "a logfiles" * 50_000 + ":\n"),
        ("settings", "9: [ a,\n" * 20_000),
        ("boot", "a." * 100_000 + "a: 1\n"),
        ("metadata", "a: " + "[" * 200_000 + "]" * 200_000),
        ("boot", "x: " + '# "' * 100_000),
        ("ranks", "a b " + "c " * 100_000),
        ("environment", "export A" * 50_000 + "\nexport B=1\n" + "x\n" * 50_000),
        ("metadata", "a: 1\n" * 20_000),
    ],
    ids=range(12),
)
def test_hostile_files(name: str, text: str) -> None:
    """Files made to be slow are converted like any other, within the test run's timeout."""
    _check(converted(name, text.encode()), name)
