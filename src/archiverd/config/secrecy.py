"""Which parts of the configuration must not be shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archiverd.config.models import SECRETS

if TYPE_CHECKING:
    from archiverd.expansion import Expanded

HIDDEN = "********"

_LOGIN = re.compile(r"://[^/\s]*@")
_SECRET_NAME = re.compile(r"PASSW|SECRET|TOKEN", re.IGNORECASE)


def without_login(text: str, shown: str = f"{HIDDEN}@") -> str:
    """Return ``text`` with user and password of every URL replaced by ``shown``."""
    return _LOGIN.sub(f"://{shown}", text)


def is_secret(value: Expanded) -> bool:
    """Return whether a value is a secret, by its key or by a variable it came from."""
    names = (*value.path, *value.variables)
    return value.path in SECRETS or any(_SECRET_NAME.search(name) for name in names)
