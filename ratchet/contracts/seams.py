"""One small Protocol per vendor seam. Each has a contract suite in ``tests/contracts``.

Adapters implement them (``ratchet/adapters``); tasks pass them around; stages never see them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ratchet.contracts.bundle import Bundle
    from ratchet.contracts.notice import Notice


@dataclass(frozen=True, order=True)
class ObjectRef:
    """One object as the landing zone lists it. ``etag`` changes whenever the content does."""

    key: str
    etag: str
    size: int
    arrived: datetime = field(compare=False)


class LandingZone(Protocol):
    """Where other systems drop files. Objects are never modified by Ratchet."""

    @property
    def name(self) -> str:
        """The zone's address, without credentials; goes into ``_source``."""

    def list(self) -> tuple[list[ObjectRef], list[tuple[str, str]]]:
        """Objects sorted by key, and (shown key, reason) of each unsafe key.

        Raises:
            StorageError: the zone cannot be reached.
        """

    def read(self, ref: ObjectRef, max_bytes: int) -> bytes:
        """The bytes of exactly the version listed.

        Raises:
            ObjectChanged: it is no longer the version listed, or it changed while it was read.
            TooLarge: more than ``max_bytes``.
            StorageError: the zone cannot be reached.
        """


@dataclass(frozen=True)
class Append:
    """Rows for one table in one transaction."""

    table: str
    rows: pa.Table
    txn: str  # application transaction: a second append with the same one is a no-op


class Tables(Protocol):
    """Versioned tables with atomic, idempotent appends (Delta Lake).

    Tables are partitioned by ``_window``. A table never written has version -1 and no rows.
    """

    def append(self, append: Append) -> int:
        """Append, and return the table's version after it.

        If the transaction ``append.txn`` was committed before, nothing is written. After an error
        of the store the log is read again before anything is retried, so that a commit which
        succeeded behind a lost connection is neither repeated nor reported as lost.

        Raises:
            Conflict: the store kept refusing although other writers were re-read and retried.
            Damaged: the table's log cannot be read.
            StorageError: disk full, read-only, unreachable.
        """

    def committed(self, table: str, txn: str) -> bool:
        """Whether this application transaction was committed."""

    def version(self, table: str) -> int:
        """The newest version; -1 when the table does not exist."""

    def windows(self, table: str) -> dict[int, int]:
        """Rows by window, of windows that have any; known from the log, no file is read."""

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        windows: tuple[int | None, int | None] = (None, None),
        version: int | None = None,
        keys: pa.ChunkedArray | None = None,
        txns: Collection[str] | None = None,
    ) -> pa.Table:
        """Rows of the windows ``[first, end)`` (None: open), ordered by window, then by commit.

        With ``keys`` (strings of ``_key``) every row that holds one of them is among those given;
        others may be left out, so that history is not read again for each batch. With ``txns`` the
        rows are those that these application transactions appended.

        The column ``_added``, if asked for, is the version that added the row: rows are never
        removed, so each later version holds it too. Asked for ``_added`` and ``_window`` alone, no
        file is read.

        The order of rows is deterministic for a version: the same version always gives the same
        table, row by row. ``version`` None means the newest; -1 gives no rows (an empty table with
        no columns when the table does not exist).

        Raises:
            Damaged: log or data file damaged or missing.
            NotFound: that version does not exist.
        """


class Lease(Protocol):
    """One run per pipeline at a time."""

    def hold(self, owner: str) -> AbstractContextManager[int]:
        """Hold the lease for the block; gives a fencing token that rises with each holder.

        Raises:
            LeaseHeld: another run holds it; the message says who and since when.
        """

    def check(self) -> None:
        """Prove that it is still held, before a write that only its holder may make.

        Raises:
            LeaseHeld: it is not held, or another run took it over after this one was paused.
            StorageError: the store did not answer in time.
        """

    def held(self) -> bool | None:
        """Whether some run holds it now; None where that cannot be known without taking it."""


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation's result on one batch.

    ``failed_rows`` are positions (0-based) in the frame that was validated; empty for expectations
    on a whole column or table. ``exception`` is set when the check itself broke.
    """

    name: str  # readable and unique within the suite: type, column(s)
    level: str  # row | batch
    success: bool
    observed: str
    expected: str
    reason: str = ""
    failed_rows: tuple[int, ...] = ()
    exception: str | None = None


class SuiteRunner(Protocol):
    """Runs an expectation suite (Great Expectations) on a frame."""

    def run(self, suite: Mapping[str, Any], frame: pd.DataFrame) -> list[ExpectationResult]:
        """One result per expectation, in the suite's order; a broken check is a result too.

        Raises:
            DefinitionError: the suite itself is wrong (unknown expectation or argument).
        """


@dataclass(frozen=True)
class Report:
    """A drawn drift report. ``html`` is one self-contained page."""

    html: str
    json: str


class DriftReporter(Protocol):
    """Draws the drift report (Evidently)."""

    def draw(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        kinds: Mapping[str, str],
        verdict: str = "",
    ) -> Report:
        """A report of the current sample against the reference; ``kinds`` as in the definition.

        ``verdict`` is the sentence that stands above the drawing.
        """


class SourceOfRecord(Protocol):
    """Where single rows can be looked up, by a path that no sender of batches can write.

    Both methods give the columns as they stand there, under the definition's names (key, time,
    features, label); :func:`ratchet.ingest.parse_record` types them as ingest types an object.
    """

    def lookup(self, keys: Sequence[str]) -> pa.Table:
        """The true rows of these keys, in any order; a key that is not there is left out.

        Raises:
            StorageError: the source cannot be reached or lacks a column; no evidence.
        """

    def sample(self, start: int, end: int, rows: int, seed: int) -> pa.Table:
        """At most so many true rows with events in the ticks ``[start, end)``, at random.

        Raises:
            StorageError: as above.
        """


def curves_key(pipeline: str) -> str:
    """The key of the run that holds a pipeline's curves, in place of a cycle's."""
    return f"{pipeline}/over-windows"


CYCLE_KEY_TAG = "ratchet.cycle_key"  # on runs and versions: the cycle that made them
DIGEST_TAG = "ratchet.bundle_digest"  # on versions: what `Registry.load` checks the bytes against


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model. A registry sets both tags above by itself."""

    pipeline: str
    version: int
    run_id: str
    cycle_key: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    description: str = ""


class Registry(Protocol):
    """Runs, metrics, reports and model versions (MLflow)."""

    def open_run(self, pipeline: str, cycle_key: str, name: str) -> str:
        """The id of the run of this cycle: a new one, or the one that an earlier attempt opened."""

    def log(
        self,
        run_id: str,
        *,
        step: int = 0,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
        datasets: Sequence[tuple[str, str, str, str]] = (),
    ) -> None:
        """Record on a run. Keys of ``artifacts`` are paths; ``datasets`` are
        (name, digest, source uri, context). Repeating it changes nothing."""

    def chart(self, pipeline: str, step: int, at: int, metrics: Mapping[str, float]) -> None:
        """Add one window to the pipeline's curves, so that a person sees each metric over windows.

        Args:
            pipeline: its name.
            step: index of the window.
            at: milliseconds since 1970 of the point; the same for each repetition.
            metrics: name to finite value.

        Adding the same point again changes nothing.
        """

    def close_run(self, run_id: str, ok: bool = True) -> None:
        """Mark the run finished or failed."""

    def create_version(
        self,
        pipeline: str,
        cycle_key: str,
        run_id: str,
        bundle: Bundle,
        tags: Mapping[str, str],
        description: str,
    ) -> ModelVersion:
        """Store the bundle and register it; an earlier attempt's version is reused.

        Raises:
            ModelError: an earlier attempt registered other bytes for this cycle.
        """

    def describe(
        self, pipeline: str, version: int, description: str, tags: Mapping[str, str]
    ) -> None:
        """Replace the version's description (Markdown) and set tags."""

    def versions(self, pipeline: str) -> list[ModelVersion]:
        """Every version, oldest first."""

    def version(self, pipeline: str, version: int) -> ModelVersion:
        """One version.

        Raises:
            NotFound: there is none of that number.
        """

    def alias(self, pipeline: str, alias: str) -> ModelVersion | None:
        """The version behind an alias, or None."""

    def set_alias(self, pipeline: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, in one atomic step; None removes it."""

    def load(self, pipeline: str, version: int) -> Bundle:
        """Download the bundle of a version and verify its digests before anything parses it.

        Raises:
            NotFound: no such version.
            Tampered: manifest or model bytes differ from what the version's tags recorded.
        """

    def page(self, run_id: str, artifact: str = "") -> str:
        """Where a person finds this run, or one artifact of it: an address when a UI is known, else
        a path."""

    def artifact(self, run_id: str, path: str) -> bytes:
        """The bytes of one artifact of a run.

        Raises:
            NotFound: no such artifact.
        """


class Notifier(Protocol):
    """One target that people are told through. A fake is ``ratchet.adapters.notify.KeptNotices``.

    ``name`` is for logs and tables: it holds no address.
    """

    name: str

    def send(self, notice: Notice, seconds: float) -> None:
        """Deliver it; trying again is the target's own affair, within ``seconds``.

        Raises:
            NotifyError: it was not taken; the message holds no address and no secret.
        """
