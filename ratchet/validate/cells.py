"""Counts the control's share of every value and every pair of values, class by class.

>>> found = scan(pool)                                                          # doctest: +SKIP
>>> found.singles, found.pairs, found.worst                                     # doctest: +SKIP
(0.41, 2.1e-09, 'carrier = YV & dest = SEA, outcome 0: 0 of 130 rows in the control, ...')

A backdoor is a small dense cell of forged rows with one label; a slice attack is a cell whose
labels changed. If the batch is honest, the control's rows in a cell are a draw without replacement
from the cell: the p-value is the exact hypergeometric tail (Fisher's exact test), valid however
small the cell is and however its rows depend on one another.

Pairs are many. They are tested in an order that was fixed without looking at the split: by density
times residual, the lesser of two log likelihood ratios: how much denser the cell is than history
had it, and how far its labels lie from what the champion expects. The cell of rank r is tested at
alpha / (r * H), H the harmonic sum (weighted Bonferroni: Genovese, Roeder & Wasserman 2006), so
that what looks planted costs little and the long tail stays covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.validate.pooled import codes
from ratchet.validate.tails import hypergeometric_tails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.validate.pooled import Pool

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SMALLEST = 8  # rows of a cell that is looked at
ODD = 1.5  # standard deviations from which a cell's exact tail is worth its cost
LARGEST_TABLE = 4_000_000  # cells of one pair; categories by the thousand squared are left out
MOST_FEATURES = 60  # of which all pairs are scanned; the rest alone


@dataclass(frozen=True, eq=False)
class Scan:
    """What the scan found.

    Attributes:
        singles: p-value over all single values, corrected.
        pairs: p-value over all pairs of values, corrected.
        worst: the cell with the smallest p-value, in words.
        rows: shape (rows of the pool,): the rows of that cell.
        cells: how many cells were tested.
    """

    singles: float
    pairs: float
    worst: str
    rows: NDArray[np.bool_]
    cells: int


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
    if pool.disjoint:
        coded.append((_copies(pool), 4))
    outcomes = int(pool.outcome.max()) + 1 if pool.rows else 1
    counter = _Counter(pool, coded, outcomes)
    singles = [counter.count((i,)) for i in range(len(coded))]
    first = list(range(min(len(pool.kinds), MOST_FEATURES)))
    pairs = [
        counter.count((i, j))
        for i in first
        for j in first[i + 1 :]
        if coded[i][1] * coded[j][1] * outcomes <= LARGEST_TABLE
    ]
    alone, where_alone = _corrected(pool, singles, ranked=False)
    paired, where_paired = _corrected(pool, pairs, ranked=True)
    if where_alone is None and where_paired is None:
        return Scan(1.0, 1.0, "no cell has rows enough", np.zeros(pool.rows, dtype=bool), 0)
    chosen = where_paired if paired < alone and where_paired is not None else where_alone
    assert chosen is not None  # noqa: S101  one of both is there
    cell, place = chosen
    mask = counter.rows_of(cell.columns, int(cell.key[place]))
    worst = _words(pool, cell, place, outcomes, mask)
    tested = sum(len(c.key) for c in (*singles, *pairs))
    return Scan(alone, paired, worst, mask, tested)


class _Counter:
    """Counts cells over the pool and over history."""

    def __init__(self, pool: Pool, coded: list[tuple[Ints, int]], outcomes: int) -> None:
        self.pool, self.coded, self.outcomes = pool, coded, outcomes
        self.older = len(pool.older)

    def cell_of(self, columns: tuple[int, ...]) -> tuple[Ints, int]:
        """Each row's cell (pool first, then history), and how many cells there could be."""
        import numpy as np

        cell, size = np.zeros(self.pool.rows + self.older, dtype=np.int64), 1
        for i in columns:
            column, n = self.coded[i]
            cell, size = cell * n + column, size * n
        return cell, size

    def rows_of(self, columns: tuple[int, ...], key: int) -> NDArray[np.bool_]:
        """Mask over the pool of the rows of one cell and outcome."""
        import numpy as np

        cell, _ = self.cell_of(columns)
        mine = cell[: self.pool.rows] * self.outcomes + self.pool.outcome
        return np.asarray(mine == key, dtype=bool)

    def count(self, columns: tuple[int, ...]) -> _Cells:
        """Every cell of these columns with rows enough."""
        import numpy as np

        pool, k = self.pool, self.outcomes
        cell, size = self.cell_of(columns)
        mine = cell[: pool.rows]
        keyed = mine * k + pool.outcome
        total = np.bincount(keyed, minlength=size * k)
        kept = np.flatnonzero(total >= SMALLEST)
        drawn = np.bincount(keyed[pool.control], minlength=size * k)[kept]
        if len(columns) == 1 or len(kept) == 0:
            return _Cells(columns, kept, total[kept], drawn, np.zeros(len(kept)))
        cells = kept // k
        rows = np.bincount(mine, minlength=size)[cells]
        residual = np.bincount(mine, pool.residual, minlength=size)[cells]
        variance = np.bincount(mine, pool.variance, minlength=size)[cells]
        surprise = residual**2 / (variance + variance / rows) / 2
        return _Cells(
            columns,
            kept,
            total[kept],
            drawn,
            np.minimum(surprise, self._density(cell, cells, rows)),
        )

    def _density(self, cell: Ints, cells: Ints, rows: Ints) -> Floats:
        """Log likelihood ratio of the cell's rows against its share of history, 0 if thinner."""
        import numpy as np

        if self.older == 0:
            return np.full(len(cells), np.inf)
        before = np.bincount(cell[self.pool.rows :], minlength=int(cell.max()) + 1)[cells]
        expected = (before + 1) * self.pool.rows / (self.older + 1)
        ratio = rows * np.log(np.maximum(rows / expected, 1.0)) - np.maximum(rows - expected, 0)
        return np.asarray(ratio, dtype=np.float64)


def _copies(pool: Pool) -> Ints:
    """How many rows of the pool hold the very same values and label: 1, 2, or 3 for more.

    Rows that were multiplied under new keys are in the rest alone.
    """
    import numpy as np

    whole = np.ascontiguousarray(
        np.column_stack([np.nan_to_num(pool.values, nan=-1e300), pool.labels])
    )
    as_bytes = whole.view([("row", f"V{whole.dtype.itemsize * whole.shape[1]}")]).ravel()
    _, inverse, counts = np.unique(as_bytes, return_inverse=True, return_counts=True)
    copies = np.minimum(counts[inverse], 3)
    return np.concatenate([copies, np.ones(len(pool.older), dtype=np.int64)])


def _corrected(
    pool: Pool, found: list[_Cells], ranked: bool
) -> tuple[float, tuple[_Cells, int] | None]:
    """The smallest corrected p-value, and which cell has it."""
    import numpy as np

    sizes = np.array([len(c.key) for c in found], dtype=np.int64)
    if sizes.sum() == 0:
        return 1.0, None
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
        return 1.0, None
    low, high = hypergeometric_tails(drawn[odd], total[odd], int(pool.control.sum()), pool.rows)
    corrected = 2 * np.minimum(low, high) * weight[odd]
    best = int(odd[np.argmin(corrected)])
    block = int(np.searchsorted(np.cumsum(sizes), best, side="right"))
    place = best - int(sizes[:block].sum())
    return float(min(1.0, corrected.min())), (found[block], place)


def _words(pool: Pool, cell: _Cells, place: int, outcomes: int, mask: NDArray[np.bool_]) -> str:
    """Such as ``carrier = YV & dest = SEA, outcome 0: 0 of 130 rows in the control``."""
    columns = [
        pool.words(i, mask) if i < len(pool.names) else "several identical rows"
        for i in cell.columns
    ]
    total, drawn = int(cell.total[place]), int(cell.drawn[place])
    expected = total * float(pool.control.mean())
    return (
        f"{' & '.join(columns)}, outcome {int(cell.key[place]) % outcomes}: {drawn} of {total:,} "
        f"rows in the control, {expected:.1f} expected"
    )
