"""What one pipeline works with: its definition and the adapters behind the seams.

>>> open_workspace("flights").tables.version("accepted")               # doctest: +SKIP
52

Everything is built lazily, so that a command pays only for what it uses.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ratchet.contracts.bundle import Bundle
from ratchet.contracts.clock import Calendar, Window
from ratchet.contracts.definition import Definition, check_name, load
from ratchet.contracts.lineage import cycle_key, digest_of
from ratchet.contracts.seams import (
    DriftReporter,
    LandingZone,
    Lease,
    Notifier,
    Registry,
    SourceOfRecord,
    SuiteRunner,
    Tables,
)
from ratchet.errors import DefinitionError, LeaseHeld, NotFound
from ratchet.settings import Settings, settings
from tasks.cycle import in_flow_run

PATIENCE = 600.0  # seconds: longer than a cycle, and than a dead run's lease on S3
logger = logging.getLogger("ratchet.lease")


@dataclass(frozen=True)
class Workspace:
    """One pipeline's definition, suite and seams.

    ``replay`` names an isolated run over history: what landed is shared, but accepted rows,
    decisions and models live apart, and no registry alias of the pipeline is touched. ``patience``
    is how many seconds a cycle waits for whoever holds the lease.
    """

    definition: Definition
    suite: dict[str, Any]
    settings: Settings
    replay: str | None = None
    patience: float = 0.0

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.definition.name

    @property
    def calendar(self) -> Calendar:
        """The pipeline's windows."""
        return self.definition.calendar

    @cached_property
    def digest(self) -> str:
        """Digest of the definition and of its suite: either one decides what may be learned."""
        return digest_of([self.definition.digest, digest_of(self.suite)])

    def key(self, window: Window) -> str:
        """The idempotence key of this window's cycle."""
        return cycle_key(self.name, window.index, self.digest)

    @cached_property
    def landing_tables(self) -> Tables:
        """Where what landed is kept: shared by every replay."""
        from ratchet.adapters.tables import open_tables

        return open_tables(self.settings.root_of(self.name), self.settings)

    @cached_property
    def seal_secret(self) -> bytes:
        """What decides which rows are sealed: drawn once, and shared by every replay."""
        from tasks.sealed import drawn_once

        return drawn_once(self.landing_tables)

    @cached_property
    def tables(self) -> Tables:
        """Accepted rows, quarantine, decisions: apart for a replay."""
        from ratchet.adapters.tables import open_tables

        if self.replay is None:
            return self.landing_tables
        return open_tables(self._replay_root, self.settings)

    @cached_property
    def registry(self) -> Registry:
        """MLflow; a plain directory for a replay."""
        if self.replay is not None:
            from ratchet.adapters.local_registry import LocalRegistry

            return LocalRegistry(self.settings.state / "replays" / self.name / self.replay)
        from ratchet.adapters.mlflow_registry import open_registry

        return open_registry(self.settings)

    def model(self, version: int) -> Bundle:
        """A registered model, asked as it can be now: without features that are not declared.

        Raises:
            NotFound, ModelError: as :meth:`Registry.load`.
        """
        return self.registry.load(self.name, version).given(self.definition.features)

    @cached_property
    def zone(self) -> LandingZone:
        """Where other systems drop this pipeline's files."""
        from ratchet.adapters.landing import open_zone

        return open_zone(self.definition.source.landing, self.settings)

    @cached_property
    def record(self) -> SourceOfRecord | None:
        """Where suspicious rows are looked up; None where the pipeline declares nothing."""
        from ratchet.adapters.record import open_record

        return open_record(self.definition, self.settings)

    @cached_property
    def suites(self) -> SuiteRunner:
        """Great Expectations."""
        from ratchet.adapters.expectations import GreatExpectations

        return GreatExpectations()

    @cached_property
    def reporter(self) -> DriftReporter:
        """Evidently."""
        from ratchet.adapters.evidently import Evidently

        return Evidently()

    @cached_property
    def notifiers(self) -> list[Notifier]:
        """Who is told of blocked, rolled back, revoked and failed."""
        from ratchet.adapters.notify import open_notifiers

        return open_notifiers(self.definition.notify, self.settings)

    @cached_property
    def landing_lease(self) -> Lease:
        """One run per pipeline at a time takes in what arrived."""
        from ratchet.adapters.lease import open_lease

        return open_lease(self.settings.root_of(self.name), self.settings)

    @cached_property
    def lease(self) -> Lease:
        """One run per pipeline, or per replay, at a time."""
        from ratchet.adapters.lease import open_lease

        if self.replay is None:
            return self.landing_lease
        return open_lease(self._replay_root, self.settings)

    @property
    def _replay_root(self) -> str:
        return f"{self.settings.root_of(self.name)}-replays/{self.replay}"


def open_workspace(pipeline: str, replay: str | None = None, patience: float = 0.0) -> Workspace:
    """The workspace of a pipeline in ``pipelines/``.

    Raises:
        NotFound: there is no such pipeline; the message lists those that exist.
        DefinitionError: its file or its suite is wrong, or the replay's name is.
    """
    if replay is not None:
        check_name(replay, "replay")
    where = settings()
    path = where.pipelines / f"{pipeline}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in where.pipelines.glob("*.toml"))
        raise NotFound(
            f"pipeline {pipeline!r}: no file {path}; found {known or 'none'}. "
            "Write one with 'ratchet init FILE --label COLUMN'."
        )
    definition = load(path)
    if definition.name != pipeline:
        raise DefinitionError(f"{path}: name is {definition.name!r}, expected {pipeline!r}")
    suite = read_suite(where.home / definition.validate_.suite)
    return Workspace(definition, suite, where, replay, patience)


def read_suite(path: Path) -> dict[str, Any]:
    """A suite from its JSON file.

    Raises:
        DefinitionError: missing, not JSON, or without expectations.
    """
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DefinitionError(f"suite {path}: cannot be read: {error}") from error
    if not isinstance(suite, dict) or not suite.get("expectations"):
        raise DefinitionError(f"suite {path}: expected an object with a list of expectations")
    return suite


def run_patience() -> float:
    """Seconds that this run waits for another that holds the pipeline; then it fails.

    A run of a deployment waits, because nobody is there to start it again: for a backfill's cycle,
    or for the lease of a run that was killed to end. At a terminal a person is told at once.
    """
    if not in_flow_run():
        return 0.0
    from prefect.runtime import deployment

    return PATIENCE if deployment.id else 0.0


@contextmanager
def when_free(lease: Lease, owner: str, patience: float) -> Iterator[None]:
    """Hold the lease for the block, after waiting for whoever holds it.

    Args:
        patience: seconds to wait; 0: not at all.

    Raises:
        LeaseHeld: it was still held then.
    """
    until, said = time.monotonic() + patience, ""
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lease.hold(owner))
                break
            except LeaseHeld as held_by:
                left = until - time.monotonic()
                if left <= 0:
                    raise
                if str(held_by) != said:
                    logger.info("%s; this run waits for it, at most %.0f s more", held_by, left)
                said = str(held_by)
                time.sleep(1)
        yield
