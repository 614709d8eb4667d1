"""metadata.txt: its grammar, and the name of a run's configuration (run_records.md 1.2 and 5)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from archiverd.runrecord.entries import Entry, quoted, value
from archiverd.runrecord.spelling import BLANKS, comment, encoded_key, key, lines_of, string, strings

_CONFIG_NAME: Final = "Config name"
_KNOWN_KEYS: Final = {
    "DAQInterface start time": "daqinterface_start_time",
    "DAQInterface stop time": "daqinterface_stop_time",
    "Total events": "total_events",
}
_COMPONENT: Final = re.compile(r"Component #\d+", re.ASCII)
_LOG_FILES: Final = re.compile(r"[ \t]logfile(?:s|\(s\))\Z")
_TIME: Final = re.compile(r"(?:DAQInterface )?[Ss](tart|top) time")
_COMMIT: Final = "commit/version"
_READ_DOWNSTREAM: Final = ("config_name", "components", "sbndaq_commit_or_version")
"""Keys that readers expect exactly once; no other key may end in one of them (run_records.md section 4)."""

_LONGEST_CONFIGURATION: Final = 200


@dataclass(frozen=True, slots=True)
class TimeLine:
    """A start or stop line, in either spelling of its key."""

    which: str
    """``start`` or ``stop``."""
    text: str
    """The time as written."""


@dataclass(slots=True)
class Metadata:
    """The content of metadata.txt; texts are byte text."""

    configuration: str | None = None
    """The last ``Config name``; None if there is no such line."""
    components: list[str] = field(default_factory=list)
    times: list[TimeLine] = field(default_factory=list)
    items: list[Entry | str | None] = field(default_factory=list)
    """Entries and comment lines in file order; None in the place of the components."""
    unparsed: list[str] = field(default_factory=list)

    def last(self, which: str) -> str | None:
        """Return the text of the last ``start`` or ``stop`` line, or None."""
        return next((line.text for line in reversed(self.times) if line.which == which), None)


def parse(data: bytes) -> Metadata:
    """Parse metadata.txt. Takes any bytes: lines that follow no grammar go to ``unparsed``."""
    metadata = Metadata()
    lines = [line.strip(BLANKS) for line in lines_of(data)]
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        name, colon, text = line.partition(":")
        name, text = name.rstrip(BLANKS), text.lstrip(BLANKS)
        log_files = _LOG_FILES.search(name) if colon and not line.startswith("#") else None
        if log_files is not None:
            position = _take_log_files(metadata, name[: log_files.start()].rstrip(BLANKS), text, lines, position)
        elif name.endswith(_COMMIT) and colon and not line.startswith("#"):
            position = _take_commit(metadata, name, text, lines, position)
        elif line:
            _take_line(metadata, line, name, text if name and colon else None)
    return metadata


def _take_line(metadata: Metadata, line: str, name: str, text: str | None) -> None:
    """Add a line that belongs to no list; ``text`` is None if it is not ``key: value``."""
    if line.startswith("#"):
        metadata.items.append(comment(line, guarded=True))
    elif text is None:
        metadata.unparsed.append(line)
    elif _COMPONENT.fullmatch(name):
        if not metadata.components:
            metadata.items.append(None)
        metadata.components.append(text)
    elif name == _CONFIG_NAME:
        metadata.configuration = text
        metadata.items.append(Entry("config_name", quoted(text, guarded=True)))
    else:
        time = _TIME.fullmatch(name)
        if time is not None:
            metadata.times.append(TimeLine(f"s{time[1]}", text))
        metadata.items.append(Entry(_key(name), value(text, guarded=True)))


def _take_log_files(metadata: Metadata, name: str, text: str, lines: list[str], position: int) -> int:
    """Add a list of log files, which ends at an empty line; return the position behind it."""
    paths = [text] if text else []
    while position < len(lines) and lines[position] and not _TIME.match(lines[position]):
        paths.append(lines[position])
        position += 1
    entry = Entry(_key(f"{name} logfiles"), strings(paths, guarded=True), lead="\n")
    metadata.items.append(entry)
    return position


def _take_commit(metadata: Metadata, name: str, text: str, lines: list[str], position: int) -> int:
    """Add a package's version; its build information may be on lines of its own that begin with a quote (1.2)."""
    begin = position
    while position < len(lines) and lines[position].startswith('"'):
        position += 1
    text = " ".join((text, *lines[begin:position]))
    written = f"{name.removesuffix(_COMMIT)}commit_or_version"
    metadata.items.append(Entry(_commit_key(written, name), string(text.replace('"', " "), guarded=True)))
    return position


def _commit_key(written: str, name: str) -> str:
    """Return the key of a package's version: ``sbndaq_commit_or_version``."""
    plain = re.sub(r"[ \t-]", "_", written)
    if plain == "sbndaq_commit_or_version":
        return plain
    spelled = key(plain)
    return _unlike_read_keys(spelled if spelled == plain else encoded_key(name), name)


def _key(name: str) -> str:
    """Return the FHiCL key of a line that is neither a component, a package's version nor the configuration."""
    if name in _KNOWN_KEYS:
        return _KNOWN_KEYS[name]
    plain = re.sub(r"[ \t-]+", "_", name)
    spelled = key(plain)
    return _unlike_read_keys(spelled if spelled == plain else encoded_key(name), name)


def _unlike_read_keys(spelled: str, name: str) -> str:
    """Return ``spelled``, or, if readers would take it for one of their keys, ``name`` with its end encoded."""
    if not spelled.endswith(_READ_DOWNSTREAM):
        return spelled
    return f"{encoded_key(name[:-1])}_{ord(name[-1]):02X}"


def configuration_name(metadata: Metadata | None) -> str:
    """Return the name of the artdaqDB configuration: ``Config name`` with ``/`` and blanks as ``_``, else ``standard``.

    DAQInterface itself writes ``a b/c`` as ``a_b_c``. Characters that artdaqDB or a shell may treat specially (all but
    letters, digits and ``_ . -``, and a leading dot) become ``%XX``. Of a name of more than 200 characters the first
    160 stay, followed by 16 hexadecimal digits of its SHA-256.
    """
    text = (metadata.configuration or "" if metadata is not None else "").strip(BLANKS)
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1].strip(BLANKS)
    if not text:
        return "standard"
    plain = re.sub(r"[/ \t]", "_", text)
    name = re.sub(r"[^A-Za-z0-9_.-]|\A\.", lambda match: f"%{ord(match[0]):02X}", plain)
    if len(name) <= _LONGEST_CONFIGURATION:
        return name
    return f"{name[:160]}-{hashlib.sha256(text.encode('latin-1')).hexdigest()[:16]}"
