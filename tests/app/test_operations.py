"""What operations return, and how far a pass has come."""

from __future__ import annotations

import json

import pytest

from archiverd.app.operations.passes import PassProgress
from archiverd.app.operations.results import Decision, HeldRuns, Outage, PassResult, PassScope
from archiverd.audit.anomalies import Anomaly, Discrepancy
from archiverd.audit.partition import Partition
from archiverd.control.fields import MessageError
from archiverd.core.machine import Stage, State
from archiverd.journal.rows import PassTotals, StuckRun
from archiverd.pipeline.operator_actions import SkippedRun
from archiverd.process.shutdown import ShutdownReason

FAILED = (StuckRun(7, State.QUARANTINED, "ArtdaqDBError: x"),)
ANOMALIES = (Anomaly(8, Discrepancy.REUSED, "another run"),)
RESULT = PassResult(
    1, 2, 3, FAILED, ANOMALIES, (SkippedRun(9, "not known"),), HeldRuns(5, 4), Outage("away", "wait"), 1
)


def test_each_stage_of_a_run_counts() -> None:
    """A run before the import has two stages before it; what came later makes the way longer, not the done less."""
    progress = PassProgress(frozenset(Stage))
    assert progress.update({State.IMPORTED: 1, State.QUEUED: 2}) == (0, 5, "2 queued, 1 imported")
    assert progress.update({State.UPLOADING: 1, State.IMPORTING: 1}) == (2, 5, "1 importing, 1 uploading")
    assert progress.update({State.QUEUED: 4}) == (0, 8, "4 queued")
    assert progress.update({}) == (8, 8, "")


def test_only_the_stages_of_a_pass_count() -> None:
    """A pass that ends at artdaqDB has come to its end there."""
    progress = PassProgress(frozenset({Stage.IMPORT}))
    assert progress.update({State.QUEUED: 2}) == (0, 2, "2 queued")
    assert progress.update({}) == (2, 2, "")


@pytest.mark.parametrize(
    "result",
    [
        RESULT,
        PassResult(0, 0, 0, (), (), (), None, None, 0),
        Decision(7, State.WAIVED),
        Partition({"verified": (7, 8), "reused": (9,)}, (7,), (8,), (9,), 3, ANOMALIES),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_result_crosses_the_control_socket(result: PassResult | Decision | Partition) -> None:
    """What JSON has of it is enough to make it again; a field too many, too few or of another type is refused."""
    carried = json.loads(json.dumps(result.to_json()))
    assert type(result).from_json(carried) == result
    first = next(name for name in carried if name != "version")
    for wrong in (
        {**carried, "extra": 1},
        {name: value for name, value in carried.items() if name != first},
        {**carried, first: "1"},
        [carried],
    ):
        with pytest.raises(MessageError):
            type(result).from_json(wrong)


@pytest.mark.parametrize(
    ("scope", "stuck", "stopped", "code"),
    [
        (PassScope(), (), None, 0),
        (PassScope(), FAILED, None, 1),
        (PassScope(anomalies=ANOMALIES), (), None, 1),
        (PassScope(skipped=(SkippedRun(9, "verified"),)), (), None, 0),
        (PassScope(skipped=(SkippedRun(9, "not known", failed=True),)), (), None, 1),
        (PassScope(), FAILED, ShutdownReason.INTERRUPTED, 130),
        (PassScope(), (), ShutdownReason.LOCK_REMOVED, 1),
    ],
)
def test_the_exit_code_says_whether_all_is_well(
    scope: PassScope, stuck: tuple[StuckRun, ...], stopped: ShutdownReason | None, code: int
) -> None:
    """A run that failed, is anomalous or is not known makes it 1; a stop has its own."""
    assert PassResult.of(scope, PassTotals(0, 0, 0, stuck), None, stopped).exit_code == code


def test_a_pass_counts_what_its_own_stages_did() -> None:
    """Beside a daemon the other stage goes on meanwhile; runs that only artdaqDB knew were imported long ago."""
    totals = PassTotals(imported=3, verified=2, open=0, stuck=())
    importing = PassResult.of(PassScope(frozenset({Stage.IMPORT}), adopted=frozenset({5})), totals, None)
    assert (importing.imported, importing.verified) == (2, 0)
    migrating = PassResult.of(PassScope(frozenset({Stage.MIGRATE})), totals, None)
    assert (migrating.imported, migrating.verified) == (0, 2)
