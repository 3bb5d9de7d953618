"""ingest: what arrived, from whom, and have we seen it before?

Takes in every new object of the landing zone, exactly once by content. The ledger line is written
last, so an object that a crash caught in the middle is looked at again, and each of its appends
that was committed before is a no-op.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import ingest as core
from ratchet.contracts.clock import EPOCH, MICROSECOND
from ratchet.contracts.columns import (
    LANDED,
    LANDED_LABELS,
    OBJECTS,
    QUARANTINE,
    TRUE_OBJECTIVE,
    TRUSTED,
    WINDOW,
)
from ratchet.contracts.seams import Append, ObjectRef
from ratchet.errors import ObjectChanged, ObjectError, UnsafeKey
from tasks import show
from tasks.cycle import Cycle
from tasks.decisions import watermark

if TYPE_CHECKING:
    from tasks.workspace import Workspace

AT_LANDING = "landed"  # starts the name of each quarantine entry of rows that ingest makes
AT_TRUSTED = "trusted"  # the same of trusted rows: they are no rows of the stream


@task(name="ingest", cache_policy=NO_CACHE, persist_result=False)
def ingest(cycle: Cycle) -> None:
    """Take in what arrived since the last cycle; a replay keeps to what was there at its start."""
    if cycle.workspace.replay is not None:
        return
    for line in take_in(cycle.workspace):
        show.log(f"{line['object']}: {line['status']} {line['reason']}")


def take_in(workspace: Workspace) -> list[dict[str, object]]:
    """Take in every new object; returns one line each: key, status, rows, reason.

    Raises:
        StorageError: the landing zone or the tables cannot be reached.
    """
    ledger = workspace.landing_tables.read(OBJECTS)
    listed, unsafe = workspace.zone.list()
    intake = Intake(workspace, core.seen_content(ledger), watermark(workspace))
    known = set(ledger.column("object_key").to_pylist()) if ledger.num_rows else set()
    lines: list[dict[str, object] | None] = [
        intake.refuse(ObjectRef(key, "unsafe", 0, datetime.now(UTC)), "", UnsafeKey(reason))
        for key, reason in unsafe
        if key not in known
    ]
    lines += [
        intake.take(ref, role)
        for ref in core.new_objects(listed, ledger)
        if (role := core.role_of(ref.key, workspace.definition))
    ]
    return [line for line in lines if line]


@dataclass(frozen=True)
class Intake:
    """Takes in objects of one landing zone; ``seen`` grows as it does."""

    workspace: Workspace
    seen: dict[tuple[str, str], str]
    watermark: int

    def take(self, ref: ObjectRef, role: core.Role) -> dict[str, object] | None:
        """Land one object, or quarantine it; None when it changes and has to wait."""
        source = self.workspace.zone.name
        try:
            sender = core.source_of(ref.key, role, self.workspace.definition)
            source = sender or source
            data = self.workspace.zone.read(
                ref, core.Limits.of(self.workspace.definition).object_bytes
            )
        except ObjectChanged as reason:
            show.log(f"{ref.key!r} waits for the next cycle: {reason}")
            return None
        except ObjectError as error:
            return self.refuse(ref, role, error, source=source)
        sha256 = hashlib.sha256(data).hexdigest()
        if first := self.seen.get((role, sha256)):
            said = f"{sender} sent the same content as {first}" if sender else ""
            said = said or f"same content as {first}"
            return self._enter(ref, role, source, sha256, "duplicate", 0, said)
        try:
            parsed = core.parse_object(
                data,
                ref.key,
                sha256,
                self._arrived(ref),
                role,
                self.workspace.definition,
                watermark=self.watermark,
                zone_name=source,
            )
        except ObjectError as error:
            return self.refuse(ref, role, error, sha256, source=source)
        rows = self._land(parsed, role, sha256)
        self.seen[role, sha256] = ref.key
        blocked = f"{len(parsed.rejected)} rows blocked" if parsed.rejected else ""
        return self._enter(ref, role, source, sha256, "landed", rows, blocked)

    def refuse(
        self, ref: ObjectRef, role: str, error: ObjectError, sha256: str = "", source: str = ""
    ) -> dict[str, object]:
        """Quarantine an object whole; the loop goes on. Without ``source`` the zone sent it."""
        source = source or self.workspace.zone.name
        line = core.quarantined_object(
            ref.key,
            error.check,
            str(error),
            source=source,
            window=self._window(None),
            at=datetime.now(UTC),
            sha256=sha256,
        )
        txn = f"object/{ref.key}/{ref.etag}"
        self.workspace.landing_tables.append(Append(QUARANTINE, line, txn))
        return self._enter(ref, role, source, sha256, "quarantined", 0, str(error))

    def _land(self, parsed: core.Parsed, role: str, sha256: str) -> int:
        import pyarrow as pa

        tables, txn = self.workspace.landing_tables, core.transaction_of(role, sha256)
        rows = 0
        home = TRUSTED if role == "trusted" else LANDED
        labels = TRUE_OBJECTIVE if role == "true_objective" else LANDED_LABELS
        for name, part in ((home, parsed.rows), (labels, parsed.labels)):
            if part is not None and part.num_rows:
                tables.append(Append(name, part, txn))
                rows = max(rows, part.num_rows)
        if parsed.rejected:
            place = AT_TRUSTED if role in ("trusted", "true_objective") else AT_LANDING
            lines = core.quarantine_lines(
                parsed.rejected,
                window=0,
                window_label=f"{place}/{sha256[:12]}",
                at=datetime.now(UTC),
            )
            windows = [self._window(reject.known) for reject in parsed.rejected]
            column = lines.schema.get_field_index(WINDOW)
            lines = lines.set_column(
                column, lines.schema.field(column), pa.array(windows, pa.int32())
            )
            tables.append(Append(QUARANTINE, lines, txn))
        return rows

    def _enter(
        self,
        ref: ObjectRef,
        role: str,
        source: str,
        sha256: str,
        status: str,
        rows: int,
        reason: str,
    ) -> dict[str, object]:
        line = core.object_line(
            ref,
            source=source,
            sha256=sha256,
            role=role,
            status=status,
            rows=rows,
            reason=reason,
            window=self._window(None),
            at=datetime.now(UTC),
        )
        txn = f"object/{ref.key}/{ref.etag}"
        self.workspace.landing_tables.append(Append(OBJECTS, line, txn))
        return {"object": ref.key, "status": status, "rows": rows, "reason": reason}

    def _arrived(self, ref: ObjectRef) -> int | None:
        if self.workspace.definition.time.kind == "integer":
            return None
        return (ref.arrived - EPOCH) // MICROSECOND

    def _window(self, known: int | None) -> int:
        """Index of the window in whose cycle something counts."""
        tick = max(self.watermark, self.workspace.calendar.origin if known is None else known)
        return self.workspace.calendar.window_of(tick).index
