"""How good scores are: losses row by row, ranking, calibration, and how sure we may be of each.

>>> import numpy as np
>>> y, scores = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])
>>> summary("binary", y, scores)["auc"]
0.75

Every function is plain NumPy and gives the same number for the same rows in any order. ``y`` has
shape (rows,): class index, or the target of a regression. ``scores`` has shape (rows,):
probability of class 1 (binary) or the value (regression); or shape (rows, classes) (multiclass).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.calibration import calibration_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CLIP = 1e-7  # a probability of 0 or 1 costs at most 16.1 nats, not infinity
HEADLINE = {"binary": "auc", "multiclass": "balanced_accuracy", "regression": "r2"}
LOSS_NAME = {"binary": "log loss", "multiclass": "log loss", "regression": "squared error"}


def figure(value: float) -> str:
    """A loss, or what two differ by, in a sentence; the target's unit may be any.

    >>> figure(0.51234), figure(4.3395e18), figure(-4.2e-12)
    ('0.5123', '4.34e+18', '-4.2e-12')
    """
    plain = value == 0 or 5e-5 <= abs(value) < 1e7
    return f"{value:.4f}" if plain else f"{value:.4g}"


class Estimate(NamedTuple):
    """A metric's value, and what each row adds to its error (shape (rows,), sums to about 0)."""

    value: float
    influence: Floats


def row_losses(objective: str, y: Floats, scores: Floats) -> Floats:
    """Loss of each row, shape (rows,): log loss in nats (clipped), or squared error."""
    import numpy as np

    if objective == "regression":
        return np.asarray((y - scores) ** 2, dtype=np.float64)
    if objective == "binary":
        of_truth = np.where(y > 0.5, scores, 1.0 - scores)
    else:
        of_truth = scores[np.arange(len(y)), y.astype(np.int64)]
    return np.asarray(-np.log(np.clip(of_truth, CLIP, 1.0)), dtype=np.float64)


def resolution(objective: str, y: Floats, scores: Floats) -> float:
    """Differences of mean loss up to this may be rounding: scores come from float32 models."""
    import numpy as np

    finest = float(np.finfo(np.float32).eps)
    return (
        finest * float(np.abs((y - scores) * scores).mean())
        if objective == "regression"
        else finest
    )


def auc(y: Floats, scores: Floats) -> Estimate:
    """Area under the ROC curve, ties counted half; the influence is DeLong's components.

    Sources: DeLong et al. 1988; Sun and Xu 2014 (by midranks, in O(n log n)). Without both classes
    the value is NaN.
    """
    import numpy as np

    positive = y > 0.5
    n1, n0 = int(positive.sum()), int((~positive).sum())
    influence = np.zeros(len(y))
    if n1 == 0 or n0 == 0:
        return Estimate(float("nan"), influence)
    ranks = midranks(scores)
    above = (ranks[positive] - midranks(scores[positive])) / n0
    below = 1.0 - (ranks[~positive] - midranks(scores[~positive])) / n1
    value = float(above.mean())
    influence[positive] = (above - value) / n1
    influence[~positive] = (below - value) / n0
    return Estimate(value, influence)


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the middle of theirs."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    return np.asarray(middle[inverse], dtype=np.float64)


def balanced_accuracy(y: Floats, scores: Floats) -> Estimate:
    """Mean recall over the classes that occur in ``y``; ``scores`` has shape (rows, classes)."""
    import numpy as np

    truth = y.astype(np.int64)
    right = (scores.argmax(axis=1) == truth).astype(np.float64)
    counts = np.bincount(truth, minlength=scores.shape[1])
    seen = max(int((counts > 0).sum()), 1)
    recall = np.bincount(truth, right, minlength=scores.shape[1]) / np.maximum(counts, 1)
    influence = (right - recall[truth]) / (np.maximum(counts, 1)[truth] * seen)
    return Estimate(float(recall.sum() / seen), influence)


def r2(y: Floats, scores: Floats) -> Estimate:
    """Share of the target's variance that the scores explain; NaN for a constant target."""
    import numpy as np

    residual, spread = (y - scores) ** 2, (y - y.mean()) ** 2
    total = float(spread.sum())
    if total == 0:
        return Estimate(float("nan"), np.zeros(len(y)))
    ratio = float(residual.sum()) / total
    return Estimate(1.0 - ratio, -(residual - ratio * spread) / total)


def headline(objective: str, y: Floats, scores: Floats) -> Estimate:
    """The metric that the gate's floor is about: AUC, balanced accuracy or R2."""
    functions = {"binary": auc, "multiclass": balanced_accuracy, "regression": r2}
    return functions[objective](y, scores)


def clustered_error(influence: Floats, groups: Ints) -> float:
    """Standard error of an :class:`Estimate` whose rows depend on one another within groups.

    Sums the influence by group (Obuchowski 1997 for the AUC; Liang and Zeger 1986), with the
    small-sample factor G/(G-1). Infinite for fewer than two groups. With each row its own group
    it is the usual standard error (DeLong's for the AUC).
    """
    import numpy as np

    sums = np.bincount(groups, influence)
    n = len(sums)
    if n < 2:
        return float("inf")
    return float(np.sqrt(n / (n - 1) * np.sum(sums**2)))


def summary(objective: str, y: Floats, scores: Floats) -> dict[str, float]:
    """The metrics that decisions and runs record; one that is not defined is left out.

    Keys: ``rows``, ``loss``, ``calibration_error``, ``base_rate`` (mean of ``y``; not for
    multiclass), and ``auc`` | ``balanced_accuracy`` and ``accuracy`` | ``r2`` and ``mae``.
    """
    import numpy as np

    out = {"rows": float(len(y))}
    if len(y) == 0:
        return out
    out["loss"] = float(row_losses(objective, y, scores).mean())
    out["calibration_error"] = calibration_error(objective, y, scores)
    out[HEADLINE[objective]] = headline(objective, y, scores).value
    if objective == "multiclass":
        out["accuracy"] = float((scores.argmax(axis=1) == y).mean())
    else:
        out["base_rate"] = float(y.mean())
    if objective == "regression":
        out["mae"] = float(np.abs(y - scores).mean())
    return {name: value for name, value in out.items() if np.isfinite(value)}


def spread(rows: int, limit: int) -> Ints:
    """Positions of at most ``limit`` of ``rows`` rows, evenly spaced, in order: a sample that needs
    no random numbers and covers all of time."""
    import numpy as np

    if rows <= limit:
        return np.arange(rows, dtype=np.int64)
    return np.arange(limit, dtype=np.int64) * rows // limit


def student_quantile(level: float, freedom: int) -> float:
    """Quantile of Student's t, within 1 % for 4 degrees of freedom or more.

    Source: the Cornish-Fisher expansion, Abramowitz and Stegun 1964, 26.7.5.
    """
    z = NormalDist().inv_cdf(level)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return float(sum(term / freedom**i for i, term in enumerate(terms)))


def chi_square_quantile(level: float, freedom: float) -> float:
    """Quantile of chi-square, within 4 % for levels in [0.9, 0.999]; 0 without freedom.

    Source: Wilson and Hilferty 1931.
    """
    if freedom <= 0:
        return 0.0
    z = NormalDist().inv_cdf(level)
    scale = 2 / (9 * freedom)
    return float(freedom * (1 - scale + z * scale**0.5) ** 3)
