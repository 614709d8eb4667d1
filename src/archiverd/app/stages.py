"""Builds the stages: importer, first phase and migrator, each with its runner, from the settings and opened ports."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd import log
from archiverd.core.environment import Environment
from archiverd.core.machine import Stage
from archiverd.core.priority import RetrySchedule
from archiverd.journal.state_files import TAGS
from archiverd.pipeline.failure_policy import FailurePolicy
from archiverd.pipeline.fault_injection import FaultInjector
from archiverd.pipeline.first_phase import FirstPhase
from archiverd.pipeline.gate import Gate
from archiverd.pipeline.importer import Importer, no_fault
from archiverd.pipeline.migrator import Migrator
from archiverd.pipeline.stage_runner import StageRunner
from archiverd.pipeline.validator import Validator
from archiverd.runrecord.preparation import ConversionCache, unknown_converters
from archiverd.watch.open_runs import completion_waits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from archiverd.artdaqdb.port import ArtdaqDB
    from archiverd.artdaqdb.schema import Schema
    from archiverd.config.models import Settings
    from archiverd.journal.journal import Journal
    from archiverd.process.hands import Hands
    from archiverd.process.shutdown import Shutdown
    from archiverd.ucondb.port import UconDB

QUEUE_LIMIT = 8
"""Most runs in a stage's queue: a drain must finish them (design.md, "Stopping")."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the stages of a process do."""

    migrating: bool = True
    """Bring runs to UconDB, which must be configured then."""
    validating: bool = True
    """Check each blob's metadata for what ``validation.required`` names."""
    drilling: bool = True
    """Make up failures where ``[app_fuzz]`` says so."""
    until_idle: bool = False
    """Stop as soon as nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """The parts of the way to UconDB."""

    ucondb: UconDB
    gate: Gate
    runner: StageRunner
    first_phase: FirstPhase | None
    """For runs that have only started; None where there is no pending folder."""
    validator: Validator | None = None
    """For runs that were proven without validation; None in a process that does not validate."""


def make_gate(settings: Settings, ucondb: UconDB, on_news: Callable[[], None]) -> Gate:
    """Return the gate before UconDB; it opens once a probe has passed."""

    async def probe(*, login_only: bool) -> None:
        await (ucondb.check_login() if login_only else ucondb.check_server())

    environment = Environment(time.time, time.monotonic, random.uniform)
    return Gate("UconDB", settings.ucon_db.max_concurrent_uploads, probe, environment, log.get("Migration"), on_news)


def retry_schedule(settings: Settings) -> RetrySchedule:
    """Return when a failed run is tried again."""
    return RetrySchedule(settings.app.run_process_retries, settings.app.retry_delay_seconds)


def failure_policy(settings: Settings) -> FailurePolicy:
    """Return what a failure does to a run."""
    return FailurePolicy(retry_schedule(settings), time.time, random.uniform)


@dataclass(frozen=True, slots=True)
class StageMaker:
    """Makes the stages and their runners."""

    settings: Settings
    journal: Journal
    artdaqdb: ArtdaqDB
    shutdown: Shutdown
    options: RunOptions
    hands: Hands

    def importer(self, schema: Schema) -> Importer:
        """Make the import stage."""
        settings = self.settings
        for name in unknown_converters(settings.fhiclize_generate):
            log.get("Import").warning(
                f"No converter found for configured file: {name} "
                "(take it out of fhiclize_generate; the file is treated like any other)"
            )
        return Importer(
            journal=self.journal,
            artdaqdb=self.artdaqdb,
            policy=failure_policy(self.settings),
            schema=schema,
            records=settings.source_files.run_records_dir,
            converted=settings.fhiclize_generate,
            unmatched=settings.artdaq_db.unmatched,
            cache=ConversionCache(),
            waits=completion_waits(settings),
            inject_fault=FaultInjector(settings.app_fuzz, random.uniform) if self.options.drilling else no_fault,
        )

    def migration(self, ucondb: UconDB, pending: UconDB | None, importer: Importer, wake: asyncio.Event) -> Migration:
        """Make the parts of the migration stage."""
        settings, policy = self.settings, failure_policy(self.settings)
        gate = make_gate(settings, ucondb, wake.set)
        migrator = Migrator(
            journal=self.journal,
            artdaqdb=self.artdaqdb,
            ucondb=ucondb,
            gate=gate,
            policy=policy,
            required=settings.validation.required if self.options.validating else None,
            monotonic=time.monotonic,
        )
        workers = settings.ucon_db.max_concurrent_uploads + 1  # one gets its blob ready while the others upload
        runner = self.runner(Stage.MIGRATE, migrator, workers, wake, gate)
        first = None if pending is None else FirstPhase(self.journal, importer, pending, gate, policy)
        required = settings.validation.required if self.options.validating else None
        validator = None if required is None else Validator(self.journal, ucondb, gate, required)
        return Migration(ucondb, gate, runner, first, validator)

    def runner(
        self, stage: Stage, work: Importer | Migrator, workers: int, wake: asyncio.Event, gate: Gate | None
    ) -> StageRunner:
        """Make the runner of a stage."""
        app = self.settings.app
        return StageRunner(
            stage=stage,
            journal=self.journal,
            work=work,
            workers=workers,
            capacity=min(app.batch_size, QUEUE_LIMIT),
            clock=time.time,
            shutdown=self.shutdown,
            logger=log.get(TAGS[stage]),
            gate=gate,
            hands=self.hands,
            until_idle=self.options.until_idle,
            retry_wait_seconds=app.retry_delay_seconds,
            quick_retries=app.run_process_retries,
            wake=wake,
        )
