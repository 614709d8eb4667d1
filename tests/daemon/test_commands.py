"""What the daemon makes of requests that are none."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from archiverd.app.operations.requests import (
    OnceRequest,
    RearchiveRequest,
    ReconcileRequest,
    RecoverRequest,
    ReleaseRequest,
    Request,
    RetryRequest,
    WaiveRequest,
)
from archiverd.app.operations.status_exchange import StatusRequest
from archiverd.core.errors import ArchiverError
from archiverd.core.machine import Stage
from archiverd.core.runset import LAST_RUN
from archiverd.daemon.commands import Commands
from archiverd.process.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archiverd.control.server import Handler
    from archiverd.daemon.passes import DaemonDriver
    from archiverd.watch.watcher import Watcher

REQUESTS: tuple[Request, ...] = (
    OnceRequest(),
    RearchiveRequest(frozenset({7}), override=True),
    RetryRequest(Stage.IMPORT, frozenset({7})),
    RecoverRequest(Stage.MIGRATE),
    ReconcileRequest(deep=True),
    WaiveRequest(7, "why"),
    ReleaseRequest(7, override=False),
    StatusRequest(probing=True),
)


@pytest.fixture
def handlers() -> Mapping[str, Handler]:
    """The commands of a daemon that has nothing to work with."""
    parts = SimpleNamespace(journal=None)
    driver, watcher = cast("DaemonDriver", SimpleNamespace(parts=parts)), cast("Watcher", SimpleNamespace())
    return Commands(driver, watcher, Shutdown(time.monotonic), begun=0.0).handlers


@pytest.mark.parametrize("run", [0, LAST_RUN + 1, 10**30, "12", None, True])
@pytest.mark.parametrize("request_", [one for one in REQUESTS if {"run", "runs"} & one.to_json().keys()], ids=str)
async def test_what_is_no_run_number_is_refused(
    handlers: Mapping[str, Handler], request_: Request, run: object
) -> None:
    """Neither is anything else done instead, nor is the journal asked for what it cannot hold."""
    arguments = request_.to_json()
    arguments = {**arguments, **({"run": run} if "run" in arguments else {"runs": [run]})}
    with pytest.raises(ArchiverError, match="must be a run number"):
        await handlers[request_.COMMAND](arguments, lambda _: None)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.COMMAND)
async def test_a_request_with_a_field_too_many_too_few_or_wrong_is_refused(
    handlers: Mapping[str, Handler], request_: Request
) -> None:
    """A newer command is never half understood: nothing is dropped in silence."""
    arguments = request_.to_json()
    first = next(iter(arguments))
    for wrong, words in (
        ({**arguments, "extra": True}, "extra: the request has no such field"),
        ({name: value for name, value in arguments.items() if name != first}, f"{first} is missing"),
        ({**arguments, first: 1.5}, f"{first} must be"),
    ):
        with pytest.raises(ArchiverError, match=words) as caught:
            await handlers[request_.COMMAND](wrong, lambda _: None)
        assert "of the same version?" in caught.value.remedy


@pytest.mark.parametrize("command", ["status", "drain", "pause", "resume"])
async def test_a_command_without_arguments_takes_none(handlers: Mapping[str, Handler], command: str) -> None:
    """An argument that a newer command may send is refused, not ignored."""
    with pytest.raises(ArchiverError, match="the request has no such field"):
        await handlers[command]({"extra": True}, lambda _: None)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.COMMAND)
def test_a_request_crosses_the_control_socket(request_: Request) -> None:
    """What JSON has of it is enough to make it again."""
    assert type(request_).from_json(request_.to_json()) == request_  # type: ignore[attr-defined]
