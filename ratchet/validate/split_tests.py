"""Does this split look random? Small two-sample tests of a control against the rest.

>>> mean_difference(values, control) < 1e-4                                     # doctest: +SKIP
False

Each returns a p-value that holds for a random split (:mod:`ratchet.validate.pooled`), two-sided,
1 where nothing can be compared. Numbers come from the split alone; no distribution is assumed but
the normal limit of a mean over a random sample (Hajek 1960).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ratchet.contracts.boosting import boosted
from ratchet.contracts.metrics import auc, midranks, row_losses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.validate.pooled import Pool

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

FEWEST = 20  # rows on either side
FOLDS = 4
ROUNDS, DEPTH, RATE = 30, 4, 0.2
COLUMNS = 0.5  # that each tree may look at: a third of the time less, and no less is found
CLIP = 1e-7


def two_sided(z: float) -> float:
    """P(|Z| >= |z|) of a standard normal; 1 for NaN."""
    return math.erfc(abs(z) / math.sqrt(2)) if math.isfinite(z) else 1.0


def mean_difference(values: Floats, control: Mask) -> tuple[float, float]:
    """p-value and difference (rest - control) of two means, moments pooled under the split.

    A mean of few rows of a rare or heavy-tailed value is skewed, and the normal's tail would accuse
    honest splits three times too often at 1e-4: Wilson and Hilferty's (1931) cube root, with the
    skewness of a sample that is drawn without replacement, puts that right.
    """
    n1, n0 = int(control.sum()), int((~control).sum())
    spread = float(values.std()) if min(n1, n0) >= FEWEST else 0.0
    if spread == 0:
        return 1.0, 0.0
    mean = float(values.mean())
    gap = float(values[~control].mean() - values[control].mean())
    rows = n1 + n0
    z = -gap / (spread * math.sqrt(1 / n1 + 1 / n0))  # of the control's mean
    third = float((((values - mean) / spread) ** 3).mean())
    return two_sided(_unskewed(z, third * (n0 - n1) / math.sqrt(n1 * n0 * rows))), gap


def _unskewed(z: float, skew: float) -> float:
    """A standardised sum of this skewness as a standard normal."""
    if abs(skew) < 1e-3:
        return z
    root = math.pow(max(0.0, 1 + skew * z / 2), 1 / 3)
    return 6 / skew * (root - 1) + skew / 6


def auc_difference(y: Floats, scores: Floats, control: Mask) -> tuple[float, float]:
    """p-value and difference (rest - control) of two AUCs.

    To first order an AUC is a mean over rows (DeLong et al. 1988), and of both sides pooled each
    row's part is known; so this is a difference of means. The error of the control alone would be
    too small just where its AUC is far off.
    """
    here, there = auc(y[control], scores[control]), auc(y[~control], scores[~control])
    if min(_rarer(y[control]), _rarer(y[~control])) < FEWEST / 2:
        return 1.0, 0.0
    p, _ = mean_difference(auc(y, scores).influence, control)
    return p, there.value - here.value


def kolmogorov_smirnov(values: Floats, control: Mask) -> float:
    """p-value of the largest distance between two distributions (Smirnov 1948; ties: safe)."""
    import numpy as np

    known = ~np.isnan(values)
    a, b = np.sort(values[known & control]), np.sort(values[known & ~control])
    if min(len(a), len(b)) < FEWEST:
        return 1.0
    both = np.unique(np.concatenate([a, b]))
    below = np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    scale = (root + 0.12 + 0.11 / root) * float(np.abs(below).max())
    if scale < 0.3:  # the series below does not converge there, and the answer is 1
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scale) ** 2) for k in range(1, 21))
    return float(min(1.0, max(0.0, 2 * sum(terms))))


def classifier_test(pool: Pool, seed: int, threads: int) -> tuple[float, Floats]:
    """Can a model that sees features, label and residual tell the rest from the control?

    Two halves, each scored by the model of the other and tested by ranks (Wilcoxon 1945). A half's
    test holds whatever its model learned; their sum would not, because both halves are used twice,
    so the better of two p-values counts, doubled. One-sided. Source: Lopez-Paz & Oquab, *Revisiting
    classifier two-sample tests* (2017); the label is among the inputs because a flipped label
    leaves every feature as it was.

    Returns:
        p-value, and how much each row looks like the rest, shape (rows,).
    """
    import numpy as np

    extra = [pool.labels, pool.residual]
    matrix = narrow(np.column_stack([pool.values, *extra]))
    kinds = [*pool.kinds, *("number" for _ in extra)]
    target = (~pool.control).astype(np.float64)
    half = _folds(pool, seed) % 2 == 0
    likeness, smallest = np.zeros(pool.rows), 1.0
    for held in (half, ~half):
        model = train_small(matrix[~held], target[~held], kinds, seed, threads, "binary", 0)
        likeness[held] = predict_small(model, matrix[held])
        smallest = min(smallest, _rank_sum(likeness[held], ~pool.control[held]))
    return min(1.0, 2 * smallest), likeness


def _rank_sum(values: Floats, rest: Mask) -> float:
    """One-sided p-value that the rest's values are larger than the control's."""
    n1, n0 = int(rest.sum()), int((~rest).sum())
    if min(n1, n0) < FEWEST:
        return 1.0
    ranks = midranks(values)
    above = float(ranks[rest].sum()) - n1 * (n1 + 1) / 2 - n1 * n0 / 2
    spread = math.sqrt(n1 * n0 / (len(values) - 1)) * float(ranks.std())  # right under ties too
    return 0.5 * math.erfc(above / spread / math.sqrt(2)) if spread > 0 else 1.0


def cross_fitted(pool: Pool, seed: int, threads: int, classes: int) -> Floats:
    """Scores by models that learn the rest's labels, each row's by one that never saw it.

    A batch that was tampered with in a learnable way predicts its own held-out rows better than
    the control's: compare losses and AUC of both (the out-of-fold gap).
    """
    import numpy as np

    folds = _folds(pool, seed + 1)
    objective = "regression" if classes == 0 else "binary" if classes == 2 else "multiclass"
    values = narrow(pool.values)
    out = np.zeros((pool.rows, classes) if classes > 2 else pool.rows)
    for k in range(FOLDS):
        learn, held = (folds != k) & ~pool.control, folds == k
        model = train_small(
            values[learn], pool.labels[learn], pool.kinds, seed, threads, objective, classes
        )
        out[held] = predict_small(model, values[held])
    return out


def losses(objective: str, y: Floats, scores: Floats) -> Floats:
    """Loss a row, shape (rows,), bounded so that a mean over a sample is near its normal limit."""
    import numpy as np

    raw = row_losses(objective, y, scores)
    return np.minimum(raw, np.quantile(raw, 0.999)) if len(raw) else raw


def _rarer(y: Floats) -> int:
    positive = int((y > 0.5).sum())
    return min(positive, len(y) - positive)


def _folds(pool: Pool, seed: int) -> NDArray[np.int64]:
    """A fold for each row; identical rows share one, so that no model is asked about a row whose
    twin it learned (a control without keys may hold rows that the batch holds too)."""
    import numpy as np

    whole = np.ascontiguousarray(np.nan_to_num(pool.values, nan=-1e300))
    as_bytes = whole.view([("row", f"V{whole.dtype.itemsize * whole.shape[1]}")]).ravel()
    groups = np.unique(as_bytes, return_inverse=True)[1]
    folds = np.random.default_rng(seed).permutation(int(groups.max(initial=0)) + 1) % FOLDS
    return np.asarray(folds[groups], dtype=np.int64)


def narrow(values: Floats) -> NDArray[np.float32]:
    """Single precision, row after row: what XGBoost makes of numbers in any case, but once."""
    import numpy as np

    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def train_small(
    values: NDArray[np.float32],
    labels: Floats,
    kinds: Any,
    seed: int,
    threads: int,
    objective: str,
    classes: int,
) -> Any:
    """A booster of :data:`ROUNDS` small trees."""
    names = {"binary": "binary:logistic", "multiclass": "multi:softprob"}
    options: dict[str, Any] = {
        "objective": names.get(objective, "reg:squarederror"),
        "max_depth": DEPTH,
        "learning_rate": RATE,
        "colsample_bytree": COLUMNS,
        "max_bin": 64,
        "seed": seed,
        "nthread": threads,
        "verbosity": 0,
    }
    if objective == "multiclass":
        options["num_class"] = classes
    types = ["c" if kind == "category" else "q" for kind in kinds]
    return boosted(values, options, ROUNDS, label=labels, feature_types=types)


def predict_small(model: Any, values: NDArray[np.float32]) -> Floats:
    """Its scores, shape (rows,) or (rows, classes)."""
    import numpy as np

    return np.asarray(model.inplace_predict(values), dtype=np.float64)
