"""Write docs/troubleshooting.md and docs/runbook-coverage.md from tests/data/runbook.

python scripts/troubleshooting.py             write docs/troubleshooting.md
python scripts/troubleshooting.py --coverage  run tests/runbook too, and write docs/runbook-coverage.md with the results
python scripts/troubleshooting.py --check     exit 1 if they are not what would be written, or a result is not "passed"
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "runbook"
TESTS = ROOT / "tests" / "runbook"
GUIDE = ROOT / "docs" / "troubleshooting.md"
COVERAGE = ROOT / "docs" / "runbook-coverage.md"
MADE = "scripts/troubleshooting.py"
NOT_RUN = "not run"

ABOUT_COVERAGE = f"""\
# Every heading of the troubleshooting guide, and its test

Made by `{MADE} --coverage`, which runs `tests/runbook` and records the results. Each test provokes the
fault on real parts, compares message and exit code with the quoted ones, does what [our guide](troubleshooting.md)
says, and checks that this helped.

*Symptom*: how the guide's symptom shows here. *Solution*: whether the guide's solution works, or the shorter one that
replaced it.

| heading | symptom | solution | test | result |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """archiverd's answer to one heading; tests/data/runbook/entries.toml explains the fields."""

    heading: str
    symptom: str
    shown: str
    solution: str
    tests: list[str]
    says: str = ""
    do: str = ""
    gone: tuple[tuple[str, str], ...] = ()

    @property
    def level(self) -> int:
        """The heading's depth, from 1."""
        return len(self.heading) - len(self.heading.lstrip("#"))

    @property
    def title(self) -> str:
        """The heading without its marks."""
        return self.heading.lstrip("#").strip()


def entries() -> list[Entry]:
    """Return the entries in the guide's order."""
    return [Entry(**one) for one in tomllib.loads((DATA / "entries.toml").read_text(encoding="utf-8"))["entry"]]


def headings() -> list[str]:
    """Return the headings of the guide."""
    return (DATA / "headings.md").read_text(encoding="utf-8").splitlines()


def anchors(titles: list[str]) -> list[str]:
    """Return GitHub's anchors of headings: lower case, no punctuation, blanks as hyphens, numbered if repeated."""
    seen: Counter[str] = Counter()
    found = []
    for title in titles:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.append(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def guide() -> str:
    """Return docs/troubleshooting.md as it should be."""
    listed = entries()
    slugs = anchors([entry.title for entry in listed])
    return "\n".join(_section(entry, listed, slugs) for entry in listed)


def _section(entry: Entry, listed: list[Entry], slugs: list[str]) -> str:
    """Return one entry as Markdown."""
    parts = [entry.heading, entry.symptom.strip()]
    if entry.title == "Table of Contents":
        parts.append(_contents(listed, slugs))
    if entry.says:
        parts.append(f"```text\n{entry.says.strip()}\n```")
    parts.append(entry.do.strip())
    if entry.gone:
        rows = "\n".join(f"| {_cell(old)} | {_cell(new)} |" for old, new in entry.gone)
        parts.append(f"| no more | now |\n|---|---|\n{rows}")
    proofs = ", ".join(f"`tests/runbook/{test}`" for test in entry.tests)
    parts.append(f"Proven by {proofs}.")
    if entry.level == 1:
        parts.append(f"This page is made by `{MADE}` from `tests/data/runbook/entries.toml`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _contents(listed: list[Entry], slugs: list[str]) -> str:
    """Return the list of sections."""
    return "\n".join(
        f"{'  ' * (entry.level - 2)}- [{entry.title}](#{slug})"
        for entry, slug in zip(listed, slugs, strict=True)
        if entry.level > 1
    )


def coverage(results: dict[str, str]) -> str:
    """Return docs/runbook-coverage.md; ``results`` has the result of each test, by ``file.py::test``."""
    listed = entries()
    rows = []
    for entry, slug in zip(listed, anchors([entry.title for entry in listed]), strict=True):
        tests = "<br>".join(f"`{test}`" for test in entry.tests)
        went = "<br>".join(results.get(test, NOT_RUN) for test in entry.tests)
        answer = " | ".join(map(_cell, (entry.shown, entry.solution)))
        rows.append(f"| [{_cell(entry.title)}](troubleshooting.md#{slug}) | {answer} | {tests} | {went} |\n")
    return ABOUT_COVERAGE + "".join(rows)


def _cell(words: str) -> str:
    """Return words as one table cell."""
    return words.replace("|", "\\|")


def run_tests() -> dict[str, str]:
    """Run tests/runbook; return the result of each test, the worst of its parameters."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", f"--junitxml={report}", str(TESTS)]
        subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - our own interpreter and tests
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - written by pytest, above
    results: dict[str, str] = {}
    for case in cases:
        name = f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name', '').partition('[')[0]}"
        results[name] = max(results.get(name, ""), _result(case), key=_badness)
    return results


def _result(case: ET.Element) -> str:
    """Return the result of one test."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "**failed**"
    skipped = case.find("skipped")
    return "passed" if skipped is None else f"skipped: {skipped.get('message', '')}"


def _badness(result: str) -> int:
    """Return a rank of results, the worst greatest."""
    return 0 if not result else 1 if result == "passed" else 2 if result.startswith("skipped") else 3


def recorded(text: str) -> dict[str, str]:
    """Return the results in docs/runbook-coverage.md, by test."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
        tests = re.findall(r"`(test_\w+\.py::\w+)`", cells[-2]) if len(cells) == 5 else []
        found.update(zip(tests, cells[-1].split("<br>"), strict=len(tests) > 0))
    return found


def problems() -> list[str]:
    """Return the problems of data and pages, a sentence each."""
    listed = entries()
    found = []
    if [entry.heading for entry in listed] != headings():
        found.append("tests/data/runbook/entries.toml does not have the headings of headings.md, in their order")
    there = {f"{path.name}::{name}" for path in TESTS.glob("test_*.py") for name in _tests_of(path)}
    missing = sorted({test for entry in listed for test in entry.tests} - there)
    found += [f"tests/runbook/{test} is named as a proof and is not there" for test in missing]
    if _content(GUIDE) != guide():
        found.append(f"docs/troubleshooting.md is not up to date: run python {MADE}")
    results = recorded(_content(COVERAGE))
    if _content(COVERAGE) != coverage(results):
        found.append(f"docs/runbook-coverage.md is not up to date: run python {MADE} --coverage")
    found += [f"docs/runbook-coverage.md notes of {test}: {went}" for test, went in results.items() if went != "passed"]
    return found


def _tests_of(path: Path) -> list[str]:
    """Return the names of the tests of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")]


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit code."""
    if "--check" in arguments:
        found = problems()
        print("\n".join(found), file=sys.stderr)
        return 1 if found else 0
    GUIDE.write_text(guide(), encoding="utf-8")
    if "--coverage" in arguments:
        hoped = dict.fromkeys((test for entry in entries() for test in entry.tests), "passed")
        COVERAGE.write_text(coverage(hoped), encoding="utf-8")  # one of the tests reads it
        COVERAGE.write_text(coverage(run_tests()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
