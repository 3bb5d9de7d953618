"""Does the candidate lean on what it will not have when it serves? Leaks and shortcuts.

>>> judge_shortcut(request, definition)[0].verdict                              # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A feature that is written after the outcome carries the label in every row that was kept, sealed
rows too, and not in the rows that are scored live (Kaufman et al. 2012, "Leakage in data mining").
Three things give it away:

* **A jump.** The feature carries more of the candidate's gain than of the champion's, by more than
  :data:`JUMP`.
* **Time.** Rows that became known only when their label was known may hold what the outcome wrote;
  rows of the same time that were known before cannot. A feature that predicts better by itself
  among the late ones, by more than :data:`CONTRAST`, leaks.
* **Perfection.** The feature tells the label nearly by itself (:mod:`ratchet.contracts.power`).

A jump beside one of the others blocks. One of them alone may be honest: a world that has turned
makes a feature jump, and who is late may be easier to tell. So it is a doubt that a person has to
settle before the candidate may serve (:mod:`ratchet.gate.approval`). It stands until somebody has:
a figure that falls below its limit for a week answers nothing. Power that vanishes from one window
to the next is no evidence either: that is drift, and a candidate that leaned on it shows it in the
held-out rows, which come after all training.

Promise: how well a feature predicts is measured across two folds, never on rows that set it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.evidence import Evidence, Verdict, telling
from ratchet.contracts.metrics import student_quantile
from ratchet.contracts.power import PERFECT, Power, groups, power_among, two_classes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CHECK, BLOCK = "gate.shortcut", Verdict.BLOCK
JUMP = 0.3  # share of the gain, further than in the champion
LEAN = 0.05  # share of the gain from which a feature is looked at, and further than in the champion
CONTRAST = 0.1  # AUC by itself, of rows known late less rows known early


@dataclass(frozen=True, eq=False)
class ShortcutInput:
    """Rows of the last windows that have a label, the held-out ones among them, and what the models
    lean on.

    Attributes:
        y: shape (rows,): class index or target.
        events: shape (rows,): event ticks.
        rows: the features of the same rows.
        late: shape (rows,): whether the row became known only when its label was known.
        held: shape (rows,): whether the row was held out.
        before, after: feature to its share of the gain in champion and candidate; ``before`` is
            None without a champion all of whose features still come.
        window: the label of this cycle's window.
        doubted: feature to the window since which it is in doubt and nobody has answered.
    """

    y: Floats
    events: Ints
    rows: pa.Table
    late: NDArray[np.bool_]
    held: NDArray[np.bool_]
    before: Mapping[str, float] | None
    after: Mapping[str, float]
    window: str = ""
    doubted: Mapping[str, str] = field(default_factory=dict)


def judge_shortcut(request: ShortcutInput, definition: Definition) -> list[Evidence]:
    """``gate.shortcut``: each feature that carries more than :data:`LEAN` of the candidate's gain.

    BLOCK where its share has jumped and time or perfection speaks against it; WARN where only one
    of these is so or was so before, with ``details["doubt"]`` true unless the champion leans on the
    feature as much. Without a champion every share counts as a rise, a jump alone is no doubt, and
    perfection is. ``details["doubted"]`` is what a later cycle has to know: every feature that was
    blocked or is in doubt, and since when. Nothing at all where ``gate.shortcuts`` is not set.
    """
    if not definition.gate.shortcuts:
        return []
    shares = request.after
    leaning = sorted((n for n in shares if shares[n] > LEAN), key=lambda n: -shares[n])
    if not leaning:
        most = max(request.after.values(), default=0.0)
        text = f"no feature carries more than {LEAN:g} of the gain; most {most:.2f}"
        return [Evidence(CHECK, Verdict.PASS, text, most, LEAN)]
    alpha = definition.gate.alpha / len(leaning)  # Bonferroni
    found = [_judge(name, request, definition, alpha) for name in leaning]
    told = min(found, key=lambda e: (*telling(e), not e.details["doubt"]))
    names = [e.details["feature"] for e in found if e.details["doubt"] or e.verdict is BLOCK]
    doubted = {n: request.doubted.get(n, request.window) for n in names}
    return [replace(told, details={**told.details, "doubted": doubted})]


def _judge(name: str, request: ShortcutInput, definition: Definition, alpha: float) -> Evidence:
    import numpy as np

    y = two_classes(definition.label.objective, request.y)
    blocks = equal_mass(request.events, definition.gate.blocks)
    codes = groups(request.rows[name], definition.features[name])
    steps = student_quantile(1 - alpha, max(int(blocks.max()), 4))
    first = request.before is None
    before = 0.0 if request.before is None else request.before.get(name, 0.0)
    rise = request.after[name] - before
    # The held-out rows by blocks of their own: of those of all windows they span only a few.
    own = np.zeros(len(y), dtype=np.int64)
    own[request.held] = equal_mass(request.events[request.held], definition.gate.blocks)
    alone = power_among(y, codes, own, request.held) or Power(0.5, 1.0, 0)
    contrast, said_time = _time(y, codes, blocks, request.late, steps)
    lower = alone.value - steps * alone.error
    late, perfect, jumped = contrast > CONTRAST, lower >= PERFECT, rise > JUMP
    since = request.doubted.get(name)
    if jumped and (late or (perfect and not first)):
        verdict, doubt = BLOCK, False
    else:
        doubt = (rise > LEAN and (late or perfect or bool(since))) or (jumped and not first)
        verdict = Verdict.WARN if doubt or late else Verdict.PASS
    said = f"{name} carries {request.after[name]:.2f} of the gain"
    if not first:
        sign = ">" if jumped else "<="
        said += f", {before:.2f} in the champion: {rise:+.2f} {sign} {JUMP:g}"
    said += f"; by itself AUC {alone.value:.3f}, lower bound {lower:.3f} "
    said += f"{'>=' if perfect else '<'} {PERFECT:g}; {said_time}"
    if since and doubt:
        said += f"; in doubt since {since}, and nobody has answered"
    details = {"feature": name, "late_rows": int(request.late.sum()), "doubt": doubt}
    return Evidence(CHECK, verdict, said, rise, JUMP, details)


def _time(
    y: Floats, codes: Ints, blocks: Ints, late: NDArray[np.bool_], steps: float
) -> tuple[float, str]:
    """Lower bound of how much better the feature predicts among late rows, and the sentence.

    Only in blocks of event time that hold both kinds, or drift would look like a leak.
    """
    import numpy as np

    together = np.intersect1d(blocks[late], blocks[~late])
    parts = [power_among(y, codes, blocks, m & np.isin(blocks, together)) for m in (late, ~late)]
    after, early = parts
    if after is None or early is None:
        counts = f"{int(late.sum()):,} rows known as late as their label, {int((~late).sum()):,}"
        return float("-inf"), f"{counts} before: too few to compare"
    gap = after.value - early.value
    lower = gap - steps * float((after.error**2 + early.error**2) ** 0.5)
    sign = ">" if lower > CONTRAST else "<="
    return lower, (
        f"AUC {after.value:.3f} of {after.rows:,} rows known as late as their label, "
        f"{early.value:.3f} of {early.rows:,} known before: lower bound {lower:+.3f} {sign} "
        f"{CONTRAST:g}"
    )
