"""The house rules a machine can check by reading the source: imports, seams, sizes, docstrings, what is banned."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "archiverd"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
EVERYWHERE = ("src", "native", "tests", "scripts", "docs", "deploy", "requirements", "benchmarks", ".ci")

LEVELS = (
    {"core"},
    {"detached", "expansion", "fhicl", "disk", "log", "log_rotation"},
    {"runrecord"},
    {"config"},
    {"artdaqdb", "ucondb", "journal", "control", "process"},
    {"pipeline", "notify", "watch"},
    {"audit"},
    {"status"},
    {"doctor"},
    {"app"},
    {"daemon"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
"""The rooms, lowest first: a room imports from itself and from lower levels only."""

BESIDE = {("log", "log_rotation")}
"""Imports within a level that are allowed: (who, whom)."""

APART = "ucondb_server"
"""Imports nothing of archiverd, so that neither client nor server hides the other's mistakes; only cli imports it."""

SEAMS = {
    "watchfiles": "watch/inotify.py",
    "httpx": "ucondb/http.py",
    "motor": "artdaqdb/mongo/connection.py",
    "aiofiles": "disk.py",
    "aiosmtplib": "notify/email.py",
    "slack_sdk": "notify/slack.py",
    "pydantic_settings": "config/models.py",
    "structlog": "log.py",
    "tomli_w": "config/conversion.py",
    "yaml": "config/yaml_text.py",
}
"""Packages a successor may be needed for, and the one module that may import each."""

SQL = re.compile(r"\s*(SELECT|UPDATE|INSERT|DELETE|CREATE|ALTER|DROP|REPLACE|WITH)\s", re.ASCII)
SQL_MODULES = {
    f"journal/{module}.py"
    for module in ("schema", "queries", "scheduling", "summaries", "news", "statements", "proofs", "destinations")
}
"""The modules with all SQL of the journal: its tables, what can be asked, what changes it."""

MAKERS = {"Transition": "journal/transitions.py", "FirstPhaseStep": "journal/first_phase.py"}
"""What is made by named constructors only, and where these are."""

LONGEST_MODULE, LONGEST_FUNCTION = 400, 60
BANNED_CALLS = {"eval", "exec", "os.system", "os.popen", "pickle.loads", "yaml.load"}


def name(path: Path) -> str:
    """Return a file's path as test ids show it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room(path: Path) -> str:
    """Return the room a source file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever in it, for type checking too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    """Return the other rooms a source file imports from; names like ``archiverd.__version__`` are no room."""
    parts = (full.split(".") for full in imported(parse(path)))
    found = {part[1] for part in parts if part[0] == "archiverd" and len(part) > 1}
    return {other.removeprefix("_") for other in found if not other.startswith("__")} - {room(path)}


def allowed(path: Path) -> set[str]:
    """Return the rooms a source file may import from."""
    own = room(path)
    if own in {APART, "__init__"}:
        return set()
    (level,) = (number for number, rooms in enumerate(LEVELS) if own in rooms)
    lower = set().union(*LEVELS[:level])
    return lower | {whom for who, whom in BESIDE if who == own} | ({APART} if own == "cli" else set())


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_point_downwards(path: Path) -> None:
    """A module imports from lower rooms only; a new room has to be given its level here."""
    assert rooms_imported(path) <= allowed(path)


def module(path: Path) -> str:
    """Return the full name of a source file's module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """Return the modules that each module imports anywhere in it, for type checking too."""
    names = {module(path) for path in SOURCES}
    return {
        module(path): {
            full if full in names else full.rpartition(".")[0]
            for full in imported(parse(path))
            if {full, full.rpartition(".")[0]} & names
        }
        - {module(path)}
        for path in SOURCES
    }


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that import each other in a circle, and those that import these."""
    left = {name: set(whom) for name, whom in graph.items()}
    while ends := {name for name, whom in left.items() if not whom}:
        left = {name: whom - ends for name, whom in left.items() if name not in ends}
    return sorted(left)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not inside a room, not inside a function, and not for type checking: what needs each other belongs together."""
    assert circle(import_graph()) == []


def test_a_circle_is_found() -> None:
    """One over three modules is; two ways to the same module are none."""
    assert circle({"a": {"b", "d"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


def test_only_its_face_imports_the_engine() -> None:
    """`archiverd._fhicl` is imported by archiverd/fhicl.py and nobody else."""
    users = {
        name(path)
        for path in SOURCES
        if any(full.split(".")[:2] == ["archiverd", "_fhicl"] for full in imported(parse(path)))
    }
    assert users == {"src/archiverd/fhicl.py"}


@pytest.mark.parametrize("package", SEAMS)
def test_a_package_stands_behind_its_seam(package: str) -> None:
    """Each package of the design is imported by one module, so that a successor changes one file."""
    users = {path for path in SOURCES if package in {full.split(".")[0] for full in imported(parse(path))}}
    seam = PACKAGE / SEAMS[package]
    assert users == ({seam} if seam.exists() else set())


@pytest.mark.parametrize("path", [path for path in SOURCES if room(path) != APART], ids=name)
def test_the_journals_sql_is_in_a_few_modules(path: Path) -> None:
    """Whoever looks for a query, or changes a table, finds every statement there."""
    texts = [node.value for node in ast.walk(parse(path)) if isinstance(node, ast.Constant)]
    found = [text for text in texts if isinstance(text, str) and SQL.match(text)]
    assert not found or path.relative_to(PACKAGE).as_posix() in SQL_MODULES
    calls = [node.func for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
    executed = [call for call in calls if isinstance(call, ast.Attribute) and call.attr.startswith("execute")]
    assert not executed or room(path) == "journal"


@pytest.mark.parametrize("path", [path for path in SOURCES if path != PACKAGE / "core/machine.py"], ids=name)
def test_sets_of_states_are_defined_in_core(path: Path) -> None:
    """What counts as in trouble, finished or on its way is said once: no other module lists states."""
    collections = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Tuple | ast.List | ast.Set)]
    named = ([ast.unparse(one) for one in collection.elts] for collection in collections)
    assert not [words for words in named if len(words) > 1 and all(word.startswith("State.") for word in words)]


@pytest.mark.parametrize("made", MAKERS)
def test_what_has_constructors_is_made_by_them(made: str) -> None:
    """A transition with columns of somebody's own choice cannot be made outside the module of the constructors."""
    calls = {
        path: {ast.unparse(call.func).split(".")[-1] for call in ast.walk(parse(path)) if isinstance(call, ast.Call)}
        for path in SOURCES
    }
    assert {path for path, called in calls.items() if made in called} == {PACKAGE / MAKERS[made]}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_modules_and_functions_can_be_held_in_the_head(path: Path) -> None:
    """No module above 400 lines, no function above 60."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = {node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION}
    assert not too_long


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield a module's public classes, their public methods, and its public functions."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, definitions) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    inner for inner in node.body if isinstance(inner, definitions) and not inner.name.startswith("_")
                )


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_whatever_is_public_says_what_it_is(path: Path) -> None:
    """Modules, public classes, functions and methods have a docstring; overloads share their implementation's."""
    tree = parse(path)
    assert ast.get_docstring(tree)
    silent = {node.name for node in public(tree) if not ast.get_docstring(node)}
    overloaded = {
        node.name
        for node in public(tree)
        if any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)
    }
    assert not silent - overloaded


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_runs_text(path: Path) -> None:
    """Nothing evaluates text, and no command goes through a shell."""
    calls = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
    assert not BANNED_CALLS & {ast.unparse(call.func) for call in calls}
    assert not any("create_subprocess_shell" in ast.unparse(call.func) for call in calls)
    for call in calls:
        shell = [keyword.value for keyword in call.keywords if keyword.arg == "shell"]
        assert all(isinstance(value, ast.Constant) and value.value is False for value in shell)


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_every_test_says_what_must_hold(path: Path) -> None:
    """A test without a sentence about what it proves is a riddle to whoever breaks it."""
    tests = [
        node
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert tests, "a test file without tests"
    assert not [node.name for node in tests if not ast.get_docstring(node)]


HASTE = re.compile(
    r"(?:monotonic|perf_counter)\(\) - \w+ <|asyncio\.timeout\(\d|(?<!connect )\btimeout=\d+[,)]|\.wait\(\d+\) =="
)
"""What makes a test depend on the machine's speed: elapsed time with an upper bound, and deadlines of its own."""
PATIENT = {"tests/ucondb_server/test_http.py", "tests/ucondb_server/test_faults.py"}
"""Tests with a time of their own: one asks again until it is met, one lets its client give up."""


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_no_test_depends_on_the_machines_speed(path: Path) -> None:
    """Tests wait for states, with the deadline of ``tests/waiting.py`` that only a defect reaches."""
    if path.relative_to(ROOT).as_posix() not in PATIENT and path != Path(__file__):
        assert HASTE.findall(path.read_text(encoding="utf-8")) == []


def text_files() -> Iterator[Path]:
    """Yield the project's own text files."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and not path.is_symlink())
    for top in EVERYWHERE:
        for directory, below, files in os.walk(ROOT / top):
            below[:] = [part for part in below if part not in {"__pycache__", "data"}]
            yield from (Path(directory, file) for file in files if not file.endswith((".so", ".pyc")))


def test_nothing_tells_where_it_was_made() -> None:
    """No file carries the path of this checkout, or the host this machine fetches packages from."""
    telling = [rf"(?<![\w.-]){re.escape(str(ROOT))}(?![\w.-])"]
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        host = re.sub(r"^\w+://(?:[^@/]*@)?([^/:]*).*$", r"\1", os.environ.get(variable, ""))
        if host and host not in {"pypi.org", "localhost"}:
            telling.append(re.escape(host))
    pattern = re.compile("|".join(telling).encode())
    assert not [name(path) for path in text_files() if pattern.search(path.read_bytes())]
