"""The status report that `status` puts together itself, because no daemon runs or it does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archiverd.app.operations.status import gather_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archiverd.app.operations.status_exchange import StatusRequest
    from archiverd.config.models import Settings
    from archiverd.status.probe import ProbeResult

    Probe = Callable[[Settings], list[ProbeResult]]


def gather(
    settings: Settings, request: StatusRequest, daemon: Mapping[str, Any] | None, probe: Probe | None
) -> Mapping[str, Any]:
    """Return what `status --json` prints, from the journal and from what ``probe`` finds if it is given.

    ``daemon`` is None if none runs, else the error and the remedy of one that did not answer. Raise ArchiverError.
    """
    probed = None if probe is None else probe(settings)
    return gather_status(settings, request, daemon, probed, known=False).to_json()
