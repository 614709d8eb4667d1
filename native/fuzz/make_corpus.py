# ruff: noqa: INP001  (a script beside the fuzz target, not a package)
"""Write the recorded FHiCL texts and documents of the test data as one file each: the fuzz target's seed corpus.

``python native/fuzz/make_corpus.py DESTINATION`` (run from the project's root).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

RECORDED = Path(__file__).parents[2] / "tests" / "data" / "fhicl"


def write_corpus(destination: Path) -> int:
    """Write ``<case>.fcl`` and ``<case>.json`` files below ``destination``; return how many."""
    destination.mkdir(parents=True, exist_ok=True)
    imports = json.loads((RECORDED / "imports.json").read_text())
    exports = json.loads((RECORDED / "exports.json").read_text())
    files = {f"{case}.fcl": recorded["input"] for case, recorded in imports.items()}
    files |= {f"{case}.json": recorded["document"] for case, recorded in imports.items() if "document" in recorded}
    files |= {f"export_{case}.json": recorded["document"] for case, recorded in exports.items()}
    files["deep.fcl"] = "a:{" * 1000 + "}" * 1000
    files["too_deep.fcl"] = "a:" + "[" * 100_000
    files["too_deep.json"] = '{"a":[' * 100_000
    for name, text in files.items():
        (destination / name).write_bytes(text.encode("latin-1"))
    return len(files)


if __name__ == "__main__":
    count = write_corpus(Path(sys.argv[1]))
    sys.stdout.write(f"{count} files\n")
