"""Hypothesis strategies: FHiCL texts, broken texts, any bytes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from .recorded import IMPORTS

REPEATABLE = settings(deadline=None, derandomize=True, max_examples=200)

PIECES = [
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"'", b"\\", b"#", b"//", b"/", b".", b"-", b"+", b"(", b")", b" "),
    *(b"\n", b"\r", b"\r\n", b"\v", b"\f", b"\x00", b"\x80", b'""', b"''", b"a", b"e", b"t", b"a: 1", b"a.b", b"a[0]"),
    *(b"@nil", b"@local::a", b"true", b"infinity", b"1e5", b".5", b"0x1F", b"0b1", b"(1, 2)", b"a: {}", b" b: ["),
    *(
        b"BEGIN_PROLOG",
        b"END_PROLOG",
        b" @protect_error:",
        b" @protect_ignore:",
        b'#include "f"\n',
        b"#include ",
        b"# c\n",
    ),
]


@st.composite
def broken_texts(draw: st.DrawFn) -> bytes:
    """Draw a recorded text with a few pieces put in, taken out, doubled or cut off."""
    recorded = st.sampled_from([case.text for case in IMPORTS.values()])
    text = draw(recorded)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["insert", "byte", "delete", "double", "splice"])):
            case "insert":
                text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
            case "byte":
                text = text[:at] + draw(st.binary(min_size=1, max_size=1)) + text[at:]
            case "delete":
                text = text[:at] + text[at + draw(st.integers(1, 8)) :]
            case "double":
                text = text[:at] + text[at : at + draw(st.integers(1, 30))] + text[at:]
            case _:
                other = draw(recorded)
                text = text[:at] + other[draw(st.integers(0, len(other))) :]
    return text


ANY_BYTES = st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)

WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(0, 2**64).map(hex),
    st.integers(0, 255).map(bin),
    st.sampled_from(["infinity", "-infinity", "+5", "007", "5.", ".5"]),
)
STRINGS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\"'\\#/"), min_size=1)
ESCAPED = st.lists(st.sampled_from(["a", " ", "\n", "\t", '\\"', "\\\\", "\\n", "\\t", "\\'", "#", "'"])).map("".join)
UNQUOTED = st.sampled_from(["@nil", "true", "false", "@local::a.b", "@erase", "3ms", "TRUE"]) | WORDS
ATOMS = NUMBERS | UNQUOTED | STRINGS.map('"{}"'.format) | STRINGS.map("'{}'".format)
GAPS = st.sampled_from([" ", "\n", "\t", "  \n"])
NOISY_GAPS = GAPS | st.sampled_from(
    [" # right\n", "\n# above\n", " // right\n", "\r\n", "\r", "\v ", '\n#include "f.fcl"\n']
)
BINDINGS = st.sampled_from([":", ": ", " :", " @protect_ignore: ", " @protect_error: "])


def _values(atoms: st.SearchStrategy[str], gaps: st.SearchStrategy[str], *, steady: bool) -> st.SearchStrategy[str]:
    def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        sequences = st.lists(inner, max_size=4).map(lambda elements: f"[{', '.join(elements)}]")
        return sequences | _entries(inner, gaps, steady=steady).map("{{{} }}".format)

    return st.recursive(atoms, containers, max_leaves=12)


def _entries(values: st.SearchStrategy[str], gaps: st.SearchStrategy[str], *, steady: bool) -> st.SearchStrategy[str]:
    entries = st.tuples(WORDS, st.just(": ") if steady else BINDINGS, values, gaps)
    lists = st.lists(entries, max_size=5, unique_by=(lambda entry: entry[0]) if steady else None)
    return lists.map(lambda entries: "".join(map("".join, entries)))


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Draw text that is FHiCL but for duplicates and protections, with everything that the grammar knows."""
    complexes = st.tuples(NUMBERS, GAPS, NUMBERS).map(lambda parts: f"({parts[0]},{parts[1]}{parts[2]})")
    values = _values(ATOMS | ESCAPED.map('"{}"'.format) | complexes, NOISY_GAPS, steady=False)
    prologs = draw(st.lists(_entries(values, NOISY_GAPS, steady=False), max_size=2))
    main = draw(_entries(values, NOISY_GAPS, steady=False))
    return "".join([*(f"BEGIN_PROLOG {entries} END_PROLOG\n" for entries in prologs), main, "\n"]).encode()


@st.composite
def steady_texts(draw: st.DrawFn) -> bytes:
    """Draw FHiCL of which section C.7 says that its export comes back the same.

    No key twice, no protections, no empty or escaped strings, no comments, no complex numbers.
    """
    entries = _entries(_values(ATOMS, GAPS, steady=True), GAPS, steady=True)
    return f"BEGIN_PROLOG\n{draw(entries)}\nEND_PROLOG\n{draw(entries)}\n".encode()
