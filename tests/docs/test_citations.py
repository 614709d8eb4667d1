"""Every document, section and trap that code, tests and documentation cite exists."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

PLACES = (
    "src",
    "native",
    "tests",
    "scripts",
    "benchmarks",
    "docs",
    "deploy",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)
ENDINGS = frozenset({".py", ".cpp", ".hpp", ".md", ".toml", ".service", ".txt", ".fcl", ".example", ""})
RECORDED = ROOT / "tests" / "data"

ROOMS = {
    "src/archiverd/ucondb": "ucondb_protocol.md",
    "src/archiverd/ucondb_server": "ucondb_protocol.md",
    "tests/ucondb": "ucondb_protocol.md",
    "tests/ucondb_server": "ucondb_protocol.md",
    "benchmarks/bench_ucondb.py": "ucondb_protocol.md",
    "src/archiverd/fhicl.py": "artdaqdb_format.md",
    "tests/fhicl": "artdaqdb_format.md",
    "native": "artdaqdb_format.md",
    "src/archiverd/runrecord": "run_records.md",
    "tests/runrecord": "run_records.md",
    "docs/quirks.md": "run_records.md",
}
"""Files in which a section without a document is one of this document."""

OTHERS = frozenset({"operator_notes.md", "x.md", "FILE_FORMATS.md"})
"""Files that tests, the demo or another project make: no documents of ours."""

NUMBER = r"(?:[A-F]\.\d+(?:\.\d+)*|\d+(?:\.\d+)*(?![\w%])|T\d{1,2})"
MORE = r"(?:, and |, | and | to )"
NUMBERS = rf"{NUMBER}(?:{MORE}{NUMBER})*"
LETTERS = r"[A-F](?![\w.])(?: (?:and|to) [A-F](?![\w.]))*"
CITED = re.compile(
    r"(?<![\w/*<{-])(?P<document>(?:[\w.-]+/)*[\w-]+\.md)(?!\w)"
    rf"(?P<rest>\)?(?:,? (?:sections? )?{NUMBERS}|,? sections? {LETTERS}|,? \"[^\"]+\"|,? ``\[[\w.]+\]``)*)"
)
"""A document, perhaps with sections by number or, in quotes, by name."""
BARE = re.compile(
    rf"(?<![\w.])(?:sections? (?P<numbers>{NUMBERS})|(?P<letter>[A-F]\.\d+(?:\.\d+)*)(?!\w)|(?P<trap>T\d{{1,2}})(?!\w))"
)
"""A section whose document goes without saying."""


@dataclass(frozen=True, slots=True)
class Document:
    """What can be cited of a document: sections by number, and by how a heading or paragraph begins."""

    numbers: frozenset[str]
    names: tuple[str, ...] = field(repr=False)

    def has(self, section: str) -> bool:
        """Return whether there is this section."""
        return section in self.numbers or any(name.startswith(section) for name in self.names)


def read_document(text: str) -> Document:
    """Collect what can be cited of a Markdown text."""
    numbers: set[str] = set()
    names = []
    for line in text.splitlines():
        heading = re.match(r"#+ (\d+(?:\.\d+)*|[A-F](?:\.\d+)+|[A-F](?=\. ))\.? ", line)
        if heading:
            numbers.add(heading[1])
        trap = re.match(r"\* \*\*(T\d+)\*\*|- \*\*(I\d)\*\*|\* \*\*(A\d+)\*\*|\| ([BL]\d+) \|", line)
        if trap:
            numbers.add(next(number for number in trap.groups() if number))
        names.append(re.sub(r"^(?:#+ (?:(?:\d|[A-F]\.)[\d.]* )?|\| |[*-] )?[*`]*", "", line))
    return Document(frozenset(numbers), tuple(names))


def plain(text: str) -> str:
    """Return a file's text with its lines joined, so that a citation may go over two of them."""
    return re.sub(r"\s*\n[ \t]*(?:///?|#+:?|\*)?[ \t]*", " ", text)


def files() -> Iterator[tuple[str, str]]:
    """Yield the path and text of each file that may cite something; not of recorded data, and not of this file."""
    for place in PLACES:
        path = ROOT / place
        for found in sorted(path.rglob("*")) if path.is_dir() else [path]:
            apart = RECORDED in found.parents or "build" in found.parts or found == Path(__file__)
            if found.suffix in ENDINGS and found.is_file() and not apart:
                yield found.relative_to(ROOT).as_posix(), found.read_text(encoding="utf-8", errors="replace")


@functools.cache
def documents() -> dict[str, Document]:
    """Read every document of the repository, by its file's name."""
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *RECORDED.rglob("*.md")]
    return {page.name: read_document(page.read_text(encoding="utf-8")) for page in pages}


def room_of(path: str) -> str:
    """Return the document that a bare section of the file means, or nothing."""
    return next((ROOMS[room] for room in ROOMS if path == room or path.startswith(f"{room}/")), "")


def owner(number: str) -> str:
    """Return the only document with numbers of this form, or nothing: traps are UconDB's, letters artdaqDB's."""
    return "ucondb_protocol.md" if number[0] == "T" else "artdaqdb_format.md" if number[0].isalpha() else ""


def cited(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield what a file cites: pairs of a document's name and a section, which is empty where all of it is meant."""
    text = plain(text)
    for match in CITED.finditer(text):
        name = match["document"].rsplit("/", 1)[-1]
        if name in OTHERS:
            continue
        yield name, ""
        for number in re.findall(rf"(?<![\w.])(?:{NUMBER}|[A-F](?![\w.]))", re.sub(r"\"[^\"]*\"", "", match["rest"])):
            yield name, number
        for quoted in re.findall(r"\"([^\"]+)\"|``(\[[\w.]+\])``", match["rest"]):
            yield name, quoted[0] or quoted[1]
    for match in BARE.finditer(CITED.sub(" ", text)):
        for number in re.findall(NUMBER, match["numbers"] or match[0]):
            name = owner(number) or room_of(path)
            if name:
                yield name, number


def wrong(path: str, text: str, known: dict[str, Document]) -> list[str]:
    """Return what a file cites that does not exist."""
    return [
        f"{path}: {name} {section}".rstrip()
        for name, section in cited(path, text)
        if name not in known or (section and not known[name].has(section))
    ]


def test_every_document_and_section_that_is_cited_exists() -> None:
    """No comment, test or page sends its reader to a document or section that is not there."""
    known = documents()
    assert [problem for path, text in files() for problem in wrong(path, text, known)] == []


def test_citations_are_found() -> None:
    """The test above sees as many citations as there are, of every document that is cited by section."""
    found = [pair for path, text in files() for pair in cited(path, text)]
    by_section = [name for name, section in found if section]
    counts = {name: by_section.count(name) for name in sorted(set(by_section))}
    assert counts["ucondb_protocol.md"] > 80, counts
    assert counts["artdaqdb_format.md"] > 80, counts
    assert counts["run_records.md"] > 30, counts
    assert counts["contract.md"] >= 3, counts
    assert counts["design.md"] >= 2, counts


@pytest.mark.parametrize(
    "text",
    [
        '"""(run_records.md 2.9)"""',
        '"""(run_records.md 2.4 to 9.9)"""',
        '"""(artdaqdb_format.md section A.99)"""',
        '"""Ours (artdaqdb_format.md sections A.3\n   and Z.1, A.12)."""',
        "// (artdaqdb_format.md section\n// C.77)",
        '"""(ucondb_protocol.md section 11, T77)"""',
        "# nothing on the wire tells (T99)",
        "# one lock (section 44)",
        "# pretty (A.77)",
        '"""(contract.md, "The blub")"""',
        '"""(contract.md, ``[wacth]``)"""',
        '"""(design.md, "No such part")"""',
        "see docs/nowhere.md",
    ],
)
def test_a_wrong_citation_is_found(text: str) -> None:
    """A section or document that does not exist is named, in each form that is in use, also over two lines."""
    assert wrong("src/archiverd/ucondb/x.py", text, documents()) != []


def test_right_citations_pass() -> None:
    """The forms in use are understood: lists, ranges, names in quotes, bare sections."""
    text = """(run_records.md 2.4 to 2.6), (run_records.md, "What FHiCL itself cannot say"), (A.6.3), (T1),
    (section 5, T18), (artdaqdb_format.md sections C.2,
    C.3 and F.3), (contract.md, "The blob"), (artdaqdb_format.md section C.3, "Duplicates"), docs/commands.md"""
    found = list(cited("src/archiverd/ucondb/x.py", text))
    assert ("run_records.md", "2.6") in found
    assert ("artdaqdb_format.md", "F.3") in found
    assert ("artdaqdb_format.md", "Duplicates") in found
    assert ("ucondb_protocol.md", "5") in found
    assert ("ucondb_protocol.md", "T18") in found
    assert wrong("src/archiverd/ucondb/x.py", text, documents()) == []


def test_every_invariant_that_is_named_is_in_the_design() -> None:
    """``(I6)`` and the like mean what docs/design.md lists."""
    known = documents()["design.md"].numbers
    named = {name for path, text in files() for name in re.findall(r"\((I\d)\)", text)}
    assert len(named) >= 4
    assert named <= known


def test_every_recorded_case_that_is_named_was_recorded() -> None:
    """The protocol's bracketed names, and the examples of artdaqDB's format, are recorded cases."""
    recorded = json.loads((RECORDED / "ucondb" / "server_exchanges.json").read_text("utf-8"))["recorded"]
    text = (ROOT / "docs" / "formats" / "ucondb_protocol.md").read_text("utf-8")
    names = [name for group in re.findall(r"\*\[([\w/*, ]+)\]\*", text) for name in group.split(", ")]
    assert len(names) > 15
    for name in names:
        if name != "brackets":
            assert any(case == name or (name[-1] in "*/" and case.startswith(name.rstrip("*"))) for case in recorded), (
                name
            )
    conversions = json.loads((RECORDED / "fhicl" / "imports.json").read_text("utf-8"))
    text = (ROOT / "docs" / "formats" / "artdaqdb_format.md").read_text("utf-8")
    refused = re.findall(r"^\| (\w+) \| `\".*\"` \| (?:line (\d+), character (\d+))?", text, re.MULTILINE)
    assert len(refused) > 65
    for name, line, column in refused:
        assert not line or conversions[name]["error"] == [int(line), int(column)], name
    examples = re.findall(r"^\| `(\w+)` \| `(\".*?\")` \| `.*?` \| [\w, ]+ \| `(\".*\")` \|$", text, re.MULTILINE)
    assert len(examples) > 15
    for name, given, exported in examples:
        assert conversions[name]["input"] == json.loads(given), name
        assert conversions[name]["exported"] == json.loads(exported), name


def test_every_fault_with_a_test_is_in_the_run_records_document() -> None:
    """The faults of the older converters that have tests are those of run_records.md 5.1 to 5.3."""
    known = documents()["run_records.md"].numbers
    faults = tomllib.loads((RECORDED / "runrecord" / "faults.toml").read_text("utf-8"))["fault"]
    around = tomllib.loads((RECORDED / "runrecord" / "around.toml").read_text("utf-8"))
    assert {fault["id"] for fault in faults} | set(around) <= known
