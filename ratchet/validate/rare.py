"""The rare values, and pairs of values, of a pool whose rows a model scores unlike the others.

>>> cells = rare_cells(pool, scored, link, fewest=8)                            # doctest: +SKIP
>>> cells[0].values                                                             # doctest: +SKIP
{'carrier': 'YV'}

Every value and every pair is counted once, over the rows that were scored; rows and exact values
are looked up, in all rows, for those alone that are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ratchet.validate.cells import LARGEST_TABLE, MOST_FEATURES
from ratchet.validate.pooled import codes, crossed, ranks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.validate.pooled import Coded, Pool

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    _Exact = tuple[Ints, Floats]
    _Ranked = tuple[float, tuple[int, ...], int]

VALUES, PAIRS = 1000, 150  # that are chosen at most
RARE = 0.02  # of the rows: what more of them hold is no trigger
LUCK = 0.5  # of the rows that a cell ought to have among those scored: fewer are bad luck


@dataclass(frozen=True, eq=False)
class Cell:
    """One or two columns, the places of its rows in the pool, and the values that most of them
    hold, None for missing."""

    columns: tuple[int, ...]
    rows: Ints
    values: dict[str, Any]


def rare_cells(pool: Pool, scored: Ints, link: Floats, fewest: int) -> list[Cell]:
    """Rare values, those first whose scores lie furthest from the mean, and the rare pairs whose
    scores the two values alone explain least.

    Args:
        pool: the rows that are looked at.
        scored: places of the rows that a model scored.
        link: what it says of them, shape (scored rows, columns).
        fewest: rows of a cell that is looked at.
    """
    apart = link - link.mean(axis=0)
    columns, kinds = pool.values.T[:MOST_FEATURES], pool.kinds[:MOST_FEATURES]
    exact = [ranks(column) for column in columns]
    coded = [codes(*given) for given in zip(columns, kinds, exact, strict=True)]
    drawn = coded if len(scored) == pool.rows else [(code[scored], size) for code, size in coded]
    each = 2 * PAIRS // max(len(coded) * (len(coded) - 1) // 2, 1) + 1  # no two take all places
    least = fewest if drawn is coded else LUCK * fewest * len(scored) / pool.rows
    alone: list[Floats] = []
    values: list[_Ranked] = []
    pairs: list[_Ranked] = []
    for i, (code, size) in enumerate(drawn):
        rare, means = _means(code, size, apart, least)
        values += _striking((i,), rare, means[rare], VALUES)
        alone.append(means)
    for i, j in combinations(range(len(drawn)), 2):
        more = drawn[j][1]
        if drawn[i][1] * more <= LARGEST_TABLE:
            rare, means = _means(*crossed((drawn[i], drawn[j])), apart, least)
            left = means[rare] - alone[i][rare // more] - alone[j][rare % more]
            pairs += _striking((i, j), rare, left, each)
    found = _cells(pool, coded, exact, [*sorted(values)[:VALUES], *sorted(pairs)[:PAIRS]])
    return [cell for cell in found if fewest <= len(cell.rows) <= RARE * pool.rows]


def _means(cell: Ints, size: int, values: Floats, least: float) -> tuple[Ints, Floats]:
    """The cells that are rare, but not too rare, and every cell's mean of each column of
    ``values``, shape (size, columns)."""
    import numpy as np

    rows = np.bincount(cell, minlength=size)
    sums = [np.bincount(cell, column, minlength=size) for column in values.T]
    rare = np.flatnonzero((rows >= least) & (rows <= RARE * len(cell)))
    return rare, np.asarray((np.stack(sums) / np.maximum(rows, 1)).T)


def _striking(columns: tuple[int, ...], cells: Ints, apart: Floats, most: int) -> list[_Ranked]:
    """Those of these cells that lie furthest apart on average, furthest first."""
    import numpy as np

    distance = np.abs(apart).max(axis=1, initial=0)
    best = np.argsort(-distance, kind="stable")[:most]
    return [(-float(distance[b]), columns, int(cells[b])) for b in best]


def _cells(
    pool: Pool, coded: Sequence[Coded], exact: Sequence[_Exact], chosen: Sequence[_Ranked]
) -> list[Cell]:
    """The chosen cells in their order; those of the same columns are looked up together."""
    keys: dict[tuple[int, ...], list[int]] = {}
    for _, columns, key in chosen:
        keys.setdefault(columns, []).append(key)
    found: dict[tuple[tuple[int, ...], int], Cell] = {}
    for columns, mine in keys.items():
        cells = _of_columns(pool, columns, coded, exact, mine)
        found.update(zip(((columns, key) for key in mine), cells, strict=True))
    return [found[columns, key] for _, columns, key in chosen]


def _of_columns(
    pool: Pool,
    columns: tuple[int, ...],
    coded: Sequence[Coded],
    exact: Sequence[_Exact],
    keys: Sequence[int],
) -> Iterator[Cell]:
    """These cells of the same columns, each with the exact values that most of its rows hold."""
    import numpy as np

    cell, size = crossed([coded[i] for i in columns])
    wanted = np.full(size, -1)
    wanted[list(keys)] = np.arange(len(keys))
    which = wanted[cell]
    rows = np.flatnonzero(which >= 0)
    rows = rows[np.argsort(which[rows], kind="stable")]
    which = which[rows]
    several, held = 1, np.zeros(len(rows), dtype=np.int64)
    for place, values in (exact[i] for i in columns):
        several, held = several * (len(values) + 1), held * (len(values) + 1) + place[rows]
    found, counts = np.unique(which * several + held, return_counts=True)
    order = np.lexsort((found, -counts, found // several))
    most = found[order[np.searchsorted(found[order] // several, np.arange(len(keys)))]] % several
    ends = np.cumsum(np.bincount(which, minlength=len(keys)))
    for mine, combination in zip(np.split(rows, ends[:-1]), most.tolist(), strict=True):
        yield Cell(columns, mine, _plain(pool, columns, exact, combination))


def _plain(
    pool: Pool,
    columns: tuple[int, ...],
    exact: Sequence[_Exact],
    combination: int,
) -> dict[str, Any]:
    """Feature to the value that a combination of ranks stands for; None for missing."""
    held: dict[str, Any] = {}
    for i in reversed(columns):
        values = exact[i][1]
        combination, rank = divmod(combination, len(values) + 1)
        number = float(values[rank - 1]) if rank else None
        known = pool.categories[i]
        held[pool.names[i]] = known[int(number)] if known and number is not None else number
    return held
