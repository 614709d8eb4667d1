"""A slow, plain reading of artdaqdb_format.md sections C.2 to C.6, to compare the engine with.

It works on text decoded as Latin-1, one regular expression per token, and says yes or no with the position of C.8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

END = r"[^!-~]"
E1 = rf"(?={END}|[#/,\]}}])"
E2 = rf"(?={END}|[#/,\]}})])"
E3 = rf"(?={END}|[#/,\]}}.\[:])"
E4 = rf"(?={END}|[,\]}}])"
E5 = rf"(?={END}|[,\]}})])"

WORD = rf"[A-Za-z_][A-Za-z0-9_]*+{E3}"
NUMBER = (
    rf"(?:[0-9]++{E2}|[+-]?infinity{E5}|(?:[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?){E2}"
    rf"|0[xX][0-9A-Fa-f]++{E2}|0[bB][01]++{E2})"
)
ATOMS = [
    ("nil", rf"@nil{E4}"),
    ("bool", rf"(?:true|false){E4}"),
    ("number", NUMBER),
    ("string_unquoted", WORD),
    ("string_unquoted", rf"(?![0-9]++(?![A-Za-z_]))[0-9][A-Za-z0-9_]*+{E1}"),
    ("string_singlequoted", rf"'[\x00-\x26\x28-\x7f]*+'{E4}"),
    ("string_doublequoted", rf'"(?:\\"|\\(?!")|[\x00-\x21\x23-\x5b\x5d-\x7f])*"{E4}'),
    ("string_unquoted", rf"(?![0-9])[A-Za-z0-9_:.@]++{E3}"),
]
SKIP = re.compile(r"(?:[ \t\n\v\f\r]|(?:#|//)[\x00-\x09\x0b-\x7f]*\n)*")
QUOTED_TEXT = re.compile(r"(?:[ -\[\]-~\n\t]|\\[\"'\\nt])*")
PLAIN_TEXT = re.compile(r"[ -~\n\t]*+")

Pairs = list[tuple[str, object]]


class RefusedError(Exception):
    """The text is not FHiCL; ``position`` is line and column, or None where the real library gives none."""

    def __init__(self, position: tuple[int, int] | None) -> None:
        super().__init__(position)
        self.position = position


@dataclass
class Value:
    """A parsed value: ``content`` is a text, a list of elements, or a list of (key, value)."""

    kind: str
    line: int
    content: object
    protection: int = 0
    key: str = ""


def prepare(source: str) -> str:
    """Turn includes into entries and line ends into LF (C.2)."""
    if not source:
        raise RefusedError(None)
    text, offset, count = source, 0, 0
    while found := re.compile(r"#include[ \t\n\v\f\r][^'\"]*").search(text, offset):
        key = f"fhicl_pound_include_{count}:"
        text = text[: found.start()] + key + text[found.end() :]
        offset = found.end()
        count += 1
        if offset > len(text):
            raise RefusedError(None)
    lines = []
    for line in text.removesuffix("\n").split("\n"):
        lines += line.removesuffix("\r").split("\r")
    for number, line in enumerate(lines, 1):
        if line.startswith("#include"):
            raise RefusedError((number, 1))
    return "".join(line + "\n" for line in lines)


@dataclass
class Reader:
    """The grammar of C.3, as it is written there."""

    text: str
    at: int = 0
    indexed: set[int] = field(default_factory=set)

    def refuse(self) -> None:
        if self.at == len(self.text):
            raise RefusedError((0, 1))
        before = self.text[: self.at]
        raise RefusedError((before.count("\n") + 1, self.at - before.rfind("\n")))

    def skip(self) -> None:
        self.at = SKIP.match(self.text, self.at).end()

    def match(self, pattern: str) -> str | None:
        found = re.compile(pattern).match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def take(self, literal: str) -> bool:
        before = self.at
        self.skip()
        if self.match(re.escape(literal)) is None:
            self.at = before
            return False
        return True

    def expect(self, literal: str) -> None:
        if not self.take(literal):
            self.skip()
            self.refuse()

    def document(self) -> tuple[list[Value], list[Value]]:
        prolog: list[Value] = []
        while self.take("BEGIN_PROLOG"):
            prolog += self.entries(qualified=True)
            self.expect("END_PROLOG")
        main = self.entries(qualified=True)
        self.skip()
        if self.at != len(self.text):
            self.refuse()
        for value in main:
            plain = value.key.split("[")[0]
            for index, earlier in enumerate(prolog):
                if earlier.key.split("[")[0] == plain:
                    del prolog[index]
                    break
        if any("[" in value.key for value in prolog + main):
            raise RefusedError(None)
        return prolog, main

    def entries(self, *, qualified: bool) -> list[Value]:
        values = []
        while value := self.entry(qualified=qualified):
            values.append(value)
        return values

    def entry(self, *, qualified: bool) -> Value | None:
        self.skip()
        start = self.at
        key = self.match(WORD)
        while key and qualified:
            if self.take("."):
                self.skip()
                key += "." + (self.match(WORD) or self.refuse())
            elif self.take("["):
                self.skip()
                key += "[" + (self.match(rf"[0-9]++{E2}") or self.refuse()) + "]"
                self.expect("]")
            else:
                break
        self.skip()
        binding = self.match(r":|@protect_ignore:|@protect_error:") if key else None
        value = self.value() if binding else None
        if value is None:
            if binding == ":":
                self.skip()
                self.refuse()
            self.at = start
            return None
        value.key = key
        value.protection = {":": 0, "@protect_ignore:": 1, "@protect_error:": 2}[binding]
        if value.protection and any(0 < inner < value.protection for inner in protections_inside(value)):
            self.at = start
            self.refuse()
        return value

    def value(self) -> Value | None:
        before = self.at
        self.skip()
        start, line = self.at, self.text.count("\n", 0, self.at) + 1
        if self.match(r"\("):
            for end in ",)":
                self.skip()
                self.match(NUMBER) or self.refuse()
                self.expect(end)
            return Value("complex", line, self.source(start))
        if self.match(r"\["):
            return Value("sequence", line, self.elements())
        if self.match(r"{"):
            entries = self.entries(qualified=False)
            self.expect("}")
            return Value("table", line, settled(entries))
        for kind, pattern in ATOMS:
            token = self.match(pattern)
            if token is None:
                continue
            if "quoted" in kind and kind != "string_unquoted":
                allowed = QUOTED_TEXT if kind == "string_doublequoted" else PLAIN_TEXT
                if not allowed.fullmatch(token[1:-1]):
                    raise RefusedError(None)
                return Value(kind, line, token[1:-1])
            return Value(kind, line, self.source(start))
        self.at = before
        return None

    def elements(self) -> list[Value]:
        first = self.value()
        elements = [first] if first else []
        while self.take(","):
            elements.append(self.value() or self.refuse())
        self.expect("]")
        return elements

    def source(self, start: int) -> str:
        """Cut the text from ``start`` to the next token as C.4 says."""
        after = SKIP.match(self.text, self.at).end()
        return re.split(r"//|[# \n\r\t]", self.text[start:after], maxsplit=1)[0]


def protections_inside(value: Value) -> list[int]:
    """Return the modifiers on everything inside a value."""
    if value.kind not in {"table", "sequence"}:
        return []
    return [p for inner in value.content for p in (inner.protection, *protections_inside(inner))]


def settled(entries: list[Value]) -> list[Value]:
    """Leave one entry per key (C.3, duplicates in tables)."""
    kept: dict[str, Value] = {}
    for entry in entries:
        earlier = kept.get(entry.key)
        if earlier is None or earlier.protection == 0:
            if earlier is not None and entry.protection:
                raise RefusedError(None)
            kept[entry.key] = entry
        elif earlier.protection == 2 or entry.protection > earlier.protection:
            raise RefusedError(None)
    return list(kept.values())


def comments(source: str) -> dict[int, str]:
    """Scan for comments by line (C.5)."""
    found: dict[int, str] = {}
    at = 0
    while True:
        at = re.compile(r"(?:(?![#\"']|//)[\x00-\x7f])*").match(source, at).end()
        while quoted := re.compile(r"""(?:"[\x00-\x21\x23-\x7f]++"|'[\x00-\x26\x28-\x7f]++')""").match(source, at):
            at = re.compile(r"(?:(?![#\"']|//)[\x00-\x7f])*").match(source, quoted.end()).end()
        at = re.compile(r"(?:(?!#|//)[\x00-\x7f])*").match(source, at).end()
        comment = re.compile(r"(?:#|//)[\x00-\x09\x0b\x0c\x0e-\x7f]*+").match(source, at)
        if comment is None:
            return found
        line = 1 + len(re.findall(r"(?<!\r)\n|(?<!\n)\r", source[:at]))
        found[line] = comment[0]
        line_end = re.compile(r"\r\n|\r|\n").match(source, comment.end())
        if line_end is None:
            return found
        at = line_end.end()


def escaped(text: str) -> str:
    """Escape as JSON strings in A.7 are."""
    table = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(table.get(c, c) for c in text)


def json_text(value: object) -> str:
    """Write dictionaries given as lists of pairs, tuples as arrays, and strings as they are (A.7)."""
    if isinstance(value, list):
        return "{\n" + ",\n".join(f'"{key}" : {json_text(member)}' for key, member in value) + "\n}"
    if isinstance(value, tuple):
        return "[\n" + ",\n".join(map(json_text, value)) + "\n]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def data(value: Value) -> object:
    """Return what stands in ``data`` for a value (C.4)."""
    if value.kind == "table":
        return [(entry.key, data(entry)) for entry in value.content]
    if value.kind == "sequence":
        return tuple(map(data, value.content))
    return escaped(value.content) if value.kind.startswith("string") else value.content


def descriptor(value: Value, by_line: dict[int, str]) -> Pairs:
    """Return what stands in ``metadata`` for a value (C.5, C.6)."""
    include = "fhicl_pound_include_" in value.key
    above, beside = by_line.get(value.line - 1, ""), by_line.get(value.line, "")
    if include or above.startswith("/") or "#include " in above:
        above = ""
    described: Pairs = [("type", value.kind), ("comment", escaped(above))]
    if value.kind != "table" or include:
        described.append(("annotation", "" if include else escaped(beside)))
    if value.protection:
        described.append(("protection", ["", "@protect_ignore", "@protect_error"][value.protection]))
    if value.kind == "table":
        described.append(("children", [(entry.key, descriptor(entry, by_line)) for entry in value.content]))
    if value.kind == "sequence":
        described.append(("children", [(str(i), descriptor(e, by_line)) for i, e in enumerate(value.content)]))
    return described


def to_json(source: bytes, name: str, timestamp: str) -> bytes:
    """Return what ``fhicl_to_json`` returns (C.1), or raise ``RefusedError``."""
    text = source.decode("latin-1")
    parts = dict(zip(("prolog", "main"), Reader(prepare(text)).document(), strict=True))
    by_line = comments(text)
    metadata = [
        (
            part,
            [
                ("type", "table"),
                ("comment", f"#{part}"),
                ("children", [(value.key, descriptor(value, by_line)) for value in values]),
            ],
        )
        for part, values in parts.items()
    ]
    listed = [[("linenum", line), ("value", escaped(comment))] for line, comment in by_line.items()]
    document = [
        (
            "document",
            [
                ("data", [(part, [(value.key, data(value)) for value in values]) for part, values in parts.items()]),
                ("metadata", metadata),
            ],
        ),
        ("comments", tuple(listed) or ([("linenum", 0), ("value", "No comments")],)),
        (
            "origin",
            [("format", "fhicl"), ("name", name), ("source", "fhicl_to_json"), ("timestamp", timestamp)],
        ),
        ("version", "notprovided"),
        ("entities", ()),
        ("configurations", ()),
    ]
    return json_text(document).encode("latin-1")
