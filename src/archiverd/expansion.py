"""References in the configuration's strings, expanded.

``${VAR}`` and ``${VAR:-default}`` (upper-case names) come from the environment; an unset one without default is
empty. ``${key}`` (lower-case) is a key of the same section, ``${section.key}`` one of another. References nest;
a circle is an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from archiverd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:\.([A-Za-z_][A-Za-z0-9_]*))?(?::-([^}]*))?\}")


def expand(values: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return ``values`` (sections of keys) with every reference in a string replaced.

    Raise ConfigurationError for a reference to nothing or to itself.
    """
    return {section: _section(section, content, values, environment) for section, content in values.items()}


def variables(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each environment variable that ``text`` refers to, and whether a default stands beside it."""
    for first, second, default in (match.groups() for match in _REFERENCE.finditer(text)):
        if second is None and first.isupper():
            yield first, default is not None


def _section(section: str, content: Any, values: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    """Expand one section, remembering for each key that it is its own beginning of a circle."""
    if not isinstance(content, dict):
        return _value(content, section, values, env, ())
    return {key: _value(inner, section, values, env, (f"{section}.{key}",)) for key, inner in content.items()}


def _value(value: Any, section: str, values: Mapping[str, Any], env: Mapping[str, str], above: tuple[str, ...]) -> Any:
    """Expand a string, or what a table or list holds."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _target(match, section, values, env, above), value)
    if isinstance(value, dict):
        return {key: _value(inner, section, values, env, above) for key, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner, section, values, env, above) for inner in value]
    return value


def _target(
    match: re.Match[str], section: str, values: Mapping[str, Any], env: Mapping[str, str], above: tuple[str, ...]
) -> str:
    """Return the text one reference stands for."""
    first, second, default = match.groups()
    if second is None and first.isupper():
        return env.get(first) or (default or "")
    where, key = (section, first) if second is None else (first, second)
    name = f"{where}.{key}"
    if name in above:
        circle = " → ".join((*above[above.index(name) :], name))
        raise ConfigurationError(f"Configuration references go in a circle: {circle}")
    content = values.get(where)
    if not isinstance(content, dict) or key not in content:
        if default is not None:
            return default
        raise ConfigurationError(
            f"Configuration refers to {match.group()}, but there is no {name}",
            remedy="set it, or write an upper-case name for an environment variable",
        )
    return str(_value(content[key], where, values, env, (*above, name)))
