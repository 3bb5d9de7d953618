"""Columns whose value others determine, such as the distance by the route or the hour by the clock.

Learned on the earlier two thirds of the sample, and held against the last third, which must repeat
what it saw and have no exception: what only time ties together is no law.

>>> agrees(np.array([[1.0, 9.0]]), known=np.array([[1.0, 8.0]]), tolerance=0.0)
(array([False]), array([ True]))
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.contracts.clock import CALENDAR
from ratchet.profile.rule import rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 1000  # a law must have been seen to hold in so many
SCREEN = 20_000  # rows on which candidates are tried before all rows are asked
GLANCE = 400  # rows that refute most of what determines nothing, for all targets at once
FITS_BY_CHANCE = 0.25  # of shuffled rows at most may agree with what others determine
TOLERANCE = 0.01  # of a number, within which it counts as the same
GROUP, COVERED = 5, 0.9  # rows of a combination, and share of the rows in such combinations
TESTED = 0.8  # of the last third must hold combinations of before: else only time determined it
KNOWN = 500  # combinations that a file still shows
DETERMINANTS, TARGET_VALUES = 200, 3  # at most, at least so many different values
RULES = 10


@dataclass(frozen=True)
class Column:
    """A feature in the order of event time: floats, NaN where missing; text as its code."""

    name: str
    values: NDArray[np.float64]
    texts: tuple[str, ...] | None = None

    def show(self, value: float) -> Any:
        """A value as a suite writes it."""
        if self.texts is not None:
            return self.texts[int(value)]
        return int(value) if value == int(value) else float(value)


def determined(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Columns whose value follows from one or two others, such as the distance from the route."""
    size = {c.name: len(np.unique(c.values[~np.isnan(c.values)])) for c in columns}
    low = [c for c in columns if 2 <= size[c.name] <= DETERMINANTS]
    targets = [
        c
        for c in columns
        if c.name not in CALENDAR and size[c.name] >= TARGET_VALUES and not _nearly_constant(c)
    ]
    texts = [c for c in low if c.texts is not None]
    sources = [*((c,) for c in low), *itertools.combinations(texts, 2)]
    refuted = [_refuted(source, targets) for source in sources] if targets else []
    found: list[tuple[float, tuple[Column, ...], Column, NDArray[np.float64]]] = []
    for i, target in enumerate(targets):
        known: set[str] = set()
        for source, never in zip(sources, refuted, strict=False):
            names = {c.name for c in source}
            if never[i] or target.name in names or names & known:
                continue
            law = _follows(source, target)
            if law is None or any(
                {target.name} == {c.name for c in s} and t.name in names for _, s, t, _ in found
            ):
                continue
            known |= names
            found.append((law[0], source, target, law[1]))
    found.sort(key=lambda f: (f[0], [c.name for c in f[1]], f[2].name))
    return [_as_rule(s, t, table, chance) for chance, s, t, table in found[:RULES]]


def _nearly_constant(column: Column) -> bool:
    """Whether all values are the same within the tolerance: shuffled rows agree then too."""
    if column.texts is not None:
        return False
    low, high = np.nanmin(column.values), np.nanmax(column.values)
    return bool(high - low <= TOLERANCE * abs(low + high))


def _refuted(source: tuple[Column, ...], targets: Sequence[Column]) -> NDArray[np.bool_]:
    """The targets, shape (targets,), that vary within one combination of a few rows already.

    All rows would refuse them too: a range only grows with the rows. It spares wide tables a sort
    for each pair of a source and a target.
    """
    step = max(1, len(targets[0].values) // GLANCE)
    parts = np.column_stack([c.values[::step] for c in source])
    there = ~np.isnan(parts).any(axis=1)
    if source[0].name in CALENDAR or not there.any():
        return np.zeros(len(targets), dtype=bool)
    code = np.unique(parts[there], axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    values = np.column_stack([t.values[::step] for t in targets])[there][order]
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    middle = (low + high) / 2
    allowed = np.array([TOLERANCE if t.texts is None else 0.0 for t in targets])
    return np.asarray((high - middle > allowed * np.abs(middle)).any(axis=0), dtype=bool)


def _follows(
    source: tuple[Column, ...], target: Column
) -> tuple[float, NDArray[np.float64]] | None:
    """Agreement by chance, and the known combinations, shape (combinations, sources + 1).

    None where the source does not determine the target.
    """
    matrix = np.column_stack([*(c.values for c in source), target.values])
    matrix = matrix[~np.isnan(matrix).any(axis=1)]
    tolerance = TOLERANCE if target.texts is None else 0.0
    most = 2 if source[0].name in CALENDAR else 1  # a clock change gives an hour two values
    screen = matrix[:: max(1, len(matrix) // SCREEN)]
    if len(matrix) < ROWS or _known(screen, tolerance, most) is None:
        return None
    early = _known(matrix[: 2 * len(matrix) // 3], tolerance, most)
    known = _known(matrix, tolerance, most)
    if early is None or known is None or len(known) > KNOWN:
        return None
    late = matrix[2 * len(matrix) // 3 :]
    fits, asked = agrees(late, early, tolerance)
    if not fits.all() or asked.mean() < TESTED:
        return None
    shuffled = matrix.copy()
    shuffled[:, -1] = np.random.default_rng(0).permutation(shuffled[:, -1])
    chance = float(agrees(shuffled, known, tolerance)[0].mean())
    counts = np.unique(matrix[:, :-1], axis=0, return_counts=True)[1]
    covered = counts[counts >= GROUP].sum() / len(matrix)
    return (chance, known) if chance <= FITS_BY_CHANCE and covered >= COVERED else None


def _known(matrix: NDArray[np.float64], tolerance: float, most: int) -> NDArray[np.float64] | None:
    """One line for each value of each combination; None where one has more than ``most``."""
    ordered = matrix[np.lexsort(matrix.T[::-1])]
    values = ordered[:, -1]
    new_group = np.ones(len(ordered), dtype=bool)
    new_group[1:] = (ordered[1:, :-1] != ordered[:-1, :-1]).any(axis=1)
    new_value = new_group.copy()
    new_value[1:] |= np.abs(np.diff(values)) > tolerance * np.abs(values[:-1])
    group = np.cumsum(new_group) - 1
    if np.bincount(group[new_value]).max(initial=0) > most:
        return None
    first = np.flatnonzero(new_value)
    last = np.append(first[1:], len(values)) - 1
    middle = (values[first] + values[last]) / 2
    if (values[last] - middle > tolerance * np.abs(middle)).any():
        return None
    known = ordered[first].copy()
    known[:, -1] = np.where(values[first] == values[last], values[first], middle)
    return known


def agrees(
    matrix: NDArray[np.float64], known: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each row's last value is a known one of its combination; whether that is known.

    A row of an unknown combination agrees.

    Args:
        matrix: shape (rows, sources + 1), no NaN.
        known: the known combinations, shape (combinations, sources + 1).
        tolerance: allowed difference, as a share of the known value.
    """
    _, code = np.unique(np.vstack([known[:, :-1], matrix[:, :-1]]), axis=0, return_inverse=True)
    of_known, of_rows = code[: len(known)], code[len(known) :]
    seen, fits = np.zeros(len(matrix), dtype=bool), np.zeros(len(matrix), dtype=bool)
    rank = _rank_within(of_known)
    for turn in range(int(rank.max(initial=-1)) + 1):
        here = rank == turn
        value = np.full(int(code.max()) + 1, np.nan)
        value[of_known[here]] = known[here, -1]
        expected = value[of_rows]
        seen |= ~np.isnan(expected)
        fits |= np.abs(matrix[:, -1] - expected) <= tolerance * np.abs(expected)
    return fits | ~seen, seen


def _rank_within(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 for the first of each code, 1 for the second, and so on."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    start = np.searchsorted(ordered, ordered)
    rank = np.empty(len(codes), dtype=np.int64)
    rank[order] = np.arange(len(codes)) - start
    return rank


def _as_rule(
    source: tuple[Column, ...], target: Column, known: NDArray[np.float64], chance: float
) -> dict[str, Any]:
    names = [c.name for c in source]
    columns = [*source, target]
    shown = [[c.show(v) for c, v in zip(columns, line, strict=True)] for line in known.tolist()]
    return rule(
        "row",
        "multicolumn_values_to_agree_with_known",
        f"{' and '.join(names)} determine{'' if names[1:] else 's'} {target.name} without an "
        f"exception, though only {chance:.0%} of shuffled rows agree; unlisted combinations pass",
        column_list=[*names, target.name],
        known=shown,
        tolerance=TOLERANCE if target.texts is None else 0.0,
    )
