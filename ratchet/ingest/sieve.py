"""Sets rows apart, each with the first check that it failed.

>>> sieve = Sieve(3)
>>> sieve.drop(np.array([False, True, True]), "time", "no event time")
>>> sieve.kept.tolist()
[True, False, False]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cause:
    """A check, the sentence about it, and the column whose value the sentence ends with."""

    check: str
    reason: str
    column: str | None = None


class Sieve:
    """Which of ``n`` rows failed which check first."""

    def __init__(self, n: int) -> None:
        self._cause = np.zeros(n, dtype=np.int32)  # 0: kept; i: causes[i - 1]
        self.causes: list[Cause] = []

    def drop(self, mask: Any, check: str, reason: str, column: str | None = None) -> None:
        """Set apart the rows where ``mask`` (shape (n,), bool) holds, unless they already are."""
        new = np.asarray(mask, dtype=bool) & (self._cause == 0)
        if new.any():
            self.causes.append(Cause(check, reason, column))
            self._cause[new] = len(self.causes)

    @property
    def kept(self) -> Mask:
        """Shape (n,): True where no check failed."""
        return np.equal(self._cause, 0)

    def dropped(self) -> list[tuple[int, Cause]]:
        """(position, cause) of each row that was set apart, by position."""
        where = np.flatnonzero(self._cause)
        return [(int(i), self.causes[self._cause[i] - 1]) for i in where]
