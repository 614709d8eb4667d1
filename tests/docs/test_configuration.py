"""docs/configuration.md has every setting, as the settings and the registries have them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archiverd.config.models import SECRETS, Settings
from archiverd.config.section import Section
from archiverd.runrecord.converters.registry import BY_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


def sections(model: type[BaseModel] = Settings, above: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield every section, dotted, with its keys; none for the top of the file, or where there are only sections."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            inner = {key: one.annotation for key, one in kind.model_fields.items()}
            keys = [key for key, one in inner.items() if not (isinstance(one, type) and issubclass(one, Section))]
            if keys:
                yield f"{above}{name}", keys
            yield from sections(kind, f"{above}{name}.")


@pytest.mark.parametrize(("section", "keys"), list(sections()))
def test_every_setting_is_in_its_section(section: str, keys: list[str]) -> None:
    """The page has a heading for each section and names each of its keys below it."""
    text = PAGE.partition(f"### `[{section}]`\n")[2].partition("\n### ")[0]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_the_default_converters_are_listed() -> None:
    """The default of fhiclize_generate is the registry's, in its order."""
    text = PAGE.partition("### `fhiclize_generate`\n")[2]
    (listed,) = re.findall(r"Default: ([^.]*)\.", text)
    assert re.split(r",\s+", listed) == list(BY_DEFAULT)


def test_every_credential_is_named() -> None:
    """Each secret can be a systemd credential, and the page says how that is called."""
    assert ["_".join(path) for path in SECRETS if f"`{'_'.join(path)}`" not in PAGE] == []
