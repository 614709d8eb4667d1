"""The older tool's config.yaml as an archiverd.toml: references stay as they are, and no secret is written.

``ConvertedConfiguration.notes`` names what changes its form, what is left out and what is worth knowing. Comments of
the YAML are not kept.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from archiverd.config.loader import LOG_FILE_NAME
from archiverd.config.models import SECRETS, Settings
from archiverd.config.older_tool import new_path, to_current_form
from archiverd.config.section import Section
from archiverd.config.sources import SettingSources
from archiverd.config.tables import is_yaml, read_tables
from archiverd.config.unknown_keys import refuse_unknown
from archiverd.config.validation import validate
from archiverd.core.errors import ConfigurationError
from archiverd.expansion import expand, variables
from archiverd.runrecord.converters.registry import BY_DEFAULT, NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

VARIABLES = {
    ("ucon_db", "writer_password"): "UCONDB_PASSWORD",
    ("reporting", "email", "smtp_password"): "SMTP_PASSWORD",
    ("reporting", "slack", "bot_token"): "SLACK_BOT_TOKEN",
}
"""The environment variables that take the place of secrets in the YAML; any other secret's is its path in capitals."""
URI_VARIABLE = "ARTDAQDB_PASSWORD"

_ONLY_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(:-.*)?\}", re.ASCII | re.DOTALL)
_URI_PASSWORD = re.compile(r"(://[^\s:/@]*:)((?:(?!\$\{)[^\s@])+)@")
_PARAMETER = re.compile(r"\$\{([a-z_]\w*(?:\.[a-z_]\w*)+)(?=:-|\})", re.ASCII)

_REMARKS = {
    ("ucon_db",): "The server's certificate is verified, which the older tool did not do: verify_tls = true is the "
    "default.\n# A private authority's certificates are named with ca_file.",
}
"""Comments above the keys of a section."""


@dataclass(slots=True)
class ConvertedConfiguration:
    """A converted configuration."""

    text: str = ""
    """TOML."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what changed or is worth knowing."""
    variables: tuple[str, ...] = ()
    """The environment variables it refers to."""


def migrate(path: Path) -> ConvertedConfiguration:
    """Convert the YAML file at ``path``. Raise ConfigurationError if it is none, or holds what nobody knows."""
    if not is_yaml(path):
        raise ConfigurationError(
            f"{path} is no configuration of the older tool: its name ends neither in .yaml nor in .yml",
            remedy="name the older tool's config.yaml",
        )
    done = ConvertedConfiguration()
    sections = to_current_form(read_tables(path), done.notes.append)
    refuse_unknown(sections, path)
    sections = _move_references(sections)
    _write_log_file(sections, done)
    _clean_converters(sections, done)
    _replace_secrets(sections, done)
    if "verify_tls" not in sections.get("ucon_db", {}):
        done.notes.append(
            "TLS: UconDB's certificate is verified now, which the older tool did not do; a private authority's "
            "certificates are named with ucon_db.ca_file"
        )
    done.variables = tuple(sorted({name for text in _texts(sections) for name, _ in variables(text)}))
    done.text = _toml(sections, path)
    return done


def check(migrated: ConvertedConfiguration, path: Path) -> Settings:
    """Return the settings of a converted configuration. Raise ConfigurationError, naming ``path``, if it is wrong."""
    return validate(expand(tomllib.loads(migrated.text), os.environ), SettingSources(path))


def _move_references(value: Any) -> Any:
    """Return ``value`` with references to keys that have moved changed."""
    if isinstance(value, dict):
        return {key: _move_references(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_move_references(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return _PARAMETER.sub(lambda match: "${" + ".".join(new_path(tuple(match[1].split(".")))), value)


def _write_log_file(sections: dict[str, Any], done: ConvertedConfiguration) -> None:
    """Add the log file, which a YAML configuration has by default."""
    app = sections.setdefault("app", {})
    if "log_file" not in app:
        app["log_file"] = f"${{work_dir}}/{LOG_FILE_NAME}"
        done.notes.append(
            f"app.log_file is written down: a TOML configuration has no {LOG_FILE_NAME} unless it says so"
        )
    elif app["log_file"] is None:
        del app["log_file"]


def _clean_converters(sections: dict[str, Any], done: ConvertedConfiguration) -> None:
    """Drop the endings in ``fhiclize_generate``; say which converters it leaves out and which names mean nothing."""
    listed = sections.get("fhiclize_generate")
    if not isinstance(listed, list):
        return
    names = [str(name).removesuffix(".txt").removesuffix(".fcl") for name in listed]
    sections["fhiclize_generate"] = list(dict.fromkeys(names))
    if names != listed:
        done.notes.append("fhiclize_generate: the endings .txt and .fcl are dropped")
    unknown = [name for name in names if name not in NAMES and "${" not in name]
    if unknown:
        done.notes.append(f"fhiclize_generate: no converter stands for {', '.join(unknown)}; take it out")
    missing = [name for name in BY_DEFAULT if name not in names]
    if missing:
        done.notes.append(
            f"fhiclize_generate leaves {', '.join(missing)} out, which archiverd can convert; add what you want, or "
            "remove the list for all"
        )


def _replace_secrets(sections: dict[str, Any], done: ConvertedConfiguration) -> None:
    """Replace the secrets in the file by references."""
    for path in SECRETS:
        variable = VARIABLES.get(path, "_".join(path).upper())
        *above, key = path
        table = sections
        for name in above:
            table = table.get(name) or {}
        written = table.get(key)
        if not isinstance(written, str):
            continue
        reference = _ONLY_REFERENCE.fullmatch(written)
        if not written:
            del table[key]
        elif reference is None or reference[2]:
            named = reference[1] if reference else variable
            table[key] = f"${{{named}}}"
            done.notes.append(
                f"{'.'.join(path)}: the secret in the file is not written; put it into ${named}, or into the systemd "
                f"credential {'_'.join(path)}"
            )
    database = sections.get("artdaq_db") or {}
    uri = database.get("database_uri")
    if isinstance(uri, str) and _URI_PASSWORD.search(uri):
        database["database_uri"] = _URI_PASSWORD.sub(rf"\1${{{URI_VARIABLE}}}@", uri)
        done.notes.append(
            f"artdaq_db.database_uri: the password in the file is not written; put it into ${URI_VARIABLE}, "
            "percent-encoded as it was"
        )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in the sections."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _toml(sections: Mapping[str, Any], path: Path) -> str:
    """Write the sections in the order of archiverd.toml.example."""
    lines = [
        f"# Converted from {path.name} by `archiverd config migrate`; archiverd.toml.example explains every key.",
        *(_pair(key, value, Settings) for key, value in sections.items() if not isinstance(value, dict)),
    ]
    for name in Settings.model_fields:
        if isinstance(sections.get(name), dict):
            lines += _section((name,), sections[name], _model(Settings, name))
    return "\n".join(lines) + "\n"


def _section(path: tuple[str, ...], content: Mapping[str, Any], model: type[BaseModel]) -> Iterator[str]:
    """Yield the lines of a section and of those within it."""
    pairs = [_pair(key, value, model) for key, value in content.items() if not isinstance(value, dict)]
    if pairs:
        yield f"\n[{'.'.join(path)}]"
        if path in _REMARKS:
            yield f"# {_REMARKS[path]}"
        yield from pairs
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _section((*path, key), value, _model(model, key))


def _pair(key: str, value: Any, model: type[BaseModel]) -> str:
    """Return ``key = value`` as TOML has it."""
    try:
        return tomli_w.dumps({key: _typed(value, model.model_fields[key].annotation)}).rstrip()
    except TypeError as error:
        raise ConfigurationError(f"{key} holds what TOML has no form for: {error}", remedy="write it plainly") from None


def _typed(value: Any, kind: Any) -> Any:
    """Return a number or truth value for text that is one where ``kind`` wants one; references stay text."""
    if not isinstance(value, str) or "${" in value:
        return value
    try:
        meant = TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return value
    return meant if isinstance(meant, bool | int | float) else value


def _model(model: type[BaseModel], key: str) -> type[BaseModel]:
    """Return the model of a section within ``model``; that there is one was checked before."""
    inner = model.model_fields[key].annotation
    if not (isinstance(inner, type) and issubclass(inner, Section)):
        raise ConfigurationError(
            f"Configuration validation failed: {key} is not a section", remedy="indent it as a key"
        )
    return inner
