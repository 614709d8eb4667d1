"""The registry of notifiers: which are made by configuration, and that nothing is missing in it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydantic import BaseModel

from archiverd import log
from archiverd.config.models import Settings
from archiverd.config.reporting import OptionalSection
from archiverd.notify.registry import CARBON, DESTINATIONS, NOTIFIERS, make_notifiers

EMAIL = {"enabled": True, "recipient_email": "a@b", "sender_email": "c@d", "smtp_host": "mail"}
SLACK = {"enabled": True, "bot_token": "xoxb-1", "channel": "#daq"}


def settings(tmp_path: Path, **given: object) -> Settings:
    """Return settings with ``given``, and the required ones."""
    known = {
        "app": {"work_dir": tmp_path},
        "source_files": {"run_records_dir": tmp_path / "records"},
        "artdaq_db": {"database_uri": "filesystemdb:///x"},
    }
    return Settings.model_validate({**known, **given})


def test_nothing_is_made_by_default(tmp_path: Path) -> None:
    """By default there is no mail, no Slack, no Carbon."""
    assert make_notifiers(settings(tmp_path)) == {}
    assert CARBON.if_enabled(settings(tmp_path)) is None


def test_what_is_enabled_is_made(tmp_path: Path) -> None:
    """Each enabled notifier is made, under the name that log and journal have."""
    both = settings(tmp_path, reporting={"email": EMAIL, "slack": SLACK}, carbon={"enabled": True, "host": "graphite"})
    assert list(make_notifiers(both)) == ["email", "slack"]
    assert CARBON.if_enabled(both) is not None


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ({}, True),
        ({"smtp_use_tls": True}, False),
        ({"smtp_port": 465}, False),
        ({"smtp_host": "localhost"}, False),
        ({"smtp_user": ""}, False),
    ],
)
def test_a_password_in_the_clear_is_warned_of(tmp_path: Path, more: dict[str, object], warned: bool) -> None:
    """A login without TLS to another host is warned of."""
    said = io.StringIO()
    log.configure("INFO", "console", said)
    given = {**EMAIL, "smtp_user": "u", "smtp_password": "pl4nted", **more}
    make_notifiers(settings(tmp_path, reporting={"email": given}))
    assert ("in the clear" in said.getvalue()) is warned
    assert "pl4nted" not in said.getvalue()


def sections() -> dict[str, type[OptionalSection]]:
    """Return the sections of the configuration that can be enabled, by their dotted names."""
    found: dict[str, type[OptionalSection]] = {}
    todo: list[tuple[str, type[BaseModel]]] = [("", Settings)]
    while todo:
        above, model = todo.pop()
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, OptionalSection):
                found[f"{above}{name}"] = kind
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                todo.append((f"{above}{name}.", kind))
    return found


def test_each_section_that_can_be_enabled_is_registered() -> None:
    """A section without an entry could be enabled and do nothing; an entry without a section could not be enabled."""
    assert sorted(destination.section for destination in DESTINATIONS) == sorted(sections())
    assert len({destination.name for destination in DESTINATIONS}) == len(DESTINATIONS)
    assert [f"reporting.{notifier.name}" for notifier in NOTIFIERS] == [notifier.section for notifier in NOTIFIERS]


@pytest.mark.parametrize("section", sections().values())
def test_what_is_required_is_a_setting(section: type[OptionalSection]) -> None:
    """Every key that a section requires is one of its own, and blank by default."""
    assert set(section.required) <= set(section.model_fields)
    assert section().missing() == list(section.required)


def test_every_destination_has_its_tests() -> None:
    """Each adapter is tried against a server in a module named after it."""
    missing = [one.name for one in DESTINATIONS if not (Path(__file__).parent / f"test_{one.name}.py").exists()]
    assert missing == []
