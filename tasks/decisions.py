"""Reads the decisions table, and adds to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ratchet.contracts.columns import DECISIONS, WINDOW
from ratchet.contracts.lineage import Decision
from ratchet.errors import NotFound

if TYPE_CHECKING:
    from ratchet.contracts.seams import Tables
    from tasks.workspace import Workspace

RECENT = 64  # windows of history that the choice of a recipe looks back on
NEVER = -(2**62)  # before every event


def last_decided(workspace: Workspace, tables: Tables | None = None) -> int | None:
    """Index of the newest window whose cycle is done, or None."""
    table = (tables or workspace.tables).read(DECISIONS, columns=["kind", "phase", WINDOW])
    found = [
        row[WINDOW]
        for row in table.to_pylist()
        if row["kind"] == "cycle" and row["phase"] == "done"
    ]
    return max(found, default=None)


def decided_keys(workspace: Workspace) -> set[str]:
    """The cycle keys of every done cycle."""
    table = workspace.tables.read(DECISIONS, columns=["kind", "phase", "cycle_key"])
    rows = table.to_pylist()
    return {r["cycle_key"] for r in rows if r["kind"] == "cycle" and r["phase"] == "done"}


def of_key(workspace: Workspace, key: str) -> Decision | None:
    """The decision of one cycle, if it is done."""
    if key not in decided_keys(workspace):
        return None
    return next(d for d in reversed(done(workspace)) if d.cycle_key == key)


def done(workspace: Workspace, recent: int | None = None) -> list[Decision]:
    """The decisions of done cycles and rollbacks, oldest first; of the ``recent`` last windows."""
    since = None
    if recent is not None and (last := last_decided(workspace)) is not None:
        since = last - recent + 1
    columns = ["phase", "document"]
    table = workspace.tables.read(DECISIONS, columns=columns, windows=(since, None))
    rows = table.to_pylist()
    return [Decision.from_json(json.loads(r["document"])) for r in rows if r["phase"] == "done"]


def before(workspace: Workspace, decision: Decision) -> list[Decision]:
    """What had been decided when this decision was made, as its cycle saw it: oldest first."""
    made = done(workspace)
    last = next(i for i, d in enumerate(made) if d.cycle_key == decision.cycle_key)
    earlier = made[:last]
    newest = max((d.window_index for d in earlier if not d.is_rollback), default=0)
    return [d for d in earlier if d.window_index > newest - RECENT]


def find(workspace: Workspace, what: str) -> Decision:
    """The newest decision about a window (its name, or any time in it) or about a model version.

    Raises:
        NotFound: as :func:`about`.
    """
    return about(workspace, what)[-1]


def about(workspace: Workspace, what: str) -> list[Decision]:
    """Every decision about a window, oldest first, or the one that made a version champion.

    A window has more than one where trusted rows stood in for blocked labels, a person answered, a
    source was revoked, or a champion was put back.

    Raises:
        NotFound: neither a decided window nor a version; the message says what there is.
    """
    decisions = done(workspace)
    by_version = [d for d in decisions if what.isdigit() and d.champion_after == int(what)]
    promoted = [d for d in by_version if d.champion_before != d.champion_after]
    named = [d for d in decisions if d.window == what]
    if found := named or promoted or by_version:
        return found if named else found[:1]
    inside = [d for d in decisions if d.window_index == _index(workspace, what)]
    if inside:
        return inside
    newest = decisions[-1].window if decisions else "none"
    raise NotFound(
        f"{what!r}: neither a decided window nor a version of {workspace.name}; "
        f"{len(decisions)} windows are decided, the newest is {newest}. See 'ratchet status'."
    )


def _index(workspace: Workspace, what: str) -> int | None:
    from ratchet.errors import DefinitionError

    try:
        return workspace.calendar.parse(what).index
    except DefinitionError:
        return None


def watermark(workspace: Workspace) -> int:
    """The end (tick) of the newest decided window: nothing that lands now was known before it.

    A replay lands on the pipeline's own tables, so the pipeline's own decisions count.
    """
    last = last_decided(workspace, workspace.landing_tables)
    return NEVER if last is None else workspace.calendar.window(last).end
