"""schema.fcl: rules as data, never evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archiverd.artdaqdb.schema import Assigned, load_schema, parse_schema
from archiverd.core.errors import FclPreperationError, FhiclError

if TYPE_CHECKING:
    from pathlib import Path


def schema(*rules: str) -> bytes:
    """Return the text of a schema with these run_history rules."""
    return f"run_history: [{', '.join(rules)}]\nsystem_layout: []\n".encode()


def test_the_shipped_schema_takes_every_ordinary_name() -> None:
    """Converted text files, generated files and process labels of all eras have a rule."""
    names = ["boot", "metadata", "known_boardreaders_list", "settings", "setup", "environment", "ranks", "config"]
    names += ["RunHistory", "rc_info_start", "rc_info_stop", "component01", "EventBuilder2_p2", "crtFlatEastPULL"]
    names += ["BoardReader_np04-srv-001.cern.ch_5300", "schema_process"]
    assigned, unmatched = load_schema(None).assign([f"{name}.fcl" for name in names])
    assert unmatched == []
    assert [(one.collection, one.entity) for one in assigned] == [("RunHistory", name) for name in names]


def test_the_shipped_schema_leaves_odd_names_to_the_policy() -> None:
    """Names no artdaq process has are not taken silently."""
    names = ["my reader.fcl", "a,b.fcl", "2nd.fcl"]
    assert load_schema(None).assign(names) == ([], names)


def test_an_entity_may_be_joined_from_groups_and_texts() -> None:
    """The forms of `entity` that occur are understood."""
    text = schema(
        """{collection: C pattern: '(.*/)(x)(\\d)(y*)(\\.fcl$)' entity: "match.group(3)+'-'+match.group(4)"}"""
    )
    assert parse_schema(text, "s").assign(["x1yy.fcl"]) == ([Assigned("x1yy.fcl", "C", "1-yy")], [])


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').system('x')", "match.group(2).upper()", "match.group(2)+", "", "match.group(9)", "name"],
)
def test_any_other_expression_is_refused(expression: str) -> None:
    """Nothing of a schema is ever executed."""
    text = schema(f"""{{collection: C pattern: '(a)(b)(c)' entity: "{expression}"}}""")
    with pytest.raises(FclPreperationError, match="s: rule 1 of run_history"):
        parse_schema(text, "s")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{collection: C pattern: '(a)(b)'}", "fewer than three groups"),
        ("{collection: C pattern: '(a)(b)(c'}", "no regular expression"),
        ("{pattern: '(a)(b)(c)'}", "names no collection"),
        ("{collection: 'a/b' pattern: '(a)(b)(c)'}", "names no collection"),
        ("{collection: C pattern: 5}", "pattern is not a text"),
        ("7", "is not a table"),
    ],
)
def test_a_wrong_rule_is_named(rule: str, message: str) -> None:
    """A rule that cannot work is an error with file, section and number."""
    with pytest.raises(FclPreperationError, match=f"s: rule 1 of run_history.*{message}"):
        parse_schema(schema(rule), "s")


def test_two_files_for_one_entity_are_refused() -> None:
    """Rules under which a file would be lost are an error that names both files."""
    text = schema("{collection: C pattern: '(.*/)(x)([ab]\\.fcl$)'}")
    with pytest.raises(FclPreperationError, match=r"xa\.fcl and xb\.fcl would both become entity x"):
        parse_schema(text, "s").assign(["xa.fcl", "xb.fcl"])


def test_a_missing_schema_is_told_in_the_runbooks_words(tmp_path: Path) -> None:
    """Directory and file each have their message."""
    with pytest.raises(FclPreperationError, match=f"FCL confdir '{tmp_path}/no' is not a directory"):
        load_schema(tmp_path / "no")
    with pytest.raises(FclPreperationError, match=f"Schema not found at {tmp_path}/schema.fcl"):
        load_schema(tmp_path)


def test_a_schema_that_is_not_fhicl_is_told_with_its_place(tmp_path: Path) -> None:
    """A syntax error names file, line and column."""
    (tmp_path / "schema.fcl").write_text("run_history: [\n  {\n")
    with pytest.raises(FhiclError, match=f"{tmp_path}/schema.fcl:"):
        load_schema(tmp_path)
