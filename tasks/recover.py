"""Begins a cycle where the last one ended, whatever ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet import register as core
from ratchet.contracts.clock import Window
from ratchet.contracts.columns import (
    ACCEPTED,
    DECISIONS,
    LANDED,
    TRUSTED,
    rows_schema,
    trusted_schema,
)
from ratchet.contracts.lineage import Decision, digest_of
from ratchet.contracts.seams import Append
from ratchet.errors import ModelError, NotFound, Refused
from ratchet.ingest import check_classes
from tasks import decisions, observe
from tasks.cycle import Cycle

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def recover(workspace: Workspace) -> None:
    """Complete or undo a promotion that was cut off between its intent and its done."""
    from tasks.register import CHAMPION, write

    phases = workspace.tables.read(DECISIONS, columns=["id", "phase"]).to_pylist()
    done = {p["id"] for p in phases if p["phase"] == "done"}
    if all(p["id"] in done for p in phases):
        return
    entries = core.decisions_from(workspace.tables.read(DECISIONS))
    opened = core.unfinished(entries)
    champion = workspace.registry.alias(workspace.name, CHAMPION)
    verified = {v for e in opened if (v := e.decision.champion_after) and _loads(workspace, v)}
    plan = core.recover(entries, champion.version if champion else None, verified)
    for action in plan:
        if isinstance(action, core.SetAlias):
            observe.recovered(workspace.name, f"champion is version {action.version} again")
            workspace.lease.check()
            workspace.registry.set_alias(workspace.name, CHAMPION, action.version)
        else:
            how = "completed" if action.completed else "undone"
            observe.recovered(workspace.name, f"the cut-off {action.decision.cycle_key} is {how}")
            kind: core.Kind = "rollback" if action.kind == "rollback" else "cycle"
            write(workspace.tables, action.decision, "done", kind=kind, by="recovery")


def _loads(workspace: Workspace, version: int) -> bool:
    from tasks.rollback import prove

    try:
        prove(workspace, version)
    except (ModelError, NotFound):
        return False
    return True


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


def begin(workspace: Workspace, window: Window, again: str = "") -> Cycle:
    """A cycle with what earlier ones left: their decisions, and the champion, verified.

    Raises:
        DefinitionError: the champion was trained on other classes than are declared now.
    """
    _widen(workspace)
    cycle = Cycle(workspace, window, again)
    cycle.history = decisions.done(workspace, decisions.RECENT)
    cycle.ledger = dict(cycle.history[-1].ledger) if cycle.history else {}
    cycle.champion = workspace.registry.alias(workspace.name, "champion")
    if cycle.champion:
        cycle.champion_bundle = workspace.model(cycle.champion.version)
        trained = cycle.champion_bundle.manifest.classes
        check_classes(workspace.definition.label, trained, cycle.champion.version)
    return cycle


def _widen(workspace: Workspace) -> None:
    """Give the tables a column for each feature that was declared in the pipeline's life; earlier
    rows have no value of it. A replay leaves what landed alone."""
    features = workspace.definition.features
    places = [(workspace.tables, ACCEPTED, rows_schema(features))]
    if workspace.replay is None:
        landing = workspace.landing_tables
        places += [(landing, LANDED, rows_schema(features))]
        places += [(landing, TRUSTED, trusted_schema(features))]
    for tables, name, schema in places:
        if tables.version(name) < 0:
            continue
        held = tables.read(name, windows=(0, 0)).schema.names
        if new := [column for column in schema.names if column not in held]:
            tables.append(Append(name, schema.empty_table(), f"columns/{digest_of(new)[:16]}"))
