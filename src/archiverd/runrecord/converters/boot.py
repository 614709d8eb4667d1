"""boot.txt, which was config.txt before v1_00_06: the boot file (run_records.md 1.3 and 5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from archiverd.runrecord.converter import TextConverter
from archiverd.runrecord.entries import Entry, is_number, render, split_remark, unquoted, value
from archiverd.runrecord.spelling import BLANKS, comment, encoded_key, key, lines_of, string, strings

_BLOCK_KEY: Final = re.compile(
    r"(EventBuilder|DataLogger|Dispatcher|RoutingManager|RoutingMaster|Aggregator)[ \t]+"
    r"(host|port|label|subsystem|allowed_processors|target|prepend)"
    r"|(Subsystem)[ \t]+(id|source|destination|fragmentMode)"
)
_ORDER: Final = (
    *("id", "source", "destination", "fragmentMode"),
    *("label", "host", "port", "subsystem", "allowed_processors", "target", "prepend"),
)
_PROCESSES: Final = "artdaq_process_settings"
_SUBSYSTEMS: Final = "subsystem_settings"


@dataclass(slots=True)
class _Block:
    """The lines of one process or one subsystem."""

    kind: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def takes(self, kind: str, name: str) -> bool:
        """Return whether a line belongs to this block: same kind, and a new field; ``source`` may repeat."""
        return kind == self.kind and (name not in self.fields or name == "source")

    def to_fhicl(self) -> str:
        """Return the block as a FHiCL table on one line."""
        parts = [] if self.kind == "Subsystem" else [f'name: "{self.kind}"']
        parts += [f"{name}: {_field(name, self.fields[name])}" for name in _ORDER if name in self.fields]
        return f"{{ {' '.join(parts)} }}"

    def remark(self) -> str:
        """Return the comments behind the block's values as one."""
        return "".join(f" {comment(remark)}" for remark in self.remarks)


def _field(name: str, texts: list[str]) -> str:
    """Return a field's value: ports as numbers, several sources as a sequence, the rest as strings."""
    plain = [unquoted(text) for text in texts]
    if len(plain) > 1:
        return strings(plain)
    if name == "port" and is_number(plain[0]) and plain[0].isdigit():
        return plain[0]
    return string(plain[0])


def to_fhicl(data: bytes) -> str:
    """Return boot.fcl: plain keys, the subsystems if there are any, and always the processes, each in file order."""
    plain: list[Entry] = []
    blocks: list[_Block] = []
    unparsed: list[str] = []
    current: _Block | None = None
    for line in (line.strip(BLANKS) for line in lines_of(data)):
        name, colon, text = line.partition(":")
        if not line:
            current = None
        elif not line.startswith("#"):
            if not colon or not name.strip(BLANKS):
                unparsed.append(line)
                continue
            current = _take(name.rstrip(BLANKS), text.lstrip(BLANKS), plain, blocks, current)
    subsystems = [block for block in blocks if block.kind == "Subsystem"]
    processes = [block for block in blocks if block.kind != "Subsystem"]
    tables = [Entry(_SUBSYSTEMS, _tables(subsystems))] if subsystems else []
    return render([*plain, *tables, Entry(_PROCESSES, _tables(processes))], unparsed=unparsed)


def _take(name: str, text: str, plain: list[Entry], blocks: list[_Block], current: _Block | None) -> _Block | None:
    """Add one ``name: text`` line to the plain keys or to a block; return the block that is open now."""
    text, remark = split_remark(text, after_blank=True)
    match = _BLOCK_KEY.fullmatch(name)
    if match is None:
        plain.append(Entry(_key(name), value(text), remark))
        return current
    kind, part = match[1] or match[3], match[2] or match[4]
    if current is None or not current.takes(kind, part):
        current = _Block(kind)
        blocks.append(current)
    current.fields.setdefault(part, []).append(text)
    if remark:
        current.remarks.append(remark)
    return current


def _key(name: str) -> str:
    """Return a plain key, blanks as ``_``; a dotted name, an override of a FHiCL parameter, stays dotted."""
    plain = re.sub(r"[ \t]+", "_", name)
    return plain if key(plain) == plain else encoded_key(name)


def _tables(blocks: list[_Block]) -> str:
    """Return the blocks as a FHiCL sequence, one block a line."""
    lines = []
    for number, block in enumerate(blocks, start=1):
        lines.append(f"{block.to_fhicl()}{',' if number < len(blocks) else ''}{block.remark()}")
    end = "\n]" if blocks and blocks[-1].remarks else " ]"
    return "[ " + "\n  ".join(lines) + end if blocks else "[ ]"


BOOT: Final = TextConverter(name="boot", to_fhicl=to_fhicl, blob_place=1)
CONFIG: Final = TextConverter(name="config", to_fhicl=to_fhicl)
