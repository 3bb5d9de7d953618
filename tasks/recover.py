"""Begins a cycle where the last one ended, whatever ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.contracts.clock import Window
from ratchet.contracts.lineage import Decision
from ratchet.errors import Refused
from tasks import decisions
from tasks.cycle import Cycle

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def already_decided(workspace: Workspace, window: Window) -> Decision | None:
    """The decision of this very cycle if it was made before, else None.

    Raises:
        Refused: a window after this one, or this one under another definition, was decided.
    """
    last = decisions.last_decided(workspace)
    if last is None or last < window.index:
        return None
    if workspace.key(window) in decisions.decided_keys(workspace):
        made = [d for d in decisions.done(workspace) if d.cycle_key == workspace.key(window)]
        if made[-1].run_id:
            workspace.registry.close_run(made[-1].run_id)  # a kill can come before this
        return made[-1]
    label = workspace.calendar.label
    raise Refused(
        f"{workspace.name}: window {label(window)} was passed, the newest decided one is "
        f"{label(workspace.calendar.window(last))}; learning only moves forward. "
        "Use 'ratchet backfill --replay' to run the past again in isolation."
    )


def begin(workspace: Workspace, window: Window) -> Cycle:
    """A cycle with what earlier ones left: their decisions, and the champion, verified."""
    cycle = Cycle(workspace, window)
    cycle.history = decisions.done(workspace, decisions.RECENT)
    cycle.champion = workspace.registry.alias(workspace.name, "champion")
    if cycle.champion:
        cycle.champion_bundle = workspace.registry.load(workspace.name, cycle.champion.version)
    return cycle
