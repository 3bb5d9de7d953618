"""The gate's checks, one function each. See :func:`judge` for which apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.contracts.betting import FEWEST, count, disagreement, seen_until
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import (
    HEADLINE,
    clustered_error,
    headline,
    resolution,
    row_losses,
    student_quantile,
)
from ratchet.gate.better import first_champion, improvement, this_window
from ratchet.gate.bootstrap import Blocks, bounds, draw
from ratchet.gate.calibration import calibration
from ratchet.gate.sequential import Comparison
from ratchet.gate.skill import Look, look, ranked
from ratchet.gate.slices import judge_slices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]

PASS, BLOCK, UNSURE = Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE


@dataclass(frozen=True, eq=False)
class GateInput:
    """What the gate judges on: the holdout's rows, in any order, and two models' scores of them.

    Attributes:
        y: shape (rows,): class index or target of the labelled rows.
        events: shape (rows,): event ticks.
        candidate: scores as :func:`ratchet.contracts.score.predict` gives them.
        champion: the same of the champion; None when there is none.
        baseline: the constant score that the training rows suggest
            (``TrainingSet.baseline``), for the first champion.
        slices: column name to its values, shape (rows,): strings, numbers or an Arrow column.
        mature_rows: how many rows of the holdout should have a label by now.
        overlap: how many keys of the holdout occur among the training rows.
        holdout_from: tick at which the holdout begins.
        champion_trained_before: tick at which the champion's training rows end, or None.
        comparison: what earlier decisions know about candidates against this champion.
    """

    y: NDArray[np.float64]
    events: NDArray[np.int64]
    candidate: NDArray[np.float64]
    champion: NDArray[np.float64] | None
    baseline: NDArray[np.float64] | float
    mature_rows: int
    overlap: int
    holdout_from: int
    champion_trained_before: int | None = None
    slices: Mapping[str, Any] = field(default_factory=dict)
    comparison: Comparison = field(default_factory=Comparison)


class Judgement(NamedTuple):
    """What the gate found, and what it knows from now on about candidates of this comparison."""

    evidence: list[Evidence]
    comparison: Comparison


def judge(request: GateInput, definition: Definition) -> Judgement:
    """Everything that must hold before a candidate may become champion; pass means all let through.

    Always: ``gate.evidence`` (enough rows, labels, classes, time) and ``gate.overlap`` (nobody has
    seen these rows). If those hold: ``gate.improvement`` (the sequential test, which decides) and
    ``gate.this_window`` (these rows alone: they may stop, never promote), ``gate.slices``,
    ``gate.floor`` and ``gate.calibration``. Without a champion ``gate.first_champion`` stands for
    the first three: an absolute rule, because there is nothing that could get worse. Scores that
    are not finite give ``gate.scores`` as ERROR. Rows that could not be judged are not counted, so
    a later decision may.
    """
    found = [_evidence(request, definition), _overlap(request)]
    if not found[0].verdict.lets_through:
        return Judgement(found, request.comparison)
    broken = _broken_scores(request, definition)
    if broken:
        return Judgement([*found, broken], request.comparison)
    objective, gate = definition.label.objective, definition.gate
    seed = (definition.train.seed, request.holdout_from % 2**63)
    blocks = draw(request.events, gate.blocks, gate.resamples, seed)
    candidate = row_losses(objective, request.y, request.candidate)
    known, gain = request.comparison, None
    if request.champion is None:
        order = _order(request, blocks, definition)
        found.append(_first(request, candidate, order, blocks, definition))
        known = replace(
            known,
            judged_before=seen_until(known, request.events),
            windows=order.number,
            ranks=order.ranks,
        )
    else:
        champion = row_losses(objective, request.y, request.champion)
        if found[1].verdict.lets_through:
            noise = disagreement(objective, request.candidate, request.champion)
            gains, least = champion - candidate, gate.min_improvement
            known = count(known, request.events, gains, noise, gate.blocks, least)
        fresh = known.windows > request.comparison.windows
        found.append(improvement(champion, candidate, known, definition, fresh=fresh))
        gain = bounds(champion - candidate, blocks, gate.alpha)
        found.append(this_window(gain, blocks, definition))
        found.extend(_slices(request, definition, champion, candidate, blocks))
    found += [_floor(request, definition, blocks), calibration(request, gain, blocks, definition)]
    return Judgement(found, known)


def _evidence(request: GateInput, definition: Definition) -> Evidence:
    import numpy as np

    rows, mature = len(request.y), request.mature_rows
    share = rows / mature if mature else 0.0
    classes = len(np.unique(request.y))
    times = len(np.unique(request.events))
    wanted = definition.label.min_labelled_share
    lacking = [
        text
        for short, text in (
            (rows < definition.gate.min_rows, f"rows {rows:,} < {definition.gate.min_rows:,}"),
            (
                share < wanted,
                f"labelled share {share:.2f} < {wanted:.2f} of {mature:,} mature rows",
            ),
            (classes < 2, "one label value only"),
            (times < FEWEST, f"different event times {times} < {FEWEST}"),
        )
        if short
    ]
    good = (
        f"{rows:,} rows >= {definition.gate.min_rows:,}, labelled share {share:.2f} >= {wanted:.2f}"
    )
    return Evidence(
        "gate.evidence",
        UNSURE if lacking else PASS,
        "too little to judge on: " + "; ".join(lacking) if lacking else good,
        float(rows),
        float(definition.gate.min_rows),
        {"labelled_share": round(share, 6), "mature_rows": mature},
    )


def _overlap(request: GateInput) -> Evidence:
    trained, held = request.champion_trained_before, request.holdout_from
    late = trained is not None and trained > held
    seen = request.overlap > 0 or late
    text = f"{request.overlap:,} of the held-out keys were trained on, 0 allowed"
    if late:
        text += f"; the champion was trained up to tick {trained}, past the holdout's start {held}"
    verdict = BLOCK if seen else PASS
    return Evidence("gate.overlap", verdict, text, float(request.overlap), 0.0)


def _broken_scores(request: GateInput, definition: Definition) -> Evidence | None:
    import numpy as np

    objective, rows = definition.label.objective, len(request.y)
    shape = (rows, len(definition.label.classes)) if objective == "multiclass" else (rows,)
    for name, scores in (("candidate", request.candidate), ("champion", request.champion)):
        if scores is None:
            continue
        if scores.shape != shape:
            text = f"{name}: scores of shape {scores.shape}, expected {shape}"
            return Evidence("gate.scores", Verdict.ERROR, text)
        bad = int((~np.isfinite(row_losses(objective, request.y, scores))).sum())
        if bad:
            text = f"{name}: {bad:,} of {rows:,} losses are not finite, 0 allowed"
            return Evidence("gate.scores", Verdict.ERROR, text, float(bad), 0.0)
    return None


def _first(
    request: GateInput, candidate: Floats, order: Look, blocks: Blocks, definition: Definition
) -> Evidence:
    """``gate.first_champion``: these rows against the constant of the training rows."""
    import numpy as np

    objective, y, scores = definition.label.objective, request.y, request.candidate
    baseline = np.broadcast_to(np.asarray(request.baseline, float), scores.shape)
    constant, finest = row_losses(objective, y, baseline), resolution(objective, y, scores)
    return first_champion(constant, candidate, order, finest, blocks, definition)


def _order(request: GateInput, blocks: Blocks, definition: Definition) -> Look:
    """Whether the order of scores is more than chance: these rows, and the windows before."""
    objective, y, scores = definition.label.objective, request.y, request.candidate
    before = request.comparison.judged_before
    new = request.events >= (before if before is not None else request.events.min())
    every = ranked(objective, y, scores, blocks.codes)
    fresh = ranked(objective, y[new], scores[new], blocks.codes[new])
    return look(request.comparison, every, fresh, definition.gate.alpha)


def _slices(
    request: GateInput, definition: Definition, champion: Floats, candidate: Floats, blocks: Blocks
) -> list[Evidence]:
    gate = definition.gate
    missing = [name for name in gate.slices if name not in request.slices]
    if missing:
        text = f"slice columns {missing} were not given; expected {list(gate.slices)}"
        return [Evidence("gate.slices", Verdict.ERROR, text)]
    columns = {name: request.slices[name] for name in gate.slices}
    return [judge_slices(columns, champion, champion - candidate, blocks, gate)] if columns else []


def _floor(request: GateInput, definition: Definition, blocks: Blocks) -> Evidence:
    """The headline metric's lower bound, its error summed by block, against the floor."""
    objective, gate = definition.label.objective, definition.gate
    value, influence = headline(objective, request.y, request.candidate)
    error = clustered_error(influence, blocks.codes)
    lower = value + student_quantile(gate.alpha, blocks.count - 1) * error
    verdict = PASS if lower >= gate.floor else BLOCK if value < gate.floor else UNSURE
    sign = ">=" if verdict is PASS else "<"
    return Evidence(
        "gate.floor",
        verdict,
        f"{HEADLINE[objective]} {value:.4f}, lower bound {lower:.4f} {sign} floor {gate.floor:g}",
        lower,
        gate.floor,
        {"value": round(value, 8), "standard_error": round(error, 8)},
    )
