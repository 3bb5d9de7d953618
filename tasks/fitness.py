"""A candidate that passed the cheap checks is asked what it would be like to serve with it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ratchet import gate as core
from ratchet.contracts.columns import EVENT
from ratchet.contracts.evidence import Evidence
from ratchet.contracts.metrics import row_losses, spread
from ratchet.contracts.score import predict, predict_without
from ratchet.errors import ModelError
from tasks import show
from tasks.cycle import Cycle
from tasks.labelled import labelled
from tasks.sealed import sealed_mask

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.bundle import Bundle
    from ratchet.contracts.lineage import Lineage

WINDOWS = 8  # newest ones of the training rows that are asked for members
MEMBERS = 4000  # rows of each side, at most


def fitness(cycle: Cycle, held: core.GateInput) -> list[Evidence]:
    """Size, latency, missing features, jitter, and membership where rows are sealed.

    Args:
        cycle: gives the models and the rows; its ``ledger`` says that the sealed rows of training
            windows are spent, where they were read.
        held: what the gate judged on: all held-out rows.
    """
    import pyarrow as pa

    definition, champion = cycle.workspace.definition, cycle.champion_bundle
    if definition.fitness is None or cycle.chosen is None:
        return []
    chosen = spread(len(held.y), definition.fitness.rows)
    rows = cycle.judged_rows().take(pa.array(chosen)).combine_chunks()
    candidate = cycle.candidates[cycle.chosen]
    seed = definition.train.seed + cycle.window.index
    moved = core.jittered(rows, definition.features, definition.fitness.jitter, seed)
    sides = [_side(b, rows, moved) if b else None for b in (candidate, champion)]
    assert sides[0] is not None  # noqa: S101  there is a candidate
    request = core.FitnessInput(
        y=held.y[chosen],
        sizes={name: len(data) for name, data in candidate.files().items()},
        candidate=sides[0],
        champion=sides[1],
    )
    _log_latency(candidate, champion, rows)
    found = core.judge_fitness(request, definition)
    if definition.sealed is not None:
        found += core.judge_membership(_members(cycle, candidate), definition)
    return found


def _side(bundle: Bundle, rows: pa.Table, moved: pa.Table | None) -> core.Side:
    manifest = bundle.manifest
    return core.Side(
        visits=core.visits_of(manifest.lineage, len(manifest.classes)),
        scores=_scores(bundle, rows),
        without=predict_without(bundle, rows),
        jittered=None if moved is None else _scores(bundle, moved),
    )


def _scores(bundle: Bundle, rows: pa.Table) -> NDArray[np.float64]:
    """NaN, which blocks, where the model gives what is no score."""
    import numpy as np

    try:
        return predict(bundle, rows)
    except ModelError:
        classes = len(bundle.manifest.classes)
        shape = (rows.num_rows, classes) if classes > 2 else (rows.num_rows,)
        return np.full(shape, np.nan)


def _log_latency(candidate: Bundle, champion: Bundle | None, rows: pa.Table) -> None:
    """The time that scoring takes here and now, best of two by turns; it decides nothing."""
    models = {"candidate": candidate, **({"champion": champion} if champion else {})}
    took = dict.fromkeys(models, float("inf"))
    for _ in range(2):
        for name, bundle in models.items():
            started = time.perf_counter()
            _scores(bundle, rows)
            took[name] = min(took[name], time.perf_counter() - started)
    said = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in took.items())
    show.log(f"scoring {rows.num_rows:,} rows took: {said}")


def _members(cycle: Cycle, candidate: Bundle) -> core.MembershipInput:
    """Rows of the newest training windows that the candidate learned from, and sealed ones."""
    import numpy as np
    import pyarrow as pa

    definition, calendar = cycle.workspace.definition, cycle.workspace.calendar
    before = cycle.judged_cut().train_before
    last = calendar.window_of(before - 1).index
    rows, labels = labelled(cycle, cycle.window, (last - WINDOWS + 1, last), None, revoked=False)
    if not rows.num_rows:
        return core.MembershipInput(*(np.empty(0) for _ in range(4)))
    known = np.isfinite(labels) & _learned(candidate.manifest.lineage, rows[EVENT].to_numpy())
    sealed = sealed_mask(cycle.workspace, rows)
    parts = []
    for mask in (known & ~sealed, known & sealed):
        places = np.flatnonzero(mask)
        places = places[spread(len(places), MEMBERS)]
        some, truth = rows.take(pa.array(places)), labels[places]
        scores = predict(candidate, some) if len(places) else np.empty(0)
        losses = row_losses(definition.label.objective, truth, scores) if len(places) else scores
        parts += [losses, truth]
    if len(parts[2]):
        _spend(cycle, before)
    return core.MembershipInput(*parts)


def _learned(lineage: Lineage, events: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Shape (rows,): which events lie in what the model, or a member of it, was trained on."""
    import numpy as np

    found = np.zeros(len(events), dtype=bool)
    for part in lineage.members or (lineage,):
        inside = events < part.train_before
        if part.train_from is not None:
            inside &= events >= part.train_from
        found |= inside
    return found


def _spend(cycle: Cycle, before: int) -> None:
    """No later reading of sealed rows may go back behind the end of training."""
    account = core.Account.from_json(cycle.ledger.get("sealed", {}))
    tick = before if account.read_before is None else max(before, account.read_before)
    cycle.ledger["sealed"] = replace(account, read_before=tick).as_json()
