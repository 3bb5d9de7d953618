"""How far scores are from what happens, level by level; and what it takes to measure that.

>>> import numpy as np
>>> y, scores = np.tile([0.0, 1.0], 500), np.full(1000, 0.5)
>>> round(calibration_error("binary", y, scores + 0.2), 2)
0.2

``y`` and ``scores`` have the shapes that :mod:`ratchet.contracts.metrics` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CALIBRATION_BINS, FEWEST_BINS, BIN_ROWS = 15, 5, 50  # bins at most, at least, and rows of one


def calibration_error(objective: str, y: Floats, scores: Floats) -> float:
    """How far probabilities are from frequencies: 0 is perfect.

    Classification: the root of the mean squared gap between score and frequency over bins of equal
    numbers of rows; for more than two classes of the winning class. The plain gap is too large by
    sampling noise (y varies within a bin even when the score is right), so each bin's noise,
    f(1-f)/(n-1), is subtracted, as in Kumar, Liang and Ma 2019; what remains is nearly unbiased
    for the squared error of the binned scores, and too small only by what varies inside a bin.
    Its root is not: of a perfect score it is above 0 half of the time, the further the more bins
    there are for the rows (Roelofs et al. 2022), so small samples have fewer bins.
    Regression: ``|mean residual| / standard deviation of y``. NaN without rows.
    """
    import numpy as np

    if len(y) == 0:
        return float("nan")
    spread = float(y.var()) if objective == "regression" else None
    if spread == 0:
        return float("nan")
    score, truth, bins = calibration_bins(objective, y, scores)
    rows, scored, came = (np.bincount(bins, v).astype(float) for v in (None, score, truth))
    return float(np.sqrt(max(float(squared_gap(rows, scored, came, spread)), 0.0)))


def calibration_bins(objective: str, y: Floats, scores: Floats) -> tuple[Floats, Floats, Ints]:
    """What calibration compares: a score, an outcome and a bin for each row, shape (rows,) each.

    Of more than two classes the winning class. A regression has one bin: its level.
    """
    import numpy as np

    score, truth = _winning(objective, y, scores)
    if objective == "regression":
        return score, truth, np.zeros(len(y), dtype=np.int64)
    return score, truth, equal_mass(score, _how_many_bins(len(y)))


def squared_gap(rows: Floats, scores: Floats, outcomes: Floats, spread: float | None) -> Floats:
    """The squared calibration error from sums by bin, shape (..., bins) each; shape (...).

    Args:
        spread: the variance of a regression's target, in units of which its squared bias is given;
            None for classes, whose outcomes' noise is taken off.
    """
    import numpy as np

    n = np.maximum(rows, 1.0)
    squared = ((outcomes - scores) / n) ** 2
    if spread is not None:
        return np.asarray(squared.sum(axis=-1) / spread, dtype=np.float64)
    frequency = outcomes / n
    noise = frequency * (1 - frequency) / np.maximum(rows - 1, 1)
    return np.asarray((rows * (squared - noise)).sum(axis=-1) / rows.sum(axis=-1), dtype=np.float64)


def _winning(objective: str, y: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Score and outcome as calibration takes them; of more than two classes the winning one's."""
    import numpy as np

    if objective != "multiclass":
        return scores, y
    right = np.asarray(scores.argmax(axis=1) == y.astype(np.int64), dtype=np.float64)
    return np.asarray(scores.max(axis=1), dtype=np.float64), right


def _how_many_bins(rows: int) -> int:
    return min(CALIBRATION_BINS, max(FEWEST_BINS, rows // BIN_ROWS))


def reliability(objective: str, y: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """What a reliability diagram draws: mean score, mean outcome and rows of each bin.

    Bins of about equally many rows by rising score, at most :data:`CALIBRATION_BINS` and fewer
    where there are few rows; shape (bins,) each. The outcome is the frequency of class 1 (binary),
    how often the winning class is right (multiclass; the score is its probability), or the mean
    target (regression). Empty without rows.
    Source: Murphy and Winkler 1977; bins of equal mass as in Kumar, Liang and Ma 2019.
    """
    import numpy as np

    scores, y = _winning(objective, y, scores)
    bins = equal_mass(scores, _how_many_bins(len(y)))
    n = np.bincount(bins).astype(np.float64)
    return np.bincount(bins, scores) / n, np.bincount(bins, y) / n, n


def equal_mass(values: NDArray[np.generic], groups: int) -> Ints:
    """A group from 0 for each value: ordered, about equally many in each, ties never parted.

    Fewer groups come out where ties are heavy; every group from 0 to the largest has rows.
    """
    import numpy as np

    ordered = np.sort(values)
    first = np.searchsorted(ordered, values, side="left")
    _, compact = np.unique(first * groups // max(len(values), 1), return_inverse=True)
    return np.asarray(compact, dtype=np.int64)
