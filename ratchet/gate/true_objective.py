"""Does what the label stands for still rise with the score? The label may be gamed; this must not.

>>> [e.check for e in judge_true_objective(None, definition)]                   # doctest: +SKIP
[]

Clicks are counted because satisfied people click; a model that learns what makes people click
without satisfying them gets better by every number that is made of clicks (Goodhart's law). Nothing
that is measured on the label can tell. So a pipeline may declare a second outcome by another path,
the true objective, of some rows: a survey, a refund, a case that was looked into. It is never
trained on and chooses no recipe.

Promise: where a true objective is declared, no candidate passes without having been judged by it,
and one that serves the label at its cost is blocked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import LOSS_NAME, Estimate, auc, clustered_error, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.defence import TrueObjective
    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]

CHECK = "gate.true_objective"
UNSURE = Verdict.INCONCLUSIVE


@dataclass(frozen=True, eq=False)
class TrueInput:
    """Held-out rows whose true outcome is known, and three models' scores of them.

    Attributes:
        y: shape (rows,): 1 where it went well, else 0.
        events: shape (rows,): event ticks.
        candidate: shape (rows,): scores; higher should go with well.
        champion: the same; None when there is none.
        anchor: the same of an early champion; None where there is none but the champion.
        proxy: the candidate's improvement in mean loss on the label, over all held-out rows.
    """

    y: Floats
    events: NDArray[np.int64]
    candidate: Floats
    champion: Floats | None
    anchor: Floats | None
    proxy: float


class Change(NamedTuple):
    """How an AUC against the true outcome changes, and the half width of its one-sided bounds."""

    before: float
    after: float
    half: float

    @property
    def lower(self) -> float:
        """Lower bound of the change."""
        return self.after - self.before - self.half

    @property
    def upper(self) -> float:
        """Upper bound of the change."""
        return self.after - self.before + self.half

    def __str__(self) -> str:
        return f"{self.before:.4f} -> {self.after:.4f}, change {self.after - self.before:+.4f}"


def judge_true_objective(request: TrueInput | None, definition: Definition) -> list[Evidence]:
    """``gate.true_objective``, and with an early champion ``gate.true_objective_displacement``.

    The AUC of two models' scores against the true outcome, paired, each bound at level
    ``gate.alpha``, rows of a block of event time as one observation. BLOCK where the candidate's is
    shown to be lower than the champion's (without a champion: than one half) by more than
    ``true_objective.margin``, PASS where it is shown not to be, else INCONCLUSIVE. Against the
    early champion: BLOCK where it is shown to have lost more than the margin, in however many
    steps. Nothing at all where none is declared (``request`` None).
    """
    import numpy as np

    true = definition.true_objective
    if request is None or true is None:
        return []
    rows, kinds = len(request.y), len(np.unique(request.y))
    if rows < true.min_rows or kinds < 2:
        text = f"{rows:,} held-out rows have a value of {true.column}, {true.min_rows:,} needed"
        text += "; all of them are the same" if rows >= true.min_rows else ""
        return [Evidence(CHECK, UNSURE, text, float(rows), float(true.min_rows))]
    found = [_against_champion(request, true, definition)]
    if request.anchor is not None:
        found.append(_displacement(_change(request, request.anchor, definition), true))
    return found


def _change(request: TrueInput, other: Floats | None, definition: Definition) -> Change:
    import numpy as np

    after, before = auc(request.y, request.candidate), Estimate(0.5, np.zeros(len(request.y)))
    if other is not None:
        before = auc(request.y, other)
    blocks = equal_mass(request.events, definition.gate.blocks)
    error = clustered_error(after.influence - before.influence, blocks)
    steps = student_quantile(1 - definition.gate.alpha, max(int(blocks.max()), 1))
    return Change(before.value, after.value, steps * error)


def _against_champion(request: TrueInput, true: TrueObjective, definition: Definition) -> Evidence:
    change, margin = _change(request, request.champion, definition), true.margin
    if change.upper < -margin:
        verdict = Verdict.BLOCK
        said = f"upper bound {change.upper:+.4f} < {-margin:+.4f}: it falls"
        if request.proxy > 0:
            loss = LOSS_NAME[definition.label.objective]
            said += f", while {loss} on {definition.label.column} improves by {request.proxy:.4f}"
    elif change.lower >= -margin:
        verdict, said = Verdict.PASS, f"lower bound {change.lower:+.4f} >= {-margin:+.4f}"
    else:
        verdict = UNSURE
        said = f"lower bound {change.lower:+.4f} < {-margin:+.4f}: cannot tell"
    text = f"AUC against {true.column} on {len(request.y):,} rows {change}, {said}"
    return Evidence(CHECK, verdict, text, change.lower, -margin)


def _displacement(change: Change, true: TrueObjective) -> Evidence:
    verdict = Verdict.BLOCK if change.upper < -true.margin else Verdict.PASS
    sign = "<" if verdict is Verdict.BLOCK else ">="
    text = (
        f"AUC against {true.column} since an early champion {change}, upper bound "
        f"{change.upper:+.4f} {sign} {-true.margin:+.4f}"
    )
    return Evidence(f"{CHECK}_displacement", verdict, text, change.upper, -true.margin)
