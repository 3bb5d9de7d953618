"""Which windows there are to run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ratchet import ingest as core
from ratchet.contracts.clock import Window
from ratchet.contracts.columns import LANDED
from ratchet.errors import NotFound, Refused
from tasks.decisions import decided_keys, last_decided
from tasks.ingest import take_in
from tasks.workspace import when_free

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def land(workspace: Workspace) -> None:
    """Take in what arrived, alone: a cycle that is decided meanwhile would move the watermark."""
    with when_free(workspace.landing_lease, "ingest", workspace.patience):
        take_in(workspace)


def landed(workspace: Workspace) -> list[Window]:
    """Every complete window from the first to the last one that rows landed for.

    A timestamp window is complete when it lies in the past; an integer window when a row of a
    later one has landed. Beyond a long gap a few stray rows count for nothing, because following
    them would move the watermark past all that is still to come.

    Raises:
        NotFound: no row has landed.
    """
    land(workspace)
    counts = workspace.landing_tables.windows(LANDED)
    if not counts:
        raise NotFound(
            f"no row has landed for {workspace.name} in {workspace.zone.name}: put files with rows "
            f"there that match {workspace.definition.source.features!r} and run this again; "
            "'ratchet quarantine list' shows what was refused"
        )
    return core.complete(workspace.definition, counts, time.time_ns() // 1000)


def newest(workspace: Workspace) -> Window:
    """The newest complete window.

    Raises:
        NotFound: no row has landed, or no window is complete.
    """
    complete = landed(workspace)
    if not complete:
        raise NotFound(f"{workspace.name}: no window is complete yet")
    return complete[-1]


def named(workspace: Workspace, text: str) -> Window:
    """The window that holds a time, once it is complete.

    Raises:
        Refused: it is not over: deciding it now would close it to the rows that are still to come.
    """
    window = workspace.calendar.parse(text)
    complete = landed(workspace)
    if workspace.calendar.clock.kind == "timestamp":
        over = window.end <= time.time_ns() // 1000
    else:
        over = bool(complete) and window.index <= complete[-1].index
    if not over:
        newest_one = workspace.calendar.label(complete[-1]) if complete else "none"
        raise Refused(
            f"{workspace.name}: window {workspace.calendar.label(window)} is not over yet; "
            f"the newest complete one is {newest_one}"
        )
    return window


def undecided(workspace: Workspace, start: str | None, end: str | None) -> list[Window]:
    """The windows of ``[start, end)`` that no cycle has decided, in order.

    Raises:
        NotFound: no row has landed.
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
