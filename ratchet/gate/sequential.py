"""Is the candidate better than the champion? One question, asked at every window, answered once.

>>> import numpy as np
>>> from ratchet.contracts.betting import bet
>>> gains = np.random.default_rng(1).normal(0.03, 0.03, 28)   # of blocks of event time
>>> after = bet(Comparison(champion=3), gains, judged_before=700)
>>> after.evidence > 8
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

How the bettor bets: :mod:`ratchet.contracts.betting`.

Promise: a pure function of the state before and of rows that no decision has counted yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ratchet.contracts.betting import Bettor


@dataclass(frozen=True)
class Comparison(Bettor):
    """What is known so far about candidates against one champion; and as :class:`Bettor`.

    Attributes:
        champion: its version; None before there is one.
        number: 1 and how many comparisons ended without a promotion; it decides the level.
        ranks: before there is a champion, how far the order of the candidates' scores was better
            than chance, in standard errors, summed over the windows.
    """

    champion: int | None = None
    number: int = 1
    ranks: float = 0.0

    def level(self, alpha: float) -> float:
        """The chance of a wrong promotion that this comparison may take."""
        return alpha * 6 / (math.pi * self.number) ** 2

    def against(self, champion: int | None, *, promoted: bool) -> Comparison:
        """The comparison with another champion; itself where the champion stayed.

        ``promoted`` says whether the change was a gated promotion, which hands the level on.
        """
        if champion == self.champion:
            return self
        fresh = replace(self, champion=champion, capital=Comparison().capital, windows=0, ranks=0.0)
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
