"""Which windows there are to run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ratchet.contracts.clock import Window
from ratchet.contracts.columns import LANDED, WINDOW
from ratchet.errors import NotFound, Refused
from tasks.decisions import decided_keys, last_decided
from tasks.ingest import take_in

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def landed(workspace: Workspace) -> list[Window]:
    """Every window from the first to the last one that rows landed for, complete ones only.

    A timestamp window is complete when it lies in the past; an integer window when a row of a
    later one has landed.
    """
    take_in(workspace)
    rows = workspace.landing_tables.read(LANDED, columns=[WINDOW])
    indices = set(rows[WINDOW].to_pylist()) if rows.num_rows else set()
    if not indices:
        zone = workspace.zone.name
        raise NotFound(
            f"nothing has landed for {workspace.name} in {zone}: put files there that match "
            f"{workspace.definition.source.features!r} and run this again"
        )
    calendar = workspace.calendar
    span = [calendar.window(i) for i in range(min(indices), max(indices) + 1)]
    if calendar.clock.kind == "integer":
        return span[:-1]
    now = time.time_ns() // 1000
    return [w for w in span if w.end <= now]


def newest(workspace: Workspace) -> Window:
    """The newest complete window.

    Raises:
        NotFound: nothing has landed, or no window is complete.
    """
    complete = landed(workspace)
    if not complete:
        raise NotFound(f"{workspace.name}: no window is complete yet")
    return complete[-1]


def undecided(workspace: Workspace, start: str | None, end: str | None) -> list[Window]:
    """The windows of ``[start, end)`` that no cycle has decided, in order.

    Raises:
        NotFound: nothing has landed.
        Refused: the range reaches behind the newest decided window.
    """
    calendar = workspace.calendar
    complete = landed(workspace)
    first = calendar.clock.parse(start) if start else None
    last = calendar.clock.parse(end) if end else None
    inside = [
        w for w in complete if (first is None or w.end > first) and (last is None or w.start < last)
    ]
    done, newest_done = decided_keys(workspace), last_decided(workspace)
    open_ones = [w for w in inside if workspace.key(w) not in done]
    past = [w for w in open_ones if newest_done is not None and w.index <= newest_done]
    if start is not None and past:
        raise Refused(
            f"{workspace.name}: {calendar.label(past[0])} lies before the newest decided window "
            f"{calendar.label(calendar.window(newest_done or 0))}; learning only moves forward. "
            "Use --replay to run the past again in isolation."
        )
    return [w for w in open_ones if w not in past]
