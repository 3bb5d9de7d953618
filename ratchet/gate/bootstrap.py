"""Confidence bounds on means of rows that depend on one another in time.

>>> import numpy as np
>>> blocks = draw(np.arange(1000), blocks=50, resamples=500, seed=(1,))
>>> bounds(np.full(1000, 0.25), blocks, alpha=0.05)
Bounds(point=0.25, lower=0.25, upper=0.25)

Promise: the same rows give the same bounds, in whatever order they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.betting import FEWEST
from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.metrics import student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Bounds(NamedTuple):
    """A mean and its one-sided confidence bounds, each at the level asked for."""

    point: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows cut into contiguous blocks of event time, and resamples of the blocks.

    Attributes:
        codes: shape (rows,): the block of each row, from 0; rows of one event time stay together.
        count: how many blocks.
        weights: shape (resamples, count): how often each resample holds each block.
    """

    codes: Ints
    count: int
    weights: Floats


def draw(events: Ints, blocks: int, resamples: int, seed: tuple[int, ...]) -> Blocks:
    """Blocks of about equally many rows, and resamples of them with replacement.

    Rows near in time share what made them hard (a storm, a campaign), so whole blocks are drawn,
    not rows: the block bootstrap (Kuensch 1989; Efron and Tibshirani 1993, section 8.6).

    Args:
        events: shape (rows,), ticks.
        blocks: how many at most; fewer where few event times differ.
        resamples: how many.
        seed: numbers of 0 or more.
    """
    import numpy as np

    codes = equal_mass(events, blocks)
    count = int(codes.max()) + 1 if len(codes) else 0
    random = np.random.default_rng(seed)
    shares = np.full(count, 1.0 / count) if count else np.zeros(0)
    drawn = random.multinomial(count, shares, size=resamples) if count else np.zeros((resamples, 0))
    return Blocks(codes, count, drawn.astype(np.float64))


def bounds(values: Floats, blocks: Blocks, alpha: float) -> Bounds:
    """Bounds on the mean of ``values``, shape (rows,), by the expanded percentile interval.

    Percentiles of the resampled means, at a level widened for the number of blocks:
    ``Phi(sqrt(n/(n-1)) t(alpha, n-1))`` (Hesterberg 2015, section 3.4), because the plain
    percentiles of 5 to 50 blocks are too narrow.
    """
    import numpy as np

    n = blocks.count
    sums, rows = np.bincount(blocks.codes, values, n), np.bincount(blocks.codes, minlength=n)
    means = (blocks.weights @ sums) / (blocks.weights @ rows)
    level = NormalDist().cdf((n / (n - 1)) ** 0.5 * student_quantile(alpha, n - 1))
    lower, upper = np.quantile(means, [level, 1 - level])
    return Bounds(float(sums.sum() / rows.sum()), float(lower), float(upper))


def standard_errors(sums: Floats, rows: Floats, blocks: Blocks) -> Floats:
    """Bootstrap standard errors of several means at once.

    Args:
        sums, rows: shape (blocks, groups): sum of values and number of rows of each group.
        blocks: the resamples.

    Returns:
        Shape (groups,); infinite for a group that occurs in fewer than :data:`FEWEST` blocks.
    """
    import numpy as np

    drawn_sums, drawn_rows = blocks.weights @ sums, blocks.weights @ rows
    mean = sums.sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
    means = np.where(drawn_rows > 0, drawn_sums / np.maximum(drawn_rows, 1), mean)
    held = (rows > 0).sum(axis=0)
    widened = means.std(axis=0) * np.sqrt(held / np.maximum(held - 1, 1))
    return np.asarray(np.where(held >= FEWEST, widened, np.inf), dtype=np.float64)
