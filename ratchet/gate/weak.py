"""Where does a candidate look weakest? A search over slices that people can read.

>>> weakest(rows, kinds, excess, blocks)                                        # doctest: +SKIP
Rule(conditions=(Condition(column='carrier', value='AA', low=None, high=None),))

Slices are single values of a category, ranges of a number (runs of neighbouring bins of about
equally many rows), rows without a value, and pairs of these from two features (of numbers, bins
that are twice as wide).
What slice finders search too (Chung et al. 2019; Sagadeeva and Boehm 2021); a slice's mean is held
against its error by blocks of event time, as everywhere in the gate.

Promise: a description; whether it is so, other rows have to say (:mod:`ratchet.gate.discovered`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import as_numbers
from ratchet.gate.rule import Condition, Rule

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Span = tuple[int, int]  # first and last group
Parts = tuple[tuple["_Coded", int, int], ...]
BINS = 8  # of a number
VALUES = 40  # of a category, the most frequent
PAIRED = 40  # features that are paired, the most suspicious
LEAST_ROWS = 40
LEAST_BLOCKS = 8  # that the slice occurs in
MOST_SHARE = 0.5  # of the rows; what is larger is no slice
SIMPLER = 1.0  # standard errors by which a pair must beat the best single slice


@dataclass(frozen=True, eq=False)
class _Coded:
    """A feature in groups: ``codes`` (rows,) from 0; a group without a condition is no slice."""

    codes: Ints
    conditions: list[Condition | None]
    ordered: int  # how many groups, from the first, are neighbouring ranges

    def allowed(self, span: Span) -> bool:
        """Whether the groups from first to last are a slice."""
        return self.condition(span) is not None

    def condition(self, span: Span) -> Condition | None:
        """What holds for the groups from first to last; None for all rows, or for none that can be
        named."""
        first, last = self.conditions[span[0]], self.conditions[span[1]]
        if first is None or last is None or first is last:
            return first
        if first.low is None and last.high is None:
            return None
        return Condition(first.column, low=first.low, high=last.high)


@dataclass(frozen=True, eq=False)
class _Box:
    """A slice by the groups of its one or two features, from the first to the last."""

    parts: Parts
    steps: float

    @property
    def rule(self) -> Rule:
        """As a person reads it."""
        found = (one.condition((first, last)) for one, first, last in self.parts)
        return Rule(tuple(c for c in found if c is not None))


@dataclass(frozen=True, eq=False)
class _Searched:
    """Excess of each row, its block from 0, and how many blocks there are."""

    excess: Floats
    blocks: Ints
    count: int
    spread: float

    def standing(self, rows: Floats, excess: Floats) -> Floats:
        """Mean excess over its error, shape (groups,); minus infinity where too few rows.

        The error is by blocks, but never less than that of as many rows of all that were searched:
        of thousands of slices the smallest errors are the luckiest ones.
        """
        import numpy as np

        n = rows.sum(axis=0)
        fits = (n >= LEAST_ROWS) & (n <= MOST_SHARE * len(self.excess))
        fits &= (rows > 0).sum(axis=0) >= LEAST_BLOCKS
        out = np.full(len(n), -np.inf)
        at = np.flatnonzero(fits)
        mean = excess[:, at].sum(axis=0) / n[at]
        squares = ((excess[:, at] - mean * rows[:, at]) ** 2).sum(axis=0)
        error = np.sqrt(squares * self.count / max(self.count - 1, 1)) / n[at]
        error = np.maximum(error, self.spread / np.sqrt(n[at]))
        out[at] = np.divide(mean, error, np.full(len(at), -np.inf), where=error > 0)
        return out

    def sums(self, codes: Ints, groups: int) -> tuple[Floats, Floats]:
        """Rows and excess by block, shape (blocks, groups)."""
        import numpy as np

        cells = self.blocks * groups + codes
        shape, size = (self.count, groups), self.count * groups
        rows = np.bincount(cells, minlength=size).astype(np.float64).reshape(shape)
        excess = np.bincount(cells, self.excess, size).astype(np.float64).reshape(shape)
        return rows, excess


def weakest(
    rows: pa.Table,
    kinds: Mapping[str, str],
    excess: Floats,
    blocks: Ints,
) -> Rule | None:
    """The slice whose mean excess stands out most, None where no slice has rows enough.

    The best single slice or the best pair, then its ranges a bin longer or shorter as long as that
    makes it stand out more.

    Args:
        rows: the features of all rows.
        kinds: feature to ``number`` or ``category``.
        excess: shape (rows,): loss beyond what is allowed; above 0 on average is too much.
        blocks: shape (rows,): block of event time.
    """
    import numpy as np

    held, codes = np.unique(blocks, return_inverse=True)
    spread = float(excess.std()) if len(held) else 0.0
    searched = _Searched(excess, codes, len(held), spread)
    coded = [_coded(rows[name], name, kind) for name, kind in kinds.items()]
    singles = [box for one in coded if (box := _single(one, searched)) is not None]
    singles.sort(key=lambda box: -box.steps)
    paired = [box.parts[0][0] for box in singles[:PAIRED]]
    pairs = (_pair(a, b, searched) for a, b in combinations(paired, 2))
    pair = max((box for box in pairs if box is not None), key=lambda box: box.steps, default=None)
    if not singles:
        return None
    best = singles[0]
    if pair is not None and pair.steps > best.steps + SIMPLER:
        best = pair
    return _refined(best, searched).rule


def _single(one: _Coded, searched: _Searched) -> _Box | None:
    """The best single group, or run of neighbouring ones."""
    import numpy as np

    groups = len(one.conditions)
    spans = [(i, i) for i, condition in enumerate(one.conditions) if condition is not None]
    spans += [(a, b) for a in range(one.ordered) for b in range(a + 1, one.ordered)]
    if not spans:
        return None
    starts, ends = np.array(spans).T
    parts = searched.sums(one.codes, groups)
    rows, excess = (_runs(part, starts, ends) for part in parts)
    found = searched.standing(rows, excess)
    i = int(found.argmax())
    return _Box(((one, *spans[i]),), float(found[i])) if np.isfinite(found[i]) else None


def _runs(part: Floats, starts: Ints, ends: Ints) -> Floats:
    import numpy as np

    running = np.concatenate([np.zeros((len(part), 1)), np.cumsum(part, axis=1)], axis=1)
    return np.asarray(running[:, ends + 1] - running[:, starts])


def _pair(a: _Coded, b: _Coded, searched: _Searched) -> _Box | None:
    """The best group of one feature within a group of another."""
    import numpy as np

    (left, lefts), (right, rights) = _wider(a), _wider(b)
    rows, excess = searched.sums(left * len(rights) + right, len(lefts) * len(rights))
    found = searched.standing(rows, excess)
    allowed = np.outer([a.allowed(s) for s in lefts], [b.allowed(s) for s in rights]).ravel()
    found[~allowed] = -np.inf
    i = int(found.argmax())
    if not np.isfinite(found[i]):
        return None
    first, second = lefts[i // len(rights)], rights[i % len(rights)]
    return _Box(((a, *first), (b, *second)), float(found[i]))


def _wider(one: _Coded) -> tuple[Ints, list[Span]]:
    """Codes, shape (rows,), with each two neighbouring bins as one, and the groups of each code."""
    import numpy as np

    wide = [(i, min(i + 1, one.ordered - 1)) for i in range(0, one.ordered, 2)]
    moved = one.codes - one.ordered + len(wide)
    codes = np.where(one.codes < one.ordered, one.codes // 2, moved)
    return codes, wide + [(i, i) for i in range(one.ordered, len(one.conditions))]


def _refined(box: _Box, searched: _Searched) -> _Box:
    """The box after its ranges changed by a bin at a time while that made it stand out more."""
    for _ in range(2 * BINS):
        nearby = max(_nearby(box), key=lambda parts: _steps(parts, searched), default=None)
        if nearby is None or (steps := _steps(nearby, searched)) <= box.steps:
            break
        box = _Box(nearby, steps)
    return box


def _nearby(box: _Box) -> Iterator[Parts]:
    for i, (one, first, last) in enumerate(box.parts):
        if first >= one.ordered:
            continue
        for a, b in ((first - 1, last), (first + 1, last), (first, last - 1), (first, last + 1)):
            if 0 <= a <= b < one.ordered and one.allowed((a, b)):
                yield (*box.parts[:i], (one, a, b), *box.parts[i + 1 :])


def _steps(parts: Parts, searched: _Searched) -> float:
    import numpy as np

    inside = [(one.codes >= a) & (one.codes <= b) for one, a, b in parts]
    codes = 1 - np.logical_and.reduce(inside).astype(np.int64)
    return float(searched.standing(*searched.sums(codes, 2))[0])


def _coded(column: Any, name: str, kind: str) -> _Coded:
    return _category(column, name) if kind == "category" else _number(as_numbers(column), name)


def _number(values: Floats, name: str) -> _Coded:
    import numpy as np

    there = np.sort(values[~np.isnan(values)])
    quantiles = there[np.arange(1, BINS) * len(there) // BINS] if len(there) else there
    edges = np.unique([float(f"{v:.6g}") for v in quantiles])
    codes = np.searchsorted(edges, values, side="right")
    codes[np.isnan(values)] = len(edges) + 1
    bounds = [None, *edges.tolist(), None]
    conditions: list[Condition | None] = [
        Condition(name, low=low, high=high) if low is not None or high is not None else None
        for low, high in pairwise(bounds)
    ]
    return _Coded(codes, [*conditions, Condition(name)], len(edges) + 1 if len(edges) else 0)


def _category(column: Any, name: str) -> _Coded:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.dictionary_encode(pc.cast(column, pa.string()))
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    codes = np.asarray(pc.fill_null(found.indices, -1).to_numpy(), dtype=np.int64)
    names = found.dictionary.to_pylist()
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    ranked = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))[:VALUES]
    place = np.full(len(names) + 1, len(ranked))  # the last group: all other values
    place[ranked] = np.arange(len(ranked))
    place[-1] = len(ranked) + 1  # rows without a value
    conditions = [Condition(name, value=names[i]) for i in ranked]
    return _Coded(place[codes], [*conditions, None, Condition(name)], 0)
