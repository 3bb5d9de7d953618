"""Betting that one model's loss is smaller than another's: an e-process, in state and in steps.

>>> import numpy as np
>>> gains = np.random.default_rng(1).normal(0.03, 0.03, 28)   # of blocks of event time
>>> bet(Bettor(), gains, judged_before=700).evidence > 8
True

Each block of event time is a bet, in units that are known before its labels. Where the model is no
better, no way of betting makes a profit: the chance that the capital ever reaches 1 / level is at
most the level (Ville 1939; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting"; Choe and Ramdas 2024, "Comparing sequential forecasters"). The gate bets on
candidates so, the search on mutations of a recipe.

Promise: a pure function of the state before and of rows that were not counted yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.metrics import CLIP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

FEWEST = 5  # blocks; with fewer, no bound means anything
BETS = (0.0, 0.1, 0.2, 1 / 3)  # shares of the capital, a unit of gain; 0 keeps it for later
SHARE = 0.2  # of the capital that is dealt out anew among the bets after each window
CAP = 3.0  # units that one block may gain
MEMORY = 14  # blocks that an earlier variance counts for
DECAY = 0.95  # a window: how fast earlier variances are forgotten at least
LEAN_AT_FIRST, LEAN_BLOCKS = 0.3, 28  # correlation of neighbours, before so many have shown it
LEAST_LEAN, MOST_LEAN, LONGEST = 0.2, 0.9, 280  # windows have shocks that neighbours hardly show


@dataclass(frozen=True, kw_only=True)
class Bettor:
    """What is known so far about one question.

    Attributes:
        capital: of each of :data:`BETS`; they begin with 1 together.
        judged_before: tick; rows of earlier events were counted, for this question or another.
        windows: how many have been counted.
        blocks: how many blocks the variance comes from.
        variance: of a block's gain.
        covariance: of the gains of neighbouring blocks.
    """

    capital: tuple[float, ...] = (1 / len(BETS),) * len(BETS)
    judged_before: int | None = None
    windows: int = 0
    blocks: int = 0
    variance: float = 0.0
    covariance: float = 0.0

    @property
    def evidence(self) -> float:
        """The capital: an e-value against "no candidate is better"."""
        return math.fsum(self.capital)

    @property
    def lean(self) -> float:
        """Long-run variance over variance, 1 or more, as of a first-order autoregression."""
        seen = min(self.blocks, LONGEST)
        measured = self.covariance / self.variance if self.variance > 0 else 0.0
        rho = (LEAN_BLOCKS * LEAN_AT_FIRST + seen * measured) / (LEAN_BLOCKS + seen)
        rho = min(max(rho, LEAST_LEAN), MOST_LEAN)
        return (1 + rho) / (1 - rho)


AnyBettor = TypeVar("AnyBettor", bound=Bettor)


def bet(before: AnyBettor, gains: Floats, judged_before: int) -> AnyBettor:
    """The state after one more window.

    Args:
        before: the state so far.
        gains: shape (blocks,), in order of event time: mean of champion's loss - candidate's of
            rows that were not counted before, in any unit that is known before the labels.
        judged_before: tick up to which rows are counted now.
    """
    import numpy as np

    if not len(gains):
        return before
    units = _in_units(before, gains)
    profit = np.maximum(1 + np.outer(BETS, units), 0.0).prod(axis=1) ** (1 / before.lean)
    capital = np.asarray(before.capital) * profit
    capital = np.minimum((1 - SHARE) * capital + SHARE * capital.mean(), 1e100)
    return replace(
        _learn(before, gains),
        capital=tuple(_short(c) for c in capital),
        judged_before=judged_before,
        windows=before.windows + 1,
    )


def _in_units(before: Bettor, gains: Floats) -> Floats:
    """Gains over the standard deviation of the blocks before each; 0 while that is not known."""
    import numpy as np

    count = np.arange(len(gains))
    sums = np.concatenate([[0.0], np.cumsum(gains)[:-1]])
    squares = np.concatenate([[0.0], np.cumsum(gains**2)[:-1]])
    scatter = np.maximum(squares - sums**2 / np.maximum(count, 1), 0.0)
    weight = min(before.blocks, MEMORY)
    freedom = weight + np.maximum(count - 1, 0)
    variance = (weight * before.variance + scatter) / np.maximum(freedom, 1)
    known = (before.blocks + count >= FEWEST) & (variance > 0)
    units = gains / np.sqrt(np.where(known, variance, 1.0))
    return np.where(known, np.minimum(units, CAP), 0.0)


def _learn(before: AnyBettor, gains: Floats) -> AnyBettor:
    """Variance and covariance of blocks, for the windows to come."""
    n = len(gains)
    if n < FEWEST:
        return before
    centred = gains - gains.mean()
    variance = float((centred**2).sum() / (n - 1))
    # The mean of the same few blocks was taken off, which makes neighbours look less alike.
    covariance = float((centred[1:] * centred[:-1]).mean()) + variance / n
    new = max(n / (before.blocks + n), 1 - DECAY)
    return replace(
        before,
        blocks=before.blocks + n,
        variance=_short(before.variance + new * (variance - before.variance)),
        covariance=_short(before.covariance + new * (covariance - before.covariance)),
    )


def _short(value: float) -> float:
    """Twelve digits: the last ones differ between machines, and the state is part of a digest."""
    return float(f"{value:.12g}")


def count(
    before: AnyBettor, events: Ints, gains: Floats, noise: Floats, blocks: int, least: float = 0.0
) -> AnyBettor:
    """The state after the rows that it has not counted yet.

    A block's gain is taken in units of what the models' disagreement lets expect, so that one loud
    day does not drown ten quiet ones (weights by precision).

    Args:
        before: the state so far.
        events: shape (rows,), ticks.
        gains: shape (rows,), one model's loss less the other's.
        noise: shape (rows,), from :func:`disagreement`.
        blocks: of all these rows; of those that are new their share of it.
        least: the mean gain that has to be shown.
    """
    import numpy as np

    fresh = events >= (before.judged_before if before.judged_before is not None else -np.inf)
    if not fresh.any():
        return before
    many = max(FEWEST, round(blocks * float(fresh.mean())))
    means = block_means(events[fresh], gains[fresh], many) - least
    units = np.sqrt(block_means(events[fresh], noise[fresh], many))
    means = np.divide(means, units, np.zeros_like(means), where=units > 0)
    return bet(before, means, seen_until(before, events))


def seen_until(known: Bettor, events: Ints) -> int:
    """Tick up to which rows are counted, once these are."""
    return max(int(events.max()) + 1, known.judged_before or 0)


def block_means(events: Ints, values: Floats, blocks: int) -> Floats:
    """Means of ``values``, shape (rows,), in blocks of event time, in order; at most ``blocks``."""
    import numpy as np

    codes = equal_mass(events, blocks)
    return np.asarray(np.bincount(codes, values) / np.bincount(codes), dtype=np.float64)


def disagreement(objective: str, candidate: Floats, champion: Floats) -> Floats:
    """Variance of each row's difference in loss, up to a factor, if the truth lies between the two.

    Known before any label. Both scores have shape (rows,) or (rows, classes); the result (rows,).
    """
    import numpy as np

    if objective == "regression":
        return np.asarray((candidate - champion) ** 2, dtype=np.float64)
    if objective == "binary":
        candidate, champion = (np.stack([1 - s, s], axis=1) for s in (candidate, champion))
    middle = (candidate + champion) / 2
    ratio = np.log(np.clip(candidate, CLIP, 1)) - np.log(np.clip(champion, CLIP, 1))
    mean = (middle * ratio).sum(axis=1)
    return np.asarray((middle * (ratio - mean[:, None]) ** 2).sum(axis=1), dtype=np.float64)
