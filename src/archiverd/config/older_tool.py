"""The older tool's YAML in the form of our TOML: the sections are the same, some keys differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_LONGER = {("app", "exclude_most_recent_run"): "a run that has not ended is never archived"}
"""Keys of the older tool without a counterpart, and why none is needed."""

FLAT_EMAIL = {
    "send_email_on_error": "enabled",
    "recipient_email": "recipient_email",
    "sender_email": "sender_email",
    "smtp_host": "smtp_host",
    "smtp_port": "smtp_port",
    "smtp_use_tls": "smtp_use_tls",
    "smtp_user": "smtp_user",
    "smtp_password": "smtp_password",
}
"""Keys that once stood directly under ``reporting``, and the keys of ``reporting.email`` they mean."""

FLAT_DEFAULTS = {"smtp_port": "587", "smtp_use_tls": "true"}
"""Defaults of the old flat form; those of ``reporting.email`` are port 25 without TLS."""


def to_current_form(sections: Mapping[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Return ``sections`` as a TOML configuration has them; call ``report`` with a sentence for each change.

    Unknown keys are kept for the validation.
    """
    found = {name: content for name, content in sections.items() if content is not None}
    files = found.get("fhiclize_generate")
    if isinstance(files, dict):
        found["fhiclize_generate"] = files.get("files") or []
    if isinstance(found.get("reporting"), dict):
        found["reporting"] = _nested_email(found["reporting"], report)
    return {name: _without_nulls((name,), content, report) for name, content in found.items()}


def _nested_email(reporting: Mapping[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Move the old flat mail settings under ``email``; where both are given, ``email`` is used."""
    flat = {FLAT_EMAIL[key]: value for key, value in reporting.items() if key in FLAT_EMAIL}
    rest = {key: value for key, value in reporting.items() if key not in FLAT_EMAIL}
    if not flat:
        return rest
    first = next(key for key in reporting if key in FLAT_EMAIL)
    if rest.get("email"):
        report(f"reporting.{first} and the like are deprecated and not looked at: reporting.email holds")
        return rest
    report(f"reporting.{first} is deprecated: it is reporting.email.{FLAT_EMAIL[first]} now, and so on for the others")
    return {**rest, "email": {**FLAT_DEFAULTS, **{key: value for key, value in flat.items() if value is not None}}}


def _without_nulls(path: tuple[str, ...], content: Any, report: Callable[[str], None]) -> Any:
    """Remove obsolete keys and nulls from a section; ``log_file: null`` stays, it means no log file."""
    if isinstance(content, list):
        return [one for one in content if one is not None]
    if not isinstance(content, dict):
        return content
    kept = {}
    for key, value in content.items():
        here = (*path, key)
        if here in NO_LONGER:
            report(f"{'.'.join(here)} is not needed any more: {NO_LONGER[here]}")
        elif value is not None or here == ("app", "log_file"):
            kept[key] = _without_nulls(here, value, report)
    return kept


def new_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path in our file of a value at ``path`` in the older tool's."""
    match path:
        case ("reporting", key) if key in FLAT_EMAIL:
            return "reporting", "email", FLAT_EMAIL[key]
        case ("fhiclize_generate", "files"):
            return ("fhiclize_generate",)
        case _:
            return path
