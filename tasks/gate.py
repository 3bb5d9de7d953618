"""gate: is the candidate better, honestly, everywhere that counts?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import gate as core
from ratchet import validate as rules
from ratchet.contracts.bundle import Bundle
from ratchet.contracts.columns import EVENT, KEY, KNOWN, LABEL, TRUSTED
from ratchet.contracts.evidence import Evidence, worst
from ratchet.contracts.metrics import row_losses, summary
from ratchet.contracts.score import predict
from ratchet.errors import ModelError, NotFound
from tasks.cycle import Cycle
from tasks.fitness import fitness
from tasks.labelled import (
    by_window,
    labelled,
    numbers,
    only,
    seed_of,
    trusted_rows,
    window_indices,
)
from tasks.sealed import read_sealed, sealed_mask, unsealed_of
from tasks.shortcut import keep_doubts, shortcut_input
from tasks.taught import untaught
from tasks.true_objective import true_input

if TYPE_CHECKING:
    import pyarrow as pa


@task(name="gate", cache_policy=NO_CACHE, persist_result=False)
def gate(cycle: Cycle) -> None:
    """Score candidate and champion on the same held-out rows, and judge."""
    if cycle.chosen is None or cycle.holdout is None or cycle.cut is None:
        return  # no candidate: register says why
    definition, champion = cycle.workspace.definition, cycle.champion_bundle
    labels, objective = cycle.holdout_labels, definition.label.objective
    candidate = cycle.scores[cycle.chosen]
    against = predict(champion, cycle.holdout) if champion else None
    cycle.candidate_metrics = summary(objective, labels, candidate)
    cycle.champion_metrics = {} if against is None else summary(objective, labels, against)
    request = core.GateInput(
        y=labels,
        events=cycle.holdout[EVENT].to_numpy(),
        candidate=candidate,
        champion=against,
        baseline=cycle.baselines[cycle.chosen],
        mature_rows=cycle.mature_rows,
        overlap=cycle.overlap,
        holdout_from=cycle.cut.holdout_from,
        champion_trained_before=champion.manifest.lineage.train_before if champion else None,
        slices={name: cycle.holdout[name] for name in definition.gate.slices},
        comparison=comparison(cycle),
    )
    cycle.gate_evidence, known = core.judge(request, definition)
    cycle.ledger["comparison"] = known.as_json()
    cycle.gate_evidence += core.judge_trusted(_on_trusted(cycle), definition)
    if definition.true_objective is not None:
        true = true_input(cycle, request, _anchor(cycle))
        cycle.gate_evidence += core.judge_true_objective(true, definition)
    if definition.gate.shortcuts:
        leaning = core.judge_shortcut(shortcut_input(cycle), definition)
        keep_doubts(cycle, leaning)
        cycle.gate_evidence += leaning
    if worst(e.verdict for e in cycle.gate_evidence).lets_through:  # it asks the models again
        cycle.gate_evidence += fitness(cycle, request)
    if worst(e.verdict for e in cycle.gate_evidence).lets_through:  # it costs seconds
        cycle.gate_evidence.append(_probe(cycle))
    if worst(e.verdict for e in cycle.gate_evidence).lets_through:  # a question is spent
        cycle.gate_evidence += _discovered(cycle, request)
    if worst(e.verdict for e in cycle.gate_evidence).lets_through:  # what is read is spent
        cycle.gate_evidence += read_sealed(cycle, request)


def comparison(cycle: Cycle) -> core.Comparison:
    """What decisions so far know about candidates against today's champion."""
    serves = cycle.champion.version if cycle.champion else None
    decided = cycle.history[-1].champion_after if cycle.history else None
    return core.Comparison.resumed(cycle.ledger.get("comparison", {}), decided, serves)


def _discovered(cycle: Cycle, request: core.GateInput) -> list[Evidence]:
    """Search the holdout for a slice that nobody declared; enters what was asked and found."""
    definition = cycle.workspace.definition
    if not definition.gate.discover:
        return []
    known = core.Searches.from_json(cycle.ledger.get("searches", {}))
    found, known = core.judge_discovered(request, cycle.judged_rows(), known, definition)
    cycle.ledger["searches"] = known.as_json()
    return found


def _on_trusted(cycle: Cycle) -> core.TrustedInput | None:
    """Candidate, champion and an early champion on the trusted rows of the held-out windows."""
    import numpy as np
    import pyarrow.compute as pc

    definition = cycle.workspace.definition
    chosen, holdout = cycle.chosen, cycle.judged_rows()
    if definition.trusted is None or chosen is None:
        return None
    rows = _trusted_rows(cycle)
    labels = rows[LABEL].to_numpy() if rows.num_rows else np.empty(0)
    champion, anchor = cycle.champion_bundle, _anchor(cycle)
    apart = np.ones(holdout.num_rows, dtype=bool)
    if rows.num_rows:
        apart = ~pc.is_in(holdout[KEY], value_set=rows[KEY].combine_chunks()).to_numpy()
    losses = row_losses(definition.label.objective, cycle.holdout_labels, cycle.scores[chosen])
    return core.TrustedInput(
        y=labels,
        candidate=predict(cycle.candidates[chosen], rows) if rows.num_rows else np.empty(0),
        champion=predict(champion, rows) if champion and rows.num_rows else None,
        baseline=cycle.baselines[chosen],
        anchor=predict(anchor, rows) if anchor and rows.num_rows else None,
        rest=losses[apart],
        window=window_indices(cycle, rows),
        rest_window=window_indices(cycle, holdout)[apart],
        slices={name: rows[name] for name in definition.gate.slices if rows.num_rows},
    )


def _probe(cycle: Cycle) -> Evidence:
    """Does a rare value of the last windows turn the candidate's predictions?"""
    candidate = cycle.candidates[cycle.chosen or ""]
    last = cycle.workspace.calendar.window_of(cycle.judged_cut().holdout_before - 1).index
    span = (last - rules.PROBED + 1, last)
    rows, labels = labelled(cycle, cycle.window, span, None, revoked=False)
    unsealed = ~sealed_mask(cycle.workspace, rows)
    rows, labels = only(rows, unsealed), labels[unsealed]
    control = unsealed_of(cycle.workspace, trusted_rows(cycle, cycle.window, span))
    return rules.probe(
        by_window(cycle, rules.Sample(rows, labels), span),
        by_window(cycle, rules.Sample(control, numbers(control[LABEL])), span),
        partial(predict, candidate),
        cycle.workspace.definition,
        seed=seed_of(cycle, cycle.window, rows, control),
    )


def _trusted_rows(cycle: Cycle) -> pa.Table:
    """The trusted rows with a label whose events were held out, known by the end of the window;
    none that taught the champion."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cut = cycle.judged_cut()
    first = cycle.workspace.calendar.window_of(cut.holdout_from).index
    rows = cycle.workspace.landing_tables.read(TRUSTED, windows=(first, cycle.window.index + 1))
    if not rows.num_rows:
        return rows
    inside = pc.and_(
        pc.and_(
            pc.greater_equal(rows[EVENT], cut.holdout_from),
            pc.less(rows[EVENT], cut.holdout_before),
        ),
        pc.and_(pc.less(rows[KNOWN], cycle.window.end), pc.is_valid(rows[LABEL])),
    )
    rows = unsealed_of(cycle.workspace, rows.filter(inside)).combine_chunks()
    return rows.filter(pa.array(untaught(cycle.workspace, cycle.champion_bundle, rows)))


def _anchor(cycle: Cycle) -> Bundle | None:
    """The earliest champion among the recent decisions; None where that is the champion itself."""
    served = [d.champion_after for d in cycle.history if d.champion_after is not None]
    if not served or cycle.champion is None or served[0] == cycle.champion.version:
        return None
    try:
        return cycle.workspace.model(served[0])
    except (ModelError, NotFound):
        return None  # an old version may be gone; the champion is still compared
