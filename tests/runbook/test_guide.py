"""The guide itself: every heading of the older one is here, with a test that proves it."""

from __future__ import annotations

import builtins
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from archiverd.core import errors
from tests.waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "troubleshooting.py"
DERIVED = {"ModuleNotFoundError", "ImportError", "PermissionError", "OSError"}
"""Python's own, whose words archiverd passes on."""


def script() -> ModuleType:
    """Return scripts/troubleshooting.py as a module."""
    spec = importlib.util.spec_from_file_location("troubleshooting", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["troubleshooting"] = module
    spec.loader.exec_module(module)
    return module


def test_every_heading_of_the_guide_is_here_and_proven() -> None:
    """Our guide and the table of coverage are what the data says, each proof is a test, and each has passed."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_every_anchor_of_the_guide_leads_to_its_entry() -> None:
    """A link into the older guide leads to the same heading in ours; so does each line of its contents."""
    made = script()
    titles = [line.lstrip("#").strip() for line in made.headings()]
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    plain = re.sub(r"(?ms)^```.*?^```$", "", text)
    ours = made.anchors([line.lstrip("#").strip() for line in re.findall(r"(?m)^#+ .*$", plain)])
    assert ours == made.anchors(titles)
    assert made.anchors(["Error: `A: 'b/c' is_x` (D)", "Step 1: Go", "Step 1: Go"]) == [
        "error-a-bc-is_x-d",
        "step-1-go",
        "step-1-go-1",
    ]
    assert set(re.findall(r"\]\(#([^)]*)\)", plain)) <= set(ours)


def test_every_entry_says_what_to_do() -> None:
    """None is empty: there is a symptom, what to do or why nothing is to be done, and a proof."""
    for entry in script().entries():
        assert entry.tests, entry.heading
        assert entry.shown, entry.heading
        assert entry.solution, entry.heading
        if entry.title.startswith(("Error:", "Warning:", '"', "Symptom:", "Issue:")):
            assert entry.symptom, entry.heading
            assert entry.do, entry.heading


def test_every_error_the_guide_names_is_one_of_ours() -> None:
    """A class the guide has stands in our tree under that name, or is Python's own; other libraries' are not shown."""
    named = {name for line in script().headings() for name in re.findall(r"`([\w.]+)(?::| )", line)}
    ours = {name for name in named if isinstance(getattr(errors, name, None), type)}
    assert ours >= {"ConfigurationError", "FclPreperationError", "ArtdaqDBError", "UconDBError", "VerificationError"}
    assert all(getattr(errors, name).exit_code == 1 for name in ours)
    left = named - ours - {"LOCK"}
    assert {name for name in left if not name.startswith("requests.")} == DERIVED
    assert all(isinstance(getattr(builtins, name), type) for name in DERIVED)
