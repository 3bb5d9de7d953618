"""Checks on the labels that arrived with a window, before anything is learned from them.

>>> check_labels(labels, definition, scores=scores, expected_skill=0.5)         # doctest: +SKIP

Promise: a label that is no number or no class blocks; so do labels on which the champion, which
nobody changed, loses nearly all of its skill: then it is the labels that changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import EVENT, LABEL
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.lost import check_classes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.lineage import Decision
    from ratchet.contracts.sections import Label

    Floats = NDArray[np.float64]

BLOCKS = 20  # stretches of time whose rows may depend on one another
FEWEST = 50  # labelled and scored rows below which skill says nothing
WEAK = 0.2  # a champion with less skill than this is no ruler for labels


def check_labels(
    labels: pa.Table,
    definition: Definition,
    *,
    scores: Floats | None,
    expected_skill: float | None,
    before: Sequence[Floats] = (),
) -> list[Evidence]:
    """Evidence on the labels of one window.

    Args:
        labels: the new labels with ``_key``, ``_event`` and ``_label``, shape (rows, columns).
        definition: for the objective, the classes and ``validate.max_skill_loss``.
        scores: the champion's scores of these labels' rows, in order, shape (rows,) or
            (rows, classes); NaN where the row's features are not known; None without a champion.
        expected_skill: the champion's mean :func:`skill` on held-out rows so far; None without one.
        before: class indices of earlier windows' labels, for a class that these lack.
    """
    if labels.num_rows == 0:
        sentence = "no labels arrived: their absence says nothing about any row"
        return [Evidence("labels.count", Verdict.WARN, sentence, 0.0)]
    values = _values(labels, definition)
    if not values.verdict.lets_through:
        return [values]
    y = labels.column(LABEL).to_numpy()
    balance = (
        [] if definition.label.objective == "regression" else [check_classes(y, before, definition)]
    )
    return [
        values,
        *balance,
        _agreement(labels, y, definition, scores=scores, expected=expected_skill),
    ]


def skill(objective: str, y: Floats, scores: Floats) -> float:
    """How much better than chance scores order the labels: 0 is chance, 1 perfect, below 0 worse.

    Binary: 2 AUC - 1. Multiclass: balanced accuracy, rescaled so that guessing is 0. Regression:
    Spearman's rank correlation. NaN where it is not defined (one class, a constant).
    """
    return skill_and_influence(objective, y, scores)[0]


def skill_from_metrics(
    objective: str, metrics: Mapping[str, float], classes: int = 2
) -> float | None:
    """The skill that recorded metrics stand for; None where they do not say.

    Args:
        objective: binary, multiclass or regression.
        metrics: with ``auc``, ``balanced_accuracy`` or ``r2`` (of which the root is taken).
        classes: number of classes of the label.
    """
    if objective == "binary" and "auc" in metrics:
        return 2 * metrics["auc"] - 1
    if objective == "multiclass" and "balanced_accuracy" in metrics:
        return (metrics["balanced_accuracy"] * classes - 1) / (classes - 1)
    if objective == "regression" and "r2" in metrics:
        return float(max(metrics["r2"], 0.0) ** 0.5)
    return None


def expected_skill(version: int | None, history: Sequence[Decision], label: Label) -> float | None:
    """A champion's mean skill on the held-out rows that promoted it and on all held out since.

    The first alone flatters it, because it was chosen there; and where the world drifts, a skill
    that faded over many windows is no sign that today's labels are wrong.

    Args:
        version: the champion's; None without one.
        history: every decision so far.
        label: for the objective and the number of classes.
    """
    if version is None:
        return None
    classes = max(len(label.classes), 2)
    seen = [
        d.candidate if d.champion_before != version else d.champion
        for d in history
        if version in (d.champion_before, d.champion_after)
    ]
    skills = [skill_from_metrics(label.objective, metrics, classes) for metrics in seen]
    known = [found for found in skills if found is not None]
    return sum(known) / len(known) if known else None


def skill_and_influence(objective: str, y: Floats, scores: Floats) -> tuple[float, Floats]:
    """Skill, and what each row adds to its error."""
    from ratchet.contracts.metrics import auc, balanced_accuracy

    if objective == "binary":
        area = auc(y, scores)
        return 2 * area.value - 1, 2 * area.influence
    if objective == "multiclass":
        k = scores.shape[1]
        mean_recall = balanced_accuracy(y, scores)
        return (mean_recall.value * k - 1) / (k - 1), mean_recall.influence * k / (k - 1)
    return _rank_correlation(y, scores)


def _rank_correlation(y: Floats, scores: Floats) -> tuple[float, Floats]:
    """Spearman's correlation and the influence function of a correlation (Devlin et al. 1975)."""
    import numpy as np

    from ratchet.contracts.metrics import midranks

    a, b = midranks(y), midranks(scores)
    if len(y) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan"), np.zeros(len(y))
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    value = float((a * b).mean())
    return value, (a * b - value * (a**2 + b**2) / 2) / len(y)


def _values(labels: pa.Table, definition: Definition) -> Evidence:
    import numpy as np
    import pyarrow.compute as pc

    column = labels.column(LABEL)
    y = pc.fill_null(column, float("nan")).to_numpy()
    k = len(definition.label.classes)
    good = np.isfinite(y) & (np.abs(y) <= np.finfo(np.float32).max)
    if k:
        good &= (y >= 0) & (y < k) & (y == np.round(y))
    bad = int((~good).sum())
    allowed = f"a class index from 0 to {k - 1}" if k else "a finite number"
    sentence = f"{bad} of {len(y)} labels are not {allowed}"
    if bad:
        sentence += f", such as {y[~good][0]:g}"
    found = Verdict.BLOCK if bad else Verdict.PASS
    return Evidence("labels.values", found, sentence, float(bad), 0.0)


def _agreement(
    labels: pa.Table,
    y: Floats,
    definition: Definition,
    *,
    scores: Floats | None,
    expected: float | None,
) -> Evidence:
    """Do the champion's scores still order the new labels as they ordered the old ones?

    The upper confidence bound of the skill (DeLong et al. 1988 for the AUC, rows of one stretch of
    time summed first as in Obuchowski 1997) must reach what ``max_skill_loss`` leaves of the skill
    so far. Drift lowers skill, but seldom this far at once; labels flipped at random multiply it by
    about 1 - 2 x share.
    """
    import numpy as np

    name = "labels.agreement"
    if scores is None or expected is None or not np.isfinite(expected):
        return Evidence(name, Verdict.WARN, "no champion yet to compare with")
    if expected < WEAK:
        sentence = (
            f"the champion's own skill {expected:.3g} < {WEAK:g}: too weak to judge labels by"
        )
        return Evidence(name, Verdict.WARN, sentence, expected, WEAK)
    scored = np.isfinite(scores).reshape(len(y), -1).all(axis=1)
    n = int(scored.sum())
    if n < FEWEST:
        return Evidence(name, Verdict.WARN, f"{n} labels of scored rows < {FEWEST}", float(n))
    objective = definition.label.objective
    value, influence = skill_and_influence(objective, y[scored], scores[scored])
    if not np.isfinite(value):
        return Evidence(name, Verdict.WARN, f"skill is not defined on {n} labels of one value")
    events = labels.column(EVENT).to_numpy()[scored]
    upper = value + margin(influence, events, definition.gate.alpha)
    limit = definition.validate_.max_skill_loss
    return _judge_skill(value, upper, n, expected, limit, definition.trusted is not None)


def margin(influence: Floats, events: Any, alpha: float) -> float:
    """From the estimate to its one-sided upper bound, by Student's t over stretches of time."""
    from ratchet.contracts.calibration import equal_mass
    from ratchet.contracts.metrics import clustered_error, student_quantile

    groups = equal_mass(events, BLOCKS)
    n = int(groups.max()) + 1
    if n < 5:  # too few moments for a bound over time: each row for itself
        import numpy as np

        groups, n = np.arange(len(influence), dtype=np.int64), len(influence)
    return student_quantile(1 - alpha, n - 1) * clustered_error(influence, groups)


def _judge_skill(
    value: float, upper: float, n: int, expected: float, max_loss: float, compared: bool
) -> Evidence:
    """A concept that collapses looks the same as labels that were turned around. Where a trusted
    control tells the two apart (``compared``), this only warns."""
    least = (1 - max_loss) * expected
    blocked = upper < least
    sentence = (
        f"champion's skill on {n} new labels {value:.3f}, at most {upper:.3f} "
        f"{'<' if blocked else '>='} {least:.3f} = (1 - {max_loss:g}) x {expected:.3f} so far"
    )
    if blocked and compared:
        sentence += "; the labels or the world have changed: the trusted control decides which"
    elif blocked:
        sentence += "; the labels, not the champion, have changed"
    details: dict[str, Any] = {"skill": value, "expected": expected, "rows": n}
    found = Verdict.PASS if not blocked else Verdict.WARN if compared else Verdict.BLOCK
    return Evidence("labels.agreement", found, sentence, upper, least, details)
