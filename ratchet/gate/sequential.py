"""Is the candidate better than the champion? One question, asked at every window, answered once.

>>> import numpy as np
>>> gains = np.random.default_rng(1).normal(0.03, 0.03, 28)   # of blocks of event time
>>> after = bet(Comparison(champion=3), gains, judged_before=700)
>>> after.evidence > 1 / after.level(0.05)
True

A test of each window by itself has a chance of alpha a window, so over a year it promotes what is
no better. Here one bettor follows a champion for as long as it serves, and bets at each block of
event time that the candidate's loss is smaller there. Where no candidate is better, no way of
betting makes a profit: the chance that the capital ever reaches 1 / level is at most the level
(Ville 1939; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
betting"; Choe and Ramdas 2024, "Comparing sequential forecasters"). So looking at every window
costs nothing.

**What is claimed.** The null of one comparison: no candidate that came up while this champion
served is better than it, given what was known before. A promotion rejects it. The level belongs to
the comparison; where it ends in a promotion it is handed on whole, because a right rejection cost
nothing and after a wrong one there is nothing left to lose (online fallback, Tian and Ramdas 2021).
A comparison that ended otherwise (a rollback) has used it up: the j-th gets ``alpha 6 / (pi j)^2``,
and these sum to alpha. So the chance that a pipeline, in all its life, promotes while no candidate
is better than its champion is at most alpha. That the newest candidate is like those before it, is
assumed; its own window has to speak for it too.

**Dependence.** A block is one observation. Blocks that still lean on one another count for less:
each window's profit is raised to the power of 1 / (long-run variance / variance), as measured on
windows before. **Size.** A block's gain comes in units of how much the two models disagree there,
known before its labels, and bets are made in units of the standard deviation of earlier blocks. A
row's log loss is at most 16.1 nats (probabilities are clipped at 1e-7); a block's gain counts for
at most :data:`CAP` units, which can only lose evidence; a loss counts in full until a bet is
bankrupt.

Promise: a pure function of the state before and of rows that no decision has counted yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ratchet.gate.bootstrap import FEWEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BETS = (0.0, 0.1, 0.2, 1 / 3)  # shares of the capital, a unit of gain; 0 keeps it for later
SHARE = 0.2  # of the capital that is dealt out anew among the bets after each window
CAP = 3.0  # units that one block may gain
MEMORY = 14  # blocks that an earlier variance counts for
DECAY = 0.95  # a window: how fast earlier variances are forgotten at least
LEAN_AT_FIRST, LEAN_BLOCKS = 0.3, 28  # correlation of neighbours, before so many have shown it
LEAST_LEAN, MOST_LEAN, LONGEST = 0.2, 0.9, 280  # windows have shocks that neighbours hardly show


@dataclass(frozen=True)
class Comparison:
    """What is known so far about candidates against one champion.

    Attributes:
        champion: its version; None before there is one.
        number: 1 and how many comparisons ended without a promotion; it decides the level.
        capital: of each of :data:`BETS`; they begin with 1 together.
        judged_before: tick; rows of earlier events were counted, in this comparison or another.
        windows: how many have been counted.
        blocks: how many blocks the variance comes from.
        variance: of a block's gain.
        covariance: of the gains of neighbouring blocks.
    """

    champion: int | None = None
    number: int = 1
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

    def level(self, alpha: float) -> float:
        """The chance of a wrong promotion that this comparison may take."""
        return alpha * 6 / (math.pi * self.number) ** 2

    def against(self, champion: int | None, *, promoted: bool) -> Comparison:
        """The comparison with another champion; itself where the champion stayed.

        ``promoted`` says whether the change was a gated promotion, which hands the level on.
        """
        if champion == self.champion:
            return self
        fresh = replace(self, champion=champion, capital=Comparison().capital, windows=0)
        return fresh if promoted else replace(fresh, number=self.number + 1)

    @classmethod
    def resumed(
        cls, kept: Mapping[str, Any], decided: int | None, serves: int | None
    ) -> Comparison:
        """The comparison with the champion that serves now.

        Args:
            kept: :meth:`as_json` as the last decision keeps it; empty before the first.
            decided: the champion that the last decision left: a gated promotion if it is new.
            serves: the champion now. Another one was put there without a decision (an alias moved
                by hand, a rollback), so a comparison ended without a promotion.
        """
        return cls.from_json(kept).against(decided, promoted=True).against(serves, promoted=False)

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict, as decisions keep it."""
        return {**asdict(self), "capital": list(self.capital)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Comparison:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in value.items() if k in known}
        return cls(**{**kept, "capital": tuple(kept.get("capital", cls().capital))})


def bet(before: Comparison, gains: Floats, judged_before: int) -> Comparison:
    """The comparison after one more window.

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


def _in_units(before: Comparison, gains: Floats) -> Floats:
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


def _learn(before: Comparison, gains: Floats) -> Comparison:
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
