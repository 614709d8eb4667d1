"""How the whole suite runs: the same examples every time, however slow the machine.

`make test ARGS=--hypothesis-profile=explore` looks for new examples instead.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from archiverd import log

if TYPE_CHECKING:
    from collections.abc import Iterator

# Hundreds of processes are started; each would compile everything anew where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Let no test log into what another one has closed."""
    yield
    log.close()
    structlog.reset_defaults()
