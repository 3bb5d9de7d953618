"""Counts the control's share of every value and every pair of values, class by class.

>>> found = scan(pool)                                                          # doctest: +SKIP
>>> found.pairs.p, found.pairs.says                                            # doctest: +SKIP
(2.1e-09, 'carrier = YV & dest = SEA, outcome 0: 0 of 130 rows in the control, ...')

A backdoor is a small dense cell of forged rows with one label; a slice attack is a cell whose
labels changed. If the batch is honest, the control's rows in a cell are a draw without replacement
from the cell: the p-value is the exact hypergeometric tail (Fisher's exact test), valid however
small the cell is and however its rows depend on one another.

Pairs are many. They are tested in an order that was fixed without looking at the split: by density
times residual, the lesser of two log likelihood ratios: how much denser the cell is than history
had it, and how far its labels lie from what the champion expects. The cell of rank r is tested at
alpha / (r * H), H the harmonic sum (weighted Bonferroni: Genovese, Roeder & Wasserman 2006), so
that what looks planted costs little and the long tail stays covered.

Two more cells look at rows as wholes: rows that are there several times under keys of their own,
and rows with values that no earlier row held, where such values are rare (a trigger that is never
twice the same is always new). They are few, so they cost little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.validate.duplicates import twins
from ratchet.validate.pooled import codes, crossed
from ratchet.validate.tails import hypergeometric_bounds, hypergeometric_tails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.validate.pooled import Coded, Pool

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SMALLEST = 8  # rows of a cell that is looked at
ODD = 1.5  # standard deviations from which a cell's exact tail is worth its cost
LARGEST_TABLE = 4_000_000  # cells of one pair; categories by the thousand squared are left out
RARELY_NEW = 0.1  # share of rows up to which a feature's new values are a mark of their own
MOST_FEATURES = 60  # of which all pairs are scanned; the rest alone


@dataclass(frozen=True, eq=False)
class Worst:
    """The cell of one kind with the smallest p-value.

    Attributes:
        p: corrected for all cells of the kind.
        says: the cell in words.
        rows: shape (rows of the pool,): its rows.
    """

    p: float
    says: str
    rows: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scan:
    """What the scan found: of single values, of pairs of values, of rows as wholes.

    ``cells`` is how many were tested.
    """

    singles: Worst
    pairs: Worst
    wholes: Worst
    cells: int

    @property
    def worst(self) -> Worst:
        """The worst of all three kinds; its p-value is not corrected for their number."""
        return min((self.singles, self.pairs, self.wholes), key=lambda found: found.p)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of one or two columns: ids and counts, one entry a non-empty cell and outcome."""

    columns: tuple[int, ...]
    key: Ints  # cell * outcomes + outcome
    total: Ints  # rows of the pool
    drawn: Ints  # of these, the control's
    score: Floats  # density times residual, blind to the split


def scan(pool: Pool) -> Scan:
    """Test every value and every pair of values, as the module's docstring says.

    Without earlier rows in the pool the order of pairs goes by residual alone.
    """
    import numpy as np

    both = np.concatenate([pool.values, pool.older])
    coded = [codes(both[:, i], kind) for i, kind in enumerate(pool.kinds)]
    outcomes = int(pool.outcome.max()) + 1 if pool.rows else 1
    features = len(coded)
    coded += _wholes(pool)
    counter = _Counter(pool, coded, outcomes)
    first = list(range(min(features, MOST_FEATURES)))
    pairs = [
        counter.count((i, j))
        for i in first
        for j in first[i + 1 :]
        if coded[i][1] * coded[j][1] * outcomes <= LARGEST_TABLE
    ]
    singles = [counter.count((i,)) for i in range(features)]
    wholes = [counter.odd(i) for i in range(features, len(coded))]
    return Scan(
        _worst(counter, singles),
        _worst(counter, pairs, ranked=True),
        _worst(counter, wholes, lower_only=True),
        sum(len(c.key) for c in (*singles, *pairs, *wholes)),
    )


class _Counter:
    """Counts cells over the pool and over history."""

    def __init__(self, pool: Pool, coded: list[Coded], outcomes: int) -> None:
        import numpy as np

        self.pool, self.outcomes = pool, outcomes
        self.older = len(pool.older)
        self.drawn = np.flatnonzero(pool.control)
        self.control = len(self.drawn)
        # Without a champion every row has the same variance: sums of so many, added one by one.
        even = len(pool.variance) and np.ptp(pool.variance) == 0
        self.sums = np.cumsum(pool.variance) if even else None
        # Nor has it a residual but that of its outcome, so that counts alone add it up.
        usual = np.zeros(outcomes)
        usual[pool.outcome] = pool.residual
        self.usual = usual if np.array_equal(usual[pool.outcome], pool.residual) else None
        self.mine = [(code[: pool.rows], n) for code, n in coded]
        self.keyed = [(code * outcomes + pool.outcome, n * outcomes) for code, n in self.mine]
        self.before = [(code[pool.rows :], n) for code, n in coded]

    def key_of(self, columns: tuple[int, ...]) -> Coded:
        """cell * outcomes + outcome of each row of the pool, and how many there could be."""
        *others, last = columns
        return crossed([*(self.mine[i] for i in others), self.keyed[last]])

    def rows_of(self, columns: tuple[int, ...], key: int) -> NDArray[np.bool_]:
        """Mask over the pool of the rows of one cell and outcome."""
        import numpy as np

        return np.asarray(self.key_of(columns)[0] == key, dtype=bool)

    def count(self, columns: tuple[int, ...]) -> _Cells:
        """Every cell of these columns with rows enough."""
        import numpy as np

        pool, k = self.pool, self.outcomes
        key, size = self.key_of(columns)
        total = np.bincount(key, minlength=size)
        kept = np.flatnonzero(total >= SMALLEST)
        drawn = np.bincount(key[self.drawn], minlength=size)[kept]
        if len(columns) == 1 or len(kept) == 0:
            return _Cells(columns, kept, total[kept], drawn, np.zeros(len(kept)))
        cells = kept // k

        def of_cells(values: Ints | Floats) -> Ints | Floats:
            return values.reshape(-1, k)[cells]

        counts = of_cells(total)
        rows = counts.sum(axis=1)
        if self.usual is not None:
            residual = counts @ self.usual
        else:
            residual = of_cells(np.bincount(key, pool.residual, minlength=size)).sum(axis=1)
        if self.sums is not None:
            variance = self.sums[rows - 1]
        else:
            variance = of_cells(np.bincount(key, pool.variance, minlength=size)).sum(axis=1)
        surprise = residual**2 / (variance + variance / rows) / 2
        score = np.minimum(surprise, self._density(columns, cells, rows))
        return _Cells(columns, kept, total[kept], drawn, score)

    def odd(self, column: int) -> _Cells:
        """The cells of one column but for code 0, which stands for ordinary rows."""
        found = self.count((column,))
        kept = found.key >= self.outcomes
        return _Cells(
            found.columns,
            found.key[kept],
            found.total[kept],
            found.drawn[kept],
            found.score[kept],
        )

    def _density(self, columns: tuple[int, ...], cells: Ints, rows: Ints) -> Floats:
        """Log likelihood ratio of the cell's rows against its share of history, 0 if thinner."""
        import numpy as np

        if self.older == 0:
            return np.full(len(cells), np.inf)
        cell, size = crossed([self.before[i] for i in columns])
        before = np.bincount(cell, minlength=size)[cells]
        expected = (before + 1) * self.pool.rows / (self.older + 1)
        ratio = rows * np.log(np.maximum(rows / expected, 1.0)) - np.maximum(rows - expected, 0)
        return np.asarray(ratio, dtype=np.float64)


def _wholes(pool: Pool) -> list[Coded]:
    """Codes of whole rows, 0 for ordinary ones: copies, where keys tell rows apart; new values."""
    return [(_copies(pool), 3), (_new_values(pool), 4)]


def _new_values(pool: Pool) -> Ints:
    """In how many features a row holds a value that no earlier row held: 0, 1, 2, or 3 for more.

    Only features count in which such values are rare; a measurement with digits is always new.
    """
    import numpy as np

    out = np.zeros(pool.rows + len(pool.older), dtype=np.int64)
    for i in range(len(pool.names)):
        column = pool.values[:, i]
        new = ~np.isnan(column) & ~np.isin(column, pool.older[:, i])
        if len(pool.older) and new.mean() <= RARELY_NEW:
            out[: pool.rows] += new
    return np.minimum(out, 3)


def _copies(pool: Pool) -> Ints:
    """How many other rows of the pool hold the very same values and label: 0, 1, or 2 for more.

    Rows that were multiplied under new keys are in the rest alone.
    """
    import numpy as np

    out = np.zeros(pool.rows + len(pool.older), dtype=np.int64)
    if not pool.disjoint:
        return out
    out[: pool.rows] = np.minimum(twins([*pool.values.T, pool.labels]), 2)
    return out


def _worst(
    counter: _Counter, found: list[_Cells], ranked: bool = False, lower_only: bool = False
) -> Worst:
    """The smallest corrected p-value; ``lower_only`` asks only whether the control has too few."""
    import numpy as np

    pool = counter.pool
    nothing = Worst(1.0, "no cell stands out", np.zeros(pool.rows, dtype=bool))
    sizes = np.array([len(c.key) for c in found], dtype=np.int64)
    if sizes.sum() == 0:
        return nothing
    total = np.concatenate([c.total for c in found])
    drawn = np.concatenate([c.drawn for c in found])
    weight = np.full(len(total), float(len(total)))
    if ranked:
        order = np.argsort(-np.concatenate([c.score for c in found]), kind="stable")
        weight[order] = np.arange(1, len(total) + 1) * np.sum(1 / np.arange(1, len(total) + 1))
    share = float(pool.control.mean())
    off = np.abs(drawn - total * share) / np.sqrt(total * share * (1 - share) + 1e-9)
    odd = np.flatnonzero(off > ODD)  # the others cannot be the smallest of so many
    if len(odd) == 0:
        return nothing
    least, low, high = hypergeometric_bounds(drawn[odd], total[odd], counter.control, pool.rows)
    most = (low if lower_only else 2 * np.minimum(low, high)) * weight[odd]
    odd = odd[(1 if lower_only else 2) * least * weight[odd] <= most.min()]  # can be the smallest
    low, high = hypergeometric_tails(drawn[odd], total[odd], counter.control, pool.rows)
    corrected = (low if lower_only else 2 * np.minimum(low, high)) * weight[odd]
    best = int(odd[np.argmin(corrected)])
    block = int(np.searchsorted(np.cumsum(sizes), best, side="right"))
    cell, place = found[block], best - int(sizes[:block].sum())
    mask = counter.rows_of(cell.columns, int(cell.key[place]))
    says = _words(pool, cell, place, counter.outcomes, mask)
    return Worst(float(min(1.0, corrected.min())), says, mask)


def _words(pool: Pool, cell: _Cells, place: int, outcomes: int, mask: NDArray[np.bool_]) -> str:
    """Such as ``carrier = YV & dest = SEA, outcome 0: 0 of 130 rows in the control``."""
    several = int(cell.key[place]) // outcomes
    wholes = (f"{several + 1} identical rows", f"{several} values that no earlier row held")
    columns = [
        pool.words(i, mask) if i < len(pool.names) else wholes[i - len(pool.names)]
        for i in cell.columns
    ]
    total, drawn = int(cell.total[place]), int(cell.drawn[place])
    expected = total * float(pool.control.mean())
    return (
        f"{' & '.join(columns)}, outcome {int(cell.key[place]) % outcomes}: {drawn} of {total:,} "
        f"rows in the control, {expected:.1f} expected"
    )
