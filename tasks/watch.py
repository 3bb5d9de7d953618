"""watch: is the live model still as good as we believed?

It only reads, except that trouble becomes an incident, and a champion that is shown to be worse
than the one before it goes back where the pipeline says so.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import ingest
from ratchet import register as records
from ratchet import watch as core
from ratchet.contracts.columns import EVENT, INCIDENTS, LABELS, LANDED, WINDOW
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import predict
from ratchet.contracts.seams import Append
from ratchet.errors import LeaseHeld, ModelError, NotFound
from tasks import decisions, windows
from tasks.cycle import Cycle
from tasks.expected import expected
from tasks.labelled import labelled
from tasks.recover import recover
from tasks.rollback import prove, put_back
from tasks.sealed import sealed_mask
from tasks.workspace import run_patience, when_free

if TYPE_CHECKING:
    from tasks.workspace import Workspace

BY = "watch"


@task(name="watch", cache_policy=NO_CACHE, persist_result=False)
def watch(workspace: Workspace) -> list[Evidence]:
    """Every check of the live model and of what feeds it; trouble is entered as incidents.

    Raises:
        NotFound: no window is decided yet.
    """
    made = decisions.done(workspace)  # all: a champion may have served for years
    if not made:
        raise NotFound(f"{workspace.name}: no window is decided yet, so nothing serves")
    champion = workspace.registry.alias(workspace.name, "champion")
    serves = champion.version if champion else None
    found = [core.serving(made[-1].champion_after, serves)]
    if serves is not None:
        found += [_loads(workspace, role, version) for role, version in _roles(made, serves)]
        found.append(_skill(workspace, made, serves))
        if workspace.definition.watch.label_free:
            found.append(expected(workspace, made, serves, made[-1].window_index))
    found += [_backlog(workspace), _labels(workspace)]
    for evidence in found:
        if evidence.verdict in (Verdict.BLOCK, Verdict.ERROR):
            _incident(workspace, made[-1], evidence)
    return found


def act(workspace: Workspace, found: list[Evidence]) -> Decision | None:
    """Put the champion before back, if this one was shown to be worse and the pipeline says so."""
    worse = [e for e in found if e.check == core.SKILL and e.verdict is Verdict.BLOCK]
    if not worse or not workspace.definition.watch.rollback:
        return None
    with when_free(workspace.lease, BY, run_patience()):
        recover(workspace)
        return put_back(workspace, None, by=BY, reason=worse[0].arithmetic)


def _roles(made: list[Decision], serves: int) -> list[tuple[str, int]]:
    before = core.predecessor(made, serves)
    return [("champion", serves), *([("the one before,", before)] if before else [])]


def _loads(workspace: Workspace, role: str, version: int) -> Evidence:
    try:
        prove(workspace, version)
    except (ModelError, NotFound) as error:
        return core.loads(role, version, str(error))
    return core.loads(role, version, "")


def _skill(workspace: Workspace, made: list[Decision], serves: int) -> Evidence:
    """Champion and the one before it on the windows after the promotion, which neither saw."""
    import numpy as np
    import pyarrow as pa

    move, before = core.promotion(made, serves), core.predecessor(made, serves)
    newest = made[-1].window_index
    if move is None or before is None:
        return Evidence(core.SKILL, Verdict.PASS, "no champion before it to compare with")
    span = (move.window_index + 1, newest)
    if move.window_index >= newest:
        text = "no window was decided since the promotion"
        return Evidence(core.SKILL, Verdict.INCONCLUSIVE, text)
    window = workspace.calendar.window(newest)
    rows, labels = labelled(Cycle(workspace, window), window, span, None, revoked=False)
    known = np.isfinite(labels) & ~sealed_mask(workspace, rows)  # a mature row may have none
    rows, labels = rows.filter(pa.array(known)), labels[known]
    objective = workspace.definition.label.objective
    try:
        bundles = [workspace.model(v) for v in (serves, before)]
        losses = [row_losses(objective, labels, predict(b, rows)) for b in bundles]
    except (ModelError, NotFound) as error:
        return Evidence(core.SKILL, Verdict.ERROR, str(error))
    definition = workspace.definition
    return core.still_better(
        losses[0],
        losses[1],
        rows[EVENT].to_numpy(),
        windows=newest - move.window_index,
        blocks=definition.gate.blocks,
        alpha=definition.watch.alpha,
    )


def _backlog(workspace: Workspace) -> Evidence:
    busy = False
    try:
        windows.land(workspace)
    except LeaseHeld:
        busy = True  # a cycle is under way
    last = decisions.last_decided(workspace)
    over = ingest.complete(
        workspace.definition, workspace.landing_tables.windows(LANDED), time.time_ns() // 1000
    )
    waiting = [w for w in over if last is None or w.index > last]
    return core.backlog(len(waiting), busy)


def _labels(workspace: Workspace) -> Evidence:
    import pyarrow.compute as pc

    known = workspace.tables.read(LABELS, columns=[WINDOW])
    newest = pc.max(known[WINDOW]).as_py() if known.num_rows else None
    return core.label_lag(decisions.last_decided(workspace) or 0, newest)


def _incident(workspace: Workspace, newest: Decision, evidence: Evidence) -> None:
    """Enter it once for each decided window and kind of trouble, however often it is seen."""
    row = records.watch_incident_row(newest, evidence, at=datetime.now(UTC))
    key = f"watch/{newest.cycle_key}/{evidence.check}"
    workspace.tables.append(Append(INCIDENTS, row, key))
