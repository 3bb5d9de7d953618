"""Reads the tables of every pipeline for the metrics; what has not changed is not read again.

>>> Meters(settings()).read()["ratchet_undecided_windows"]             # doctest: +SKIP
{('flights',): 0.0}

Promise: it writes nothing, takes nothing in and holds no lease. A pipeline that cannot be read says
``ratchet_up`` 0 and nothing else, so that no old number passes for a new one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratchet import meters as core
from ratchet.adapters.lease import open_lease
from ratchet.adapters.tables import open_tables
from ratchet.contracts.columns import (
    DECISIONS,
    INCIDENTS,
    LANDED,
    LANDED_LABELS,
    NOTIFICATIONS,
    QUARANTINE,
)
from ratchet.contracts.definition import check_name, load
from ratchet.contracts.readings import Readings
from ratchet.ingest import complete
from ratchet.logs import about
from ratchet.register import decisions_from

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.seams import Lease, Tables
    from ratchet.settings import Settings

logger = logging.getLogger("ratchet.metrics")
FRESH_SECONDS = 2.0  # scrapes closer together than this get one answer


@dataclass(eq=False)
class Source:
    """One pipeline's tables and what was last read of them, by table version."""

    definition: Definition
    tables: Tables
    lease: Lease
    kept: dict[str, tuple[int, Readings]] = field(default_factory=dict)
    decided: int | None = None  # index of the newest window with a done cycle

    def read(self) -> Readings:
        """Everything about this pipeline, now.

        Raises:
            RatchetError: its tables cannot be read.
        """
        name = self.definition.name
        parts = [
            self._cached(DECISIONS, self._decisions),
            self._cached(INCIDENTS, self._incidents),
            self._cached(QUARANTINE, self._quarantine),
            self._cached(NOTIFICATIONS, self._notifications),
            self._landed(),
        ]
        clock, length = self.definition.calendar.clock, self.definition.calendar.length
        if clock.kind == "timestamp":
            parts.append({"ratchet_window_length_seconds": {(name,): length / 1e6}})
        held = self.lease.held()
        if held is not None:
            parts.append({"ratchet_lease_held": {(name,): float(held)}})
        return core.merged([{"ratchet_up": {(name,): 1.0}}, *parts])

    def _cached(self, table: str, derive: Callable[[int], Readings]) -> Readings:
        version = self.tables.version(table)
        if table not in self.kept or self.kept[table][0] != version:
            self.kept[table] = (version, derive(version))
        return self.kept[table][1]

    def _decisions(self, version: int) -> Readings:
        entries = decisions_from(self.tables.read(DECISIONS, version=version))
        done = [entry for entry in entries if entry.phase == "done"]
        cycles = [entry.decision.window_index for entry in done if entry.kind == "cycle"]
        self.decided = max(cycles, default=None)
        return core.of_decisions(
            self.definition.name, [core.Done(entry.decision, entry.at) for entry in done]
        )

    def _incidents(self, version: int) -> Readings:
        found = self.tables.read(INCIDENTS, columns=["kind"] if version >= 0 else None)
        kinds = found["kind"].to_pylist() if found.num_rows else []
        return core.of_incidents(self.definition.name, kinds)

    def _notifications(self, version: int) -> Readings:
        columns = ["status"] if version >= 0 else None
        found = self.tables.read(NOTIFICATIONS, columns=columns)
        statuses = found["status"].to_pylist() if found.num_rows else []
        return core.of_notifications(self.definition.name, statuses)

    def _quarantine(self, version: int) -> Readings:
        columns = ["entry", "status"] if version >= 0 else None
        newest = {
            line["entry"]: line["status"]
            for line in self.tables.read(QUARANTINE, columns=columns).to_pylist()
        }
        waiting = sum(status == "quarantined" for status in newest.values())
        return {"ratchet_open_quarantine_entries": {(self.definition.name,): float(waiting)}}

    def _landed(self) -> Readings:
        rows, labels = self.tables.windows(LANDED), self.tables.windows(LANDED_LABELS)
        over = complete(self.definition, rows, time.time_ns() // 1000)
        undecided = sum(self.decided is None or w.index > self.decided for w in over)
        return {
            "ratchet_undecided_windows": {(self.definition.name,): float(undecided)},
            **core.of_landed(self.definition.name, list(rows), list(labels)),
        }


class Meters:
    """The readings of every pipeline in ``pipelines/``; safe to call from several threads."""

    def __init__(self, where: Settings) -> None:
        self._where = where
        self._sources: dict[str, tuple[int, Source]] = {}
        self._lock = threading.Lock()
        self._last: tuple[float, Readings] = (float("-inf"), {})

    def read(self) -> Readings:
        """What holds now, of all pipelines."""
        with self._lock:
            at, found = self._last
            if time.monotonic() - at > FRESH_SECONDS:
                names = sorted(p.stem for p in self._where.pipelines.glob("*.toml"))
                found = core.merged(self._read(name) for name in names)
                self._last = (time.monotonic(), found)
            return found

    def _read(self, name: str) -> Readings:
        with about(pipeline=name):
            try:
                return self._source(name).read()
            except Exception as error:  # whatever it is: one pipeline must not hide the others
                self._sources.pop(name, None)
                logger.warning("cannot be read: %s: %s", type(error).__name__, error)
                return {"ratchet_up": {(name,): 0.0}}

    def _source(self, name: str) -> Source:
        """The pipeline as its file says; opened anew when that changes."""
        path = self._where.pipelines / f"{name}.toml"
        stamp = path.stat().st_mtime_ns
        if name not in self._sources or self._sources[name][0] != stamp:
            check_name(name, "pipeline")
            root = self._where.root_of(name)
            tables = open_tables(root, self._where, reading=True)
            lease = open_lease(root, self._where, reading=True)
            self._sources[name] = (stamp, Source(load(path), tables, lease))
        return self._sources[name][1]
