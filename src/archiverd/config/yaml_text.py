"""YAML as the older tool's configuration has it: tables, lists and text.

Plain numbers and truth values stay text: the setting's type decides what they are, and a password 0123 is kept. A
duplicate key is an error, and so is anything but plain data.
"""

from __future__ import annotations

from typing import Any

import yaml

VALUES_LIMIT = 10_000
"""Most values of a file: a few aliases of aliases would fill any memory."""


class YamlTextError(ValueError):
    """A text is not YAML of this kind; ``str()`` says where and why."""


def parse(data: bytes) -> dict[str, Any]:
    """Return the sections of a YAML text. Raise YamlTextError with line and column."""
    try:
        sections = _Loader(data).get_single_data()
        if _count(sections, 0) > VALUES_LIMIT:
            raise YamlTextError(f"more than {VALUES_LIMIT} values")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlTextError(where + ", ".join(text for text in (error.context, error.problem) if text)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlTextError(" ".join(str(error).split())) from error
    except RecursionError:
        raise YamlTextError("nested too deeply") from None
    if not isinstance(sections, dict):
        raise YamlTextError("empty, or no sections")
    return sections


def _resolvers() -> dict[str, list[tuple[str, Any]]]:
    """Return the resolvers that take plain text for null or a merge key, and for nothing else."""
    known = yaml.SafeLoader.yaml_implicit_resolvers
    tags = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    return {first: [pair for pair in pairs if pair[0] in tags] for first, pairs in known.items()}


class _Loader(yaml.SafeLoader):
    """Makes plain data only."""

    yaml_implicit_resolvers = _resolvers()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a duplicate key; SafeLoader would take the last."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key that is not plain text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _count(value: Any, before: int) -> int:
    """Return ``before`` and the number of values in ``value``; stops counting above VALUES_LIMIT."""
    before += 1
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if before > VALUES_LIMIT:
            break
        before = _count(inner, before)
    return before
