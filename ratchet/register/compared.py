"""The part of a decision's page about the models: metrics, reliability, past losses, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratchet.contracts.evidence import Evidence
from ratchet.contracts.lineage import Decision
from ratchet.contracts.metrics import HEADLINE, LOSS_NAME
from ratchet.register import plots
from ratchet.register.describe import metric_rank, weights_of
from ratchet.register.markup import number, shown, table

_NAMES = {
    "rows": "held-out rows",
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "calibration_error": "calibration error",
    "base_rate": "mean outcome",
    "r2": "R²",
    "mae": "mean absolute error",
}
_HIGHER = {"auc", "balanced_accuracy", "accuracy", "r2"}
_LOWER = {"loss", "log_loss", "calibration_error", "mae"}
_AXES = {
    "binary": ("score", "frequency"),
    "multiclass": ("probability of the winning class", "frequency"),
    "regression": ("prediction", "target"),
}
SLICES = 24  # drawn, the weakest


def compared(decision: Decision, history: Sequence[Decision], rows: int) -> str:
    """Metrics side by side, then the drawings, each where its numbers are stored."""
    if decision.is_rollback:
        return _drawings(losses(decision, history))
    if not decision.candidate:
        text = "<p>No candidate was judged in this cycle.</p>"
        return text + _drawings(losses(decision, history))
    found = {e.check: e for e in decision.evidence}
    return (
        _metrics(decision, rows)
        + _recipes(decision, rows)
        + _drawings(
            _reliability(decision, found.get("gate.calibration")),
            losses(decision, history),
            _slices(decision, found.get("gate.slices"), rows),
        )
    )


def objective_of(decision: Decision) -> str:
    """What kind of target it is, by the metrics that it has; binary where none says."""
    known = {*decision.candidate, *decision.champion}
    return next((kind for kind, metric in HEADLINE.items() if metric in known), "binary")


def _drawings(*drawings: str) -> str:
    inner = "".join(drawings)
    return f'<div class="plots">{inner}</div>' if inner else ""


def _metrics(decision: Decision, rows: int) -> str:
    loss = LOSS_NAME[objective_of(decision)]
    names = sorted({*decision.candidate, *decision.champion}, key=metric_rank)[:rows]
    lines = [
        (
            shown(loss if name == "loss" else _NAMES.get(name, name.replace("_", " ")), 40),
            number(decision.candidate.get(name)),
            number(decision.champion.get(name)),
            _better(name, decision.candidate.get(name), decision.champion.get(name)),
        )
        for name in names
    ]
    head = ("metric", "candidate", "champion", "candidate is")
    return table("On held-out rows that neither model has seen", head, lines)


def _better(name: str, candidate: float | None, champion: float | None) -> str:
    if candidate is None or champion is None or name not in _HIGHER | _LOWER:
        return ""
    change = candidate - champion
    if change == 0:
        return "equal"
    word = "better" if (change > 0) == (name in _HIGHER) else "worse"
    return f'<span class="{word}">{word} by {number(abs(change))}</span>'


def _recipes(decision: Decision, rows: int) -> str:
    if len(decision.recipe_losses) < 2:
        return ""
    found = sorted(decision.recipe_losses.items())[:rows]
    if weights := weights_of(decision):
        levelled = decision.levelled_losses
        return table(
            "Members of the mixture; earlier windows have settled their weights, by the loss with "
            "the level set right",
            ("member", LOSS_NAME[objective_of(decision)], "level set right", "weight"),
            [
                (shown(n, 60), number(loss), number(levelled.get(n)), number(weights.get(n)))
                for n, loss in found
            ],
        )
    lines = [
        (shown(name, 60), number(loss), "went to the gate" if name == decision.recipe else "")
        for name, loss in found
    ]
    return table(
        "Recipes; which one is judged was settled by earlier windows",
        ("recipe", LOSS_NAME[objective_of(decision)], ""),
        lines,
    )


def _reliability(decision: Decision, evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    bins: dict[str, list[plots.Bin]] = {
        name: [(s, o, n) for s, o, n in evidence.details.get(name, ()) if _all_known(s, o, n)]
        for name in ("candidate", "champion")
    }
    score, outcome = _AXES[objective_of(decision)]
    return plots.reliability(bins["candidate"], bins["champion"], score, outcome)


def losses(decision: Decision, history: Sequence[Decision]) -> str:
    """The losses of these cycles and of this one, over their windows."""
    cycles = [*history, decision]
    measured = next((d for d in reversed(cycles) if d.candidate), decision)
    return plots.losses([_point(d) for d in cycles], LOSS_NAME[objective_of(measured)])


def _point(decision: Decision) -> plots.Point:
    moved = decision.champion_after != decision.champion_before
    return plots.Point(
        decision.window,
        "rolled back" if decision.is_rollback else decision.outcome,
        decision.champion.get("loss"),
        decision.candidate.get("loss"),
        decision.champion_after if moved else None,
    )


def _slices(decision: Decision, evidence: Evidence | None, rows: int) -> str:
    groups: Sequence[Mapping[str, Any]] = evidence.details.get("groups", ()) if evidence else ()
    found = [
        plots.Slice(
            f"{g['column']}={g['slice']}", g["rows"], g["improvement"], g["lower"], g["margin"]
        )
        for g in groups
        if _all_known(g["improvement"], g["margin"])
    ]
    found.sort(key=lambda g: (g.room, g.name))
    return plots.slices(found[: min(SLICES, rows)], LOSS_NAME[objective_of(decision)])


def _all_known(*values: object) -> bool:
    return all(isinstance(v, int | float) for v in values)
