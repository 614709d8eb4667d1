"""Write docs/quirks.md from the data of its tests, tests/data/runrecord.

python scripts/quirks_table.py            write docs/quirks.md
python scripts/quirks_table.py --check    exit 1 if it is not what would be written
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "runrecord"
TARGET = ROOT / "docs" / "quirks.md"

PREFACE = """\
# Quirks: what becomes of odd run records

Made by `scripts/quirks_table.py` from `tests/data/runrecord/`; every line of the tables is a test. The faults are
those of [run records](formats/run_records.md), section 5.

The rule: where the older tool's output was valid and complete, archiverd's is the same; elsewhere it says what the file
says. Nothing is dropped: a line that follows no grammar goes to `unparsed_lines`, and a file that is not archived is
named with the reason. (Comment lines of boot, settings and board reader files are not content.)

## The percent-encoded spelling

FHiCL is ASCII, has no control characters but newline and tab, and no double-quoted string that ends in a backslash.
What it cannot express is spelled like this:

| what | spelling | read back |
|---|---|---|
| value, comment | bytes that cannot stand, and `%`, as `%XX`; the mark ` (percent-encoded)` | no mark, decode `%XX` |
| key, name | `pct_`, then all bytes but letters and digits as `_XX` | no `pct_`, decode `_XX` |

A value without the mark, and a name without `pct_`, stands for itself.

Bytes are the file's own bytes (for `é` in UTF-8 `%C3%A9`, in Latin-1 `%E9`). Encoded are also: `#include` before a
blank (artdaqDB obeys it even inside strings), a value that ends in the mark itself, a key that begins with `pct_`, and
in `metadata.fcl` what readers of the blob search for (`#####`, `End of Record`, and `config_name:`, `components:`,
`sbndaq_commit_or_version:` anywhere but at their own line).

| in the file | in FHiCL |
|---|---|
| `operator: Zoë` | `operator: "Zo%C3%AB (percent-encoded)"` |
| `z: tail\\` | `z: "tail\\\\ (percent-encoded)"` |
| `daq-mode: fast` (boot) | `pct_daq_2Dmode: "fast"` |

## Repeated keys and taken names

The last of several equal keys keeps its name, as FHiCL reads them; the earlier ones become
`<key>_earlier1`, `<key>_earlier2`, … A dotted key whose beginning is a key of its own is percent-encoded.

A process whose file has the name of a converted text file, or is called `schema`, `hashes`, `flags`, `RunHistory` or
`RunHistory2`, is archived as `<label>_process.fcl`. A file name that is not plain ASCII is percent-encoded.

The name of the configuration is `Config name` with `/` and blanks as `_`; anything but letters, digits and `_ . -`,
and a dot at its beginning, becomes `%XX`; above 200 characters it is cut to 160 and gets 16 digits of its SHA-256.
Without a `Config name` it is `standard`.

## The blob

A file may itself hold the three lines that begin a file in the blob. Then the first of them, `#####`, gets one blank
more at its end, which unpacking removes. No other content is changed.
"""


def text() -> str:
    """Return docs/quirks.md as it should be."""
    faults = tomllib.loads((DATA / "faults.toml").read_text(encoding="utf-8"))["fault"]
    around = tomllib.loads((DATA / "around.toml").read_text(encoding="utf-8"))
    quirks = tomllib.loads((DATA / "quirks.toml").read_text(encoding="utf-8"))
    parts = [PREFACE, "\n## Faults of the older converters (run_records.md 5.1 and 5.2)\n\n"]
    parts.append("| fault | file | input | FHiCL | what is done |\n|---|---|---|---|---|\n")
    parts += [
        f"| {f['id']} | {f['file']} | {_code(f['input'])} | {_code(f['output'])} | {_cell(f['does'])} |\n"
        for f in faults
    ]
    parts.append("\n## Faults around them (5.3)\n\n| fault | what is done | test |\n|---|---|---|\n")
    parts += [f"| {name} | {_cell(a['does'])} | `{a['test']}` |\n" for name, a in around.items()]
    parts.append("\n## Quirks of the record maker\n\n")
    parts.append("All of them, in one archive and through the whole program: `test_all_quirks.py`.\n\n")
    parts.append("| quirk | what it is | what is done | why | test |\n|---|---|---|---|---|\n")
    for name, description in descriptions().items():
        quirk = quirks[name]
        words = " | ".join(map(_cell, (description, quirk["does"], quirk["why"])))
        parts.append(f"| `{name}` | {words} | `test_quirks.py::test_quirk[{name}]` |\n")
    return "".join(parts)


def descriptions() -> dict[str, str]:
    """Return the quirks of tests/tools/make_run_records.py and what each is, in its order."""
    spec = importlib.util.spec_from_file_location("make_run_records", ROOT / "tests" / "tools" / "make_run_records.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("tests/tools/make_run_records.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: doc for name, (_, doc) in module.QUIRKS.items()}


def _code(content: str) -> str:
    """Return file content as one table cell."""
    if not content:
        return "(empty)"
    visible = "".join(c if " " <= c <= "~" or c == "\n" else ascii(c)[1:-1] for c in content)
    lines = [line.replace("|", "\\|") for line in visible.split("\n")]
    return "<br>".join(f"`` {line} ``" for line in lines if line)


def _cell(words: str) -> str:
    """Return words as one table cell."""
    return words.replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str]) -> int:
    """Write or check docs/quirks.md; return the exit code."""
    wanted = text()
    if "--check" not in arguments:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    found = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if found == wanted:
        return 0
    print("docs/quirks.md is not up to date: run python scripts/quirks_table.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
