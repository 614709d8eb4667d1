"""archiverd.toml.example: a working start that shows every setting with its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archiverd.config.loader import load

EXAMPLE = Path(__file__).parents[2] / "archiverd.toml.example"
COMMENTED_SETTING = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


@pytest.fixture
def all_set(tmp_path: Path) -> Path:
    """Return the example with every commented setting in force."""
    path = tmp_path / "archiverd.toml"
    path.write_text(COMMENTED_SETTING.sub("", EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def test_the_example_is_valid_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied and given a password, the example passes `config check`."""
    monkeypatch.setenv("ARCHIVERD_UCON_DB__WRITER_PASSWORD", "secret")
    path = tmp_path / "archiverd.toml"
    path.write_bytes(EXAMPLE.read_bytes())
    assert load(path).ucon_db.writer_password.get_secret_value() == "secret"


def test_commented_settings_show_their_defaults(all_set: Path, tmp_path: Path) -> None:
    """Taking a comment sign away changes nothing, but where the default is "none" and an example stands."""
    plain = tmp_path / "plain.toml"
    plain.write_bytes(EXAMPLE.read_bytes())
    before, after = (load(path, migrating=False).model_dump() for path in (plain, all_set))
    for section, values in before.items():
        if not isinstance(values, dict):
            assert after[section] == values, section
            continue
        changed = {key for key, value in values.items() if value is not None and after[section][key] != value}
        assert not changed, section
