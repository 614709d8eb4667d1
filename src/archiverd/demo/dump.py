"""FHiCL as `fhicl-dump` prints it, the form in run records since 2018 (run_records.md section 1.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value]"
Table: TypeAlias = "Mapping[str, Value]"

INDENT = "   "
WHOLE_DIGITS = 6
"""Most digits of a whole number printed without an exponent."""


class Pasted(str):
    """Text with which DAQInterface replaces an entry after the dump, unindented, on its own lines."""

    __slots__ = ()


def dumped(document: Table, label: str) -> str:
    """Return the text of ``<label>.fcl``: header, then the entries in byte order of their names."""
    header = (
        "# Produced from 'fhicl-dump' using:\n"
        f"#   Input  : ./{label}.fcl\n"
        "#   Policy : cet::filepath_maker\n"
        '#   Path   : "FHICL_FILE_PATH"\n\n'
    )
    return header + _entries(document, "")


def number(value: float) -> str:
    """Return a finite number in canonical form: 403121409 is ``4.03121409e8``, 0.5 is ``5e-1``."""
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits = "".join(map(str, figures))
    whole = len(digits) + int(exponent)
    minus = "-" if sign and digits != "0" else ""
    if len(digits) <= whole <= WHOLE_DIGITS:
        return minus + digits + "0" * (whole - len(digits))
    mantissa = digits[0] + ("." + digits[1:] if digits[1:] else "")
    power = f"e{whole - 1}" if whole != 1 else ""
    return minus + mantissa + power


def _entries(table: Table, indent: str) -> str:
    """Return the entries of a table, a line each."""
    lines = []
    for name in sorted(table):
        value = table[name]
        lines.append(
            f"{indent}\n{value}\n" if isinstance(value, Pasted) else f"{indent}{name}: {_text(value, indent)}\n"
        )
    return "".join(lines)


def _text(value: Value, indent: str) -> str:
    """Return a value; what spans lines ends at ``indent``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    inner = indent + INDENT
    if isinstance(value, Mapping):
        return f"{{\n{_entries(value, inner)}{indent}}}" if value else "{}"
    return "[\n" + ",\n".join(inner + _text(item, inner) for item in value) + f"\n{indent}]" if value else "[]"
