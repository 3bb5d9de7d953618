"""Exact tails of counting distributions, without a statistics package.

>>> round(binomial_sf(3, 100, 0.005), 6)
0.014103
>>> low, high = hypergeometric_tails([0], [65], drawn=1000, rows=6500)
>>> f"{low[0]:.2e} {high[0]:.0f}"
'1.81e-05 1'

Each tail is summed from its largest term on, by the ratio of neighbouring terms, so that small
probabilities keep their digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROUNDING = 1e-9  # far more than the relative error of a sum here
TINY = 1e-300  # below it digits are lost
NEGLIGIBLE = 1e-17  # a term this small beside the sum adds nothing to a double


def binomial_sf(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial count of n trials with rate p.

    Raises:
        ValueError: p is no probability, or n is negative.
    """
    if not 0 <= p <= 1 or n < 0:
        raise ValueError(f"binomial_sf: n {n}, p {p}; expected n >= 0 and 0 <= p <= 1")
    if k <= 0:
        return 1.0
    if k > n or p == 0:
        return 0.0
    if p == 1:
        return 1.0
    if k <= n * p:  # the larger tail: the other one is summed
        return max(0.0, 1.0 - binomial_sf(n - k + 1, n, 1 - p))
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p))
    total, odds = 0.0, p / (1 - p)
    for i in range(k, n + 1):
        total += term
        term *= (n - i) / (i + 1) * odds
        if term < NEGLIGIBLE * total:
            break
    return min(1.0, total)


def fisher(tails: Sequence[float]) -> float:
    """One p-value of several independent ones (Fisher 1932), 0 if any is 0.

    >>> round(fisher([0.05, 0.05]), 4)
    0.0175
    """
    product = math.prod(tails)
    if product <= 0:
        return 0.0
    log, term, total = -math.log(product), 1.0, 0.0
    for i in range(len(tails)):
        total += term
        term *= log / (i + 1)
    return min(1.0, product * total)


def hypergeometric_tails(count: Any, cell: Any, drawn: int, rows: int) -> tuple[Floats, Floats]:
    """P(X <= count) and P(X >= count), X = how many of ``cell`` rows are among those drawn.

    Args:
        count: shape (cells,): drawn rows seen in each cell.
        cell: shape (cells,): rows of each cell.
        drawn: rows drawn without replacement.
        rows: rows they were drawn from.

    Returns:
        Two arrays of shape (cells,).

    Raises:
        ValueError: a count that cannot be.
    """
    import numpy as np

    x, n = np.asarray(count, dtype=np.int64), np.asarray(cell, dtype=np.int64)
    if np.any((x < 0) | (x > n) | (n > rows) | (x > drawn) | (n - x > rows - drawn)):
        raise ValueError("hypergeometric_tails: counts do not fit the cells, expected 0..cell")
    at = _probability(x, n, drawn, rows)
    below = x <= n * (drawn / rows)
    small, above = np.empty(at.shape), ~below
    small[below] = _lower(x[below], n[below], drawn, rows, at[below])
    # The upper tail is the lower tail of the rows that were not drawn.
    small[above] = _lower((n - x)[above], n[above], rows - drawn, rows, at[above])
    large = np.clip(1.0 - small + at, 0.0, 1.0)
    return np.where(below, small, large), np.where(below, large, small)


def hypergeometric_bounds(
    count: Any, cell: Any, drawn: int, rows: int
) -> tuple[Floats, Floats, Floats]:
    """Bounds of both tails of :func:`hypergeometric_tails`, for a fraction of their cost.

    The probability of the count itself is in both tails. Away from the mean the terms shrink faster
    and faster, so that a geometric series is above the tail; the other tail is at most 1. Whoever
    seeks the smallest tail sums only those that can be it.

    Returns:
        Three arrays of shape (cells,): below both tails, above the lower, above the upper one.
    """
    import numpy as np

    x, n = np.asarray(count, dtype=np.int64), np.asarray(cell, dtype=np.int64)
    at = _probability(x, n, drawn, rows)
    low = _geometric(x, n, drawn, rows, at)
    return at * (1 - ROUNDING), low, _geometric(n - x, n, rows - drawn, rows, at)


def _geometric(x: Any, n: Any, drawn: int, rows: int, at: Floats) -> Floats:
    """The tail from ``x`` down if no term were a smaller share of the one before than the first."""
    import numpy as np

    share = x * np.maximum(rows - drawn - n + x, 0.0) / ((n - x + 1.0) * (drawn - x + 1.0))
    shrinks = share < 1
    series = at * (1 + ROUNDING) / np.where(shrinks, 1 - share, 1)
    return np.where(shrinks, np.clip(series, TINY, 1), 1.0)


def _probability(x: Any, n: Any, drawn: int, rows: int) -> Floats:
    import numpy as np

    table = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows + 1)))])  # log factorials

    def choose(a: Any, b: Any) -> Any:
        return table[a] - table[b] - table[a - b]

    return np.asarray(np.exp(choose(n, x) + choose(rows - n, drawn - x) - choose(rows, drawn)))


def _lower(x: Any, n: Any, drawn: int, rows: int, at: Floats) -> Floats:
    """The sum of the probabilities from ``x`` down; meant for x at or below the mean."""
    import numpy as np

    total, term, i = at.copy(), at.copy(), x.astype(np.float64)
    left = np.arange(len(total))  # whose next term may still count; the terms only shrink
    while len(left):
        with np.errstate(divide="ignore", invalid="ignore"):
            term = term * i * (rows - drawn - n + i) / ((n - i + 1) * (drawn - i + 1))
        term = np.where((i > 0) & (term > 0), term, 0.0)
        total[left] += term
        goes_on = term > NEGLIGIBLE * total[left]
        left, term, i, n = left[goes_on], term[goes_on], i[goes_on] - 1, n[goes_on]
    return np.minimum(total, 1.0)
