"""Every converter and every generated file there is. What lists them elsewhere reads this: docs/extending.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archiverd.runrecord.converter import GeneratedFile, TextConverter
from archiverd.runrecord.converters import (
    boardreaders,
    boot,
    environment,
    metadata,
    ranks,
    run_history,
    settings,
    setup,
)

if TYPE_CHECKING:
    from archiverd.runrecord.converter import MadeFile

REGISTERED: Final[tuple[MadeFile, ...]] = (
    boot.BOOT,
    metadata.METADATA,
    boardreaders.BOARDREADERS,
    settings.SETTINGS,
    setup.SETUP,
    environment.ENVIRONMENT,
    ranks.RANKS,
    run_history.RUN_HISTORY,
    run_history.RUN_HISTORY_UPDATE,
    boot.CONFIG,
    settings.RC_INFO_START,
    settings.RC_INFO_STOP,
)
"""In the order in which the default of ``fhiclize_generate`` names them."""

NAMES: Final = frozenset(made.name for made in REGISTERED)
"""Every name ``fhiclize_generate`` may hold."""

BY_DEFAULT: Final = tuple(made.name for made in REGISTERED if made.by_default)
"""The default of ``fhiclize_generate``."""

TEXT_CONVERTERS: Final = {made.name: made for made in REGISTERED if isinstance(made, TextConverter)}
GENERATED: Final = tuple(made for made in REGISTERED if isinstance(made, GeneratedFile))

END_OF_BLOB: Final = tuple(
    name for _, name in sorted((made.blob_place, made.name) for made in REGISTERED if made.blob_place is not None)
)
"""The files that end a blob, in its order."""

COME_WITH_END: Final = frozenset(made.name for made in REGISTERED if made.comes_with_end)
"""The files that the end of a run brings or changes."""
