"""Faults for drills (``[app_fuzz]``): a share of imports is skipped or fails on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.core.errors import ArchiverError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from archiverd.config.models import AppFuzz


@dataclass(frozen=True, slots=True)
class FaultInjector:
    """Decides at random for each attempt; the shares are percentages."""

    settings: AppFuzz
    uniform: Callable[[float, float], float]

    def __call__(self) -> None:
        """Raise ArchiverError for the configured share of calls: transient, or permanent where no retry is wanted."""
        fuzz = self.settings
        for share, for_good, what in (
            (fuzz.random_skip_percent, fuzz.random_skip_retry, "skipped"),
            (fuzz.random_error_percent, fuzz.random_error_retry, "failed"),
        ):
            if share > 0 and self.uniform(0.0, 100.0) < share:
                raise ArchiverError(
                    f"{what} on purpose: a drill of [app_fuzz]",
                    retry=Retry.PERMANENT if for_good else Retry.TRANSIENT,
                    remedy="nothing is wrong: remove [app_fuzz] from the configuration when the drill is over",
                )
