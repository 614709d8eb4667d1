"""FHiCL as plain Python values, and the errors of text that is not FHiCL."""

from __future__ import annotations

import pytest

from archiverd import fhicl
from archiverd.core.errors import FclPreperationError, FhiclError, Retry


def test_values() -> None:
    """Tables are tuples of pairs, sequences lists, atoms type and source text; the prolog stands apart."""
    text = b"""BEGIN_PROLOG p: 0x1F END_PROLOG
    a . b: [1, "x \\" y", {}, []]  t: { n: @nil c: (1,2) s: 'q' w: foo } a.b: true"""
    assert fhicl.parse_values(text, "a") == {
        "prolog": [("p", ("number", "0x1F"))],
        "main": [
            ("a.b", [("number", "1"), ("string_doublequoted", 'x \\" y'), (), []]),
            (
                "t",
                (
                    ("n", ("nil", "@nil")),
                    ("c", ("complex", "(1,2)")),
                    ("s", ("string_singlequoted", "q")),
                    ("w", ("string_unquoted", "foo")),
                ),
            ),
            ("a.b", ("bool", "true")),
        ],
    }


def test_no_entries() -> None:
    """A text of comments only is FHiCL without values, and exports as nothing."""
    assert fhicl.parse_values(b"# nothing\n", "a") == {"prolog": [], "main": []}
    assert fhicl.from_json(fhicl.to_json(b"# nothing\n", "a", "t"), "a") == b""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "0:1: the text is empty"),
        (b"a: 1\nb\n", "2:1: expected ':' and a value after 'b'"),
        (b"a: 1\nb: }\n", "2:4: expected a value after 'b:'"),
        (
            b"a: /x/y\n",
            "1:4: expected a value after 'a:', found '/x/y'; text that is not a word or a number needs quotes",
        ),
        (b'a: "x\nb: 1\n', '1:4: a string is not closed: there is no further "'),
        (b"a: 'x' 'y'\n", "1:8: expected a key and ':', found ''y''"),
        (b't: {\n a: "x"\n b: 2\n', "0:1: a table is not closed: '}' is missing"),
        (b"t: { a: 1, b: 2 }", "1:10: the entries of a table are not separated by ','"),
        (b"t: { @table::x }", "1:6: @table:: references cannot be archived: resolve them first (fhicl-dump)"),
        (b"s: [1 2]", "1:7: expected ',' or ']' in a sequence, found '2'"),
        (b"s: [1, \n ]", "1:7: expected a value after ',' in a sequence"),
        (b"s: [1", "0:1: a sequence is not closed: ']' is missing"),
        (b'a: "\\d"', "1:5: '\\d' is no escape in a double-quoted string; write \\\\ for a backslash, or quote with '"),
        (b"a: 'x\x01'", "1:6: a string cannot hold the control character \\x01"),
        (b"a: '\xc2\xb5'", "1:4: a string holds \\xc2, which is not 7-bit ASCII"),
        (b"a: 1 # \xc2\xb5", "1:6: a comment holds \\xc2, which is not 7-bit ASCII"),
        (b"a: 1\nBEGIN_PROLOG", "2:1: a prolog must stand before all other entries, and not inside another prolog"),
        (b"BEGIN_PROLOG a: 1", "0:1: BEGIN_PROLOG without END_PROLOG"),
        (b"END_PROLOG", "1:1: END_PROLOG without BEGIN_PROLOG"),
        (b"a[1]: 5", "1:1: 'a[1]': an element of a sequence cannot be set by its index"),
        (b"t: { a: 1 a @protect_error: 2 }", "1:11: 'a' is defined before with less protection"),
        (b"t: { a @protect_error: 1 a: 2 }", "1:26: 'a' is defined before with @protect_error"),
        (
            b"a: 1\nt @protect_error: { u: [{b @protect_ignore: 1}] }",
            "2:1: 't' is @protect_error but holds an entry that is only @protect_ignore",
        ),
        (
            b"a: 1\n#include <file.fcl>\nb: 2\n",
            "2:1: #include without a quoted file name: the rest of the text belongs to it",
        ),
        (b"#include x", "0:1: expected a value after #include, its file name in quotes, found the end of the text"),
        (b'#include"x"', '1:1: malformed #include directive: \'#include"x"\'; it must read #include "file"'),
    ],
)
def test_messages(text: bytes, message: str) -> None:
    """A permanent error of the file says where and what is wrong."""
    with pytest.raises(FhiclError) as caught:
        fhicl.check(text, "boot.fcl")
    assert str(caught.value) == f"boot.fcl:{message}"
    assert isinstance(caught.value, FclPreperationError)
    assert caught.value.retry is Retry.PERMANENT


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"BEGIN_PROLOG a[0]: 1 END_PROLOG a: 2", None),
        (b"BEGIN_PROLOG a[0]: 1 END_PROLOG b: 2", 1),
        (b"BEGIN_PROLOGa:1 END_PROLOG END_PROLOGb:2", None),
        (b"a @protect_ignore: { b @protect_error: 1 }", None),
        (b"t: { a @protect_ignore: 1 a @protect_ignore: 2 }", None),
    ],
)
def test_corners_of_prolog_and_protection(text: bytes, line: int | None) -> None:
    """An overridden indexed entry is gone, prolog words need no blank, stronger protection may stand inside weaker."""
    if line is None:
        fhicl.check(text, "a")
    else:
        with pytest.raises(FhiclError) as caught:
            fhicl.check(text, "a")
        assert caught.value.line == line


@pytest.mark.parametrize("name", ['we"ird.fcl', "dir/µ.fcl", "sur\udcff.fcl"])
def test_any_file_name(name: str) -> None:
    """The file's name stands in the document as it is, whatever it is."""
    assert b'"name" : "%s"' % name.encode("utf-8", "surrogateescape") in fhicl.to_json(b"a: 1", name, "t")
