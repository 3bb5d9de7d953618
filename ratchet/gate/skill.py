"""Does the order of the scores follow the outcomes? That is what no constant score has.

>>> import numpy as np
>>> y, scores = np.tile([0.0, 1.0], 50), np.tile([0.2, 0.8], 50)
>>> ranked("binary", y, scores, np.arange(100)).value
1.0
>>> ranked("binary", y, np.full(100, 0.5), np.arange(100)).value
0.0

A loss can be smaller than a constant's because the level fits better by chance, and then a constant
would have done as well. The order of the scores knows no level.

Promise: 0 for any constant, in expectation also for scores that have nothing to do with the
outcomes; and the error is not too small where one class is rare.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.betting import FEWEST
from ratchet.contracts.metrics import clustered_error, midranks, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.gate.sequential import Comparison

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


NORMAL = NormalDist()


class Ranked(NamedTuple):
    """A rank correlation in [-1, 1], and its standard error."""

    value: float
    error: float

    @property
    def steps(self) -> float:
        """How many standard errors it lies above chance."""
        return self.value / self.error


class Look(NamedTuple):
    """One look at whether candidates order outcomes at all.

    Attributes:
        number: from 1.
        level: the chance of a wrong yes that it may take.
        alone, together: standard errors above chance, of the rows at hand and of all windows.
        needed: what one of the two has to exceed.
    """

    number: int
    level: float
    alone: float
    together: float
    needed: float

    @property
    def enough(self) -> bool:
        """Whether the order is more than chance."""
        return self.alone > 0 and max(self.alone, self.together) > self.needed

    @property
    def ranks(self) -> float:
        """What the next look goes on from; twelve digits, as it is part of a digest."""
        return float(f"{self.together * math.sqrt(self.number):.12g}")

    def __str__(self) -> str:
        many = f", {self.together:.2f} over {self.number} windows" if self.number > 1 else ""
        return (
            f"its order is {self.alone:.2f} standard errors better than chance in this window{many}"
            f"; {'more than' if self.enough else 'needs more than'} {self.needed:.2f} at level "
            f"{self.level:.2g}"
        )


def look(known: Comparison, rows: Ranked, fresh: Ranked, alpha: float) -> Look:
    """Whether a first champion's order is more than chance, looked at in window after window.

    The j-th look has the level ``6 / (pi j)^2`` of what the comparison may take, so that all looks
    together keep it. Half of it is for the rows at hand, half for the sum of all windows' standard
    errors over the root of their number (Stouffer et al. 1949): each candidate's rows came after
    all that it had learned, so that by chance alone no window says anything about the next.

    Args:
        known: what windows before have shown.
        rows: of the rows at hand.
        fresh: of those among them that no decision has counted.
        alpha: ``gate.alpha``.
    """
    number = known.windows + 1
    level = known.level(alpha) * 6 / (math.pi * number) ** 2
    together = (known.ranks + fresh.steps) / math.sqrt(number)
    needed = NORMAL.inv_cdf(1 - level / 2)
    return Look(number, level, rows.steps, together, needed)


def ranked(objective: str, y: Floats, scores: Floats, codes: Ints) -> Ranked:
    """How the order of the scores goes with the outcomes.

    Two classes: the correlation of the scores' ranks with the class, which is the area under the
    ROC curve but for the scale (Wilcoxon 1945; Mann and Whitney 1947). A regression: of the scores'
    ranks with those of the targets (Spearman 1904). More classes: the covariances of each class
    with the ranks of its own scores, summed, over what chance lets them vary by.

    The error is what rows that say nothing about one another show by chance, 1 / sqrt(rows - 1)
    whatever the ties (the variance over all permutations), or the sum over blocks, widened for
    their number, if that is larger. The blocks alone would be too sure of a handful of rare rows
    that happen to agree.

    Args:
        y: shape (rows,), class index or target.
        scores: shape (rows,) or (rows, classes).
        codes: shape (rows,), the block of each row.
    """
    import numpy as np

    n = len(y)
    if n < FEWEST:
        return Ranked(0.0, float("inf"))
    if objective == "multiclass":
        ranks = np.stack([midranks(column) for column in scores.T], axis=1)
        truth = np.eye(scores.shape[1])[y.astype(np.int64)]
    else:
        ranks = midranks(scores)[:, None]
        truth = (midranks(y) if objective == "regression" else y)[:, None]
    ranks, truth = ranks - ranks.mean(axis=0), truth - truth.mean(axis=0)
    scale = float(np.sqrt(((ranks.T @ ranks) * (truth.T @ truth)).sum())) / n
    if scale == 0:
        return Ranked(0.0, float("inf"))
    products = (ranks * truth).sum(axis=1) / scale
    value, widened = float(products.mean()), student_quantile(0.99, max(len(set(codes)) - 1, 1))
    error = clustered_error((products - value) / n, codes) * widened / NORMAL.inv_cdf(0.99)
    return Ranked(value, max((n - 1) ** -0.5, error))
